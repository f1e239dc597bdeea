"""Rows in, figures out. Law: pure; no database, no clock, no page."""
