"""Avalara AvaTax, sales tax."""
