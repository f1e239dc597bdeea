"""A marketplace that speaks the Selling Partner API."""
