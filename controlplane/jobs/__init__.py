"""Thin jobs behind one ticker. Law: the `run` table is the truth of what ran; a job calls one room and holds no logic of its own."""

from controlplane.jobs.ticker import Ticker

__all__ = ["Ticker"]
