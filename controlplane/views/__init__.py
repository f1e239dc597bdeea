"""What people are shown: read models across rooms. Law: views only read, and in a fixed number of queries."""
