"""Trueup speaks to an Acme shop: an example of a connector that somebody else ships."""
