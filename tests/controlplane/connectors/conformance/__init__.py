"""The conformance suite: what it finds, and that every built-in connector stands it."""
