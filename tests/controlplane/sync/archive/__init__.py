"""Retention: what stays, what goes, and that it comes back."""
