"""Canonical messages off a queue: a message broker as a source."""
