"""Whether a write that is not known as delivered may have taken effect all the same: decided from all its tries, not from the last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from rules.outcomes import DONE, Result

WRITE = "write"
"""The kind of a first write; all others (read-back, repeat) follow one whose outcome nobody knew, recorded or not."""
READ_BACK = "read-back"
"""The kind of a try that looks for the effect; a refusal that it finds is the target's late answer to the write."""


LOOKS = (10, 100)
"""What was absent and was written again is looked up again after so many times the late-effect time: it may have come after all."""
LEAST_LOOK, LONGEST_LOOK = timedelta(seconds=10), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Tried:
    """One try as it was recorded."""

    kind: str
    outcome: str


def in_doubt(tries: Iterable[Tried]) -> bool:
    """Say whether one of the tries (in their order) may have had an effect, and none after it showed that it had none."""
    doubt = False
    for one in tries:
        if one.outcome == Result.ABSENT or (one.kind == READ_BACK and one.outcome == Result.REJECTED):
            doubt = False
        elif one.kind != WRITE or one.outcome == Result.UNKNOWN or one.outcome in DONE:
            doubt = True
    return doubt


def look_again_after(late: timedelta, looks: int) -> timedelta:
    """Return how long after a document was absent, and was written again, it is looked up again.

    `looks`: how often it was already, below len(LOOKS).
    """
    return min(max(LOOKS[looks] * late, LEAST_LOOK), LONGEST_LOOK)


def may_change(seen: Result, *, doubtful: bool, vouched: bool) -> bool:
    """Say whether a corrected payload may go under a key of its own, by what reading back the first write came to.

    A connector answers REJECTED to a read-back only where the target says so.

    `vouched`: a person says that it had no effect, and nothing was tried since. Against what the target shows nobody's word counts.
    """
    if seen is Result.REJECTED:  # of a read-back: the target took it and refused it later, so it has none
        return True
    if seen is Result.UNSEEN:
        return vouched or not doubtful
    return seen is Result.ABSENT or (vouched and seen is Result.UNKNOWN)
