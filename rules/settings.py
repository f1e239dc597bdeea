"""A setting at a system against what policy promises of it."""

from __future__ import annotations

from enum import StrEnum


class Standing(StrEnum):
    """How a setting stands."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    """It could not be read; never taken for the same."""


def standing(promised: str, actual: str | None) -> Standing:
    """Return how a setting stands that is promised to be so and was read as such."""
    if actual is None:
        return Standing.UNKNOWN
    return Standing.SAME if actual == promised else Standing.DIFFERENT
