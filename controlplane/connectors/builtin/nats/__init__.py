"""Canonical messages off a stream of NATS JetStream, and into one."""
