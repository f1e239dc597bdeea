"""A tax engine that speaks AvaTax's API."""
