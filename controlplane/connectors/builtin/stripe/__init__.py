"""Stripe, payments and payouts."""
