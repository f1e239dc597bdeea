"""Canonical messages off a topic of Kafka, and into one."""
