"""Dash pages over the read models of the plane."""
