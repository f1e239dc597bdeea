"""A payment provider that speaks Stripe's API."""
