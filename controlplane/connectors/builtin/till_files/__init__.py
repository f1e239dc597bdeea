"""Stores' tills that drop CSV files into a folder."""
