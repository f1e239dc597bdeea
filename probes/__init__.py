"""Functions that measure and return observations; comparisons that find where systems disagree."""
