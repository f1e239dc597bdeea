"""What the business has agreed: pure functions and frozen values, no I/O, no framework."""
