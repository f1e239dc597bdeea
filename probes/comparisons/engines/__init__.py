"""Choosing candidate keys where the data is: the same named SQL in a warehouse, in PostgreSQL, on Spark.

Law: an engine chooses, and chooses too much rather than too little; the verdict on a key is the one in `rules/`, whoever chose it.
"""
