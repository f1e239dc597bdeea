"""Comparisons: read two or more systems, align their keys, find where they disagree and say why."""
