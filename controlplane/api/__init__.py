"""The plane over HTTP, a blueprint per room. Law: one gate denies by default; handlers only translate, and services decide."""
