"""Tills that speak Square's API."""
