"""The connectors we ship, one folder a system. Law: found by entry point only; none imports another."""
