"""Amazon, Selling Partner API."""
