"""Connectors that are documents: see README.md."""
