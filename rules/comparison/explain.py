"""Why a key differs: the admissible values of each side, and the gap in which the cause lies. Pure.

Three gaps, from the source to the target: the ledger never received it; the ledger has it and the delivery is on its
way, late or held; it was delivered and then changed at the target. Where the evidence cannot decide, the answer is
*indeterminate*, which never counts as agreeing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

MOST_OVERLAPS = 12
"""More effects than this under way at once: every combination of them cannot be told apart, so nothing is decided."""


class Cause(StrEnum):
    """Why a side does not show what it ought to."""

    NONE = "none"
    IN_FLIGHT = "in_flight"
    NEVER_RECEIVED = "never_received"
    LATE = "late"
    QUARANTINED = "quarantined"
    CHANGED_AT_TARGET = "changed_at_target"
    MISSING = "missing"
    INDETERMINATE = "indeterminate"


CERTAIN = frozenset({Cause.LATE, Cause.QUARANTINED})
"""Causes that the ledger alone proves where it names the delivery: then no second reading is needed."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A delivery that its target still lacks."""

    delivery_id: str
    message_id: str
    delta: int
    """What it will change."""
    sent: bool
    """It may have taken effect already: under way, or its outcome is unknown."""
    overdue: bool
    held: bool
    """It waits in quarantine."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the ledger says a target may show during a reading."""

    now: int | None
    """After all that was delivered; None while nothing is known of the target."""
    earlier: tuple[int, ...]
    """Values that it held at some time during the reading."""
    owed: tuple[Owed, ...]

    def admissible(self) -> frozenset[int] | None:
        """Return every value it may rightly show, or None when the evidence cannot tell."""
        if self.now is None:
            return None
        under_way = [item.delta for item in self.owed if item.sent]
        if len(under_way) > MOST_OVERLAPS:
            return None
        values = {self.now, *self.earlier}
        for delta in under_way:
            values |= {value + delta for value in values}
        return frozenset(values)


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one side of one key."""

    side: str
    cause: Cause
    actual: int | None
    expected: tuple[int, ...]
    explanation: str
    delivery_id: str | None = None
    message_id: str | None = None

    @property
    def is_drift(self) -> bool:
        """Whether no message in flight within its promise explains it."""
        return self.cause not in (Cause.NONE, Cause.IN_FLIGHT, Cause.INDETERMINATE)


def explain_source(side: str, actual: tuple[int, int] | None, heard: Iterable[tuple[int, int]]) -> Finding:
    """Hold what the source shows (on hand, available) against what the ledger heard of it during the reading."""
    known = sorted(set(heard))
    on_hand = tuple(sorted({pair[0] for pair in known}))
    if actual is None:
        return Finding(side, Cause.MISSING, None, on_hand, f"{side} does not list the key, and the ledger knows it")
    if not known:
        return Finding(
            side, Cause.NEVER_RECEIVED, actual[0], (), f"{side} lists the key, and the ledger never heard of it"
        )
    if actual in known:
        return Finding(side, Cause.NONE, actual[0], on_hand, "as the ledger heard it")
    said = " or ".join(f"{held} on hand, {free} available" for held, free in known)
    text = f"{side} shows {actual[0]} on hand, {actual[1]} available; the ledger last heard {said}, and no change since"
    return Finding(side, Cause.NEVER_RECEIVED, actual[0], on_hand, text)


def explain_target(
    side: str, actual: int | None, shown: Shown, wanted: Sequence[int], tolerance: int = 0, known: bool = False
) -> Finding:
    """Hold what a target shows against what the ledger says it shows (delivery gap) and ought to show (`wanted`).

    `known`: what it ought to show follows from the ledger alone, so that nothing can be missing there: where no
    delivery is on its way either, one is owed and late.
    """
    if actual is None:
        return Finding(side, Cause.MISSING, None, tuple(wanted), f"{side} does not list the key")
    admissible = shown.admissible()
    if admissible is None:
        return _unanchored(side, actual, shown, wanted, tolerance)
    if not _near(actual, admissible, tolerance):
        allowed = " or ".join(map(str, sorted(admissible)))
        text = f"{side} shows {actual}; by all that was delivered it shows {allowed}: it was changed at the target"
        return Finding(side, Cause.CHANGED_AT_TARGET, actual, tuple(sorted(admissible)), text)
    complete = (shown.now or 0) + sum(item.delta for item in shown.owed)
    if not _near(complete, wanted, tolerance):
        text = f"{side} will show {complete} when all that is known is delivered, and ought to show {_or(wanted)}"
        return Finding(side, Cause.LATE if known else Cause.NEVER_RECEIVED, actual, tuple(sorted(wanted)), text)
    return _waiting(side, actual, shown, wanted)


def _unanchored(side: str, actual: int, shown: Shown, wanted: Sequence[int], tolerance: int) -> Finding:
    if not shown.owed and _near(actual, wanted, tolerance):
        return Finding(side, Cause.NONE, actual, tuple(wanted), "as it ought to be")
    text = f"{side} shows {actual} and ought to show {_or(wanted)}; what was delivered before is not known well enough"
    return Finding(side, Cause.INDETERMINATE, actual, tuple(sorted(wanted)), text)


def _waiting(side: str, actual: int, shown: Shown, wanted: Sequence[int]) -> Finding:
    expected = tuple(sorted(wanted))
    if not shown.owed:
        return Finding(side, Cause.NONE, actual, expected, "as it ought to be")
    for item in shown.owed:
        if item.held:
            text = f"{side} shows {actual}; what is missing waits in quarantine (delivery {item.delivery_id})"
            return Finding(side, Cause.QUARANTINED, actual, expected, text, item.delivery_id, item.message_id)
    for item in shown.owed:
        if item.overdue:
            text = f"{side} shows {actual}; what is missing is on its way longer than promised (delivery {item.delivery_id})"
            return Finding(side, Cause.LATE, actual, expected, text, item.delivery_id, item.message_id)
    first = shown.owed[0]
    text = f"{side} shows {actual}; the rest is on its way within its promise (delivery {first.delivery_id})"
    return Finding(side, Cause.IN_FLIGHT, actual, expected, text, first.delivery_id, first.message_id)


def _near(value: int, allowed: Iterable[int], tolerance: int) -> bool:
    return any(abs(value - other) <= tolerance for other in allowed)


def _or(values: Sequence[int]) -> str:
    return " or ".join(str(value) for value in sorted(set(values))) or "nothing"


def unproven(finding: Finding, overdue: bool) -> Finding:
    """Return the verdict while records that may explain the difference wait to be processed.

    In flight within the promise; after it the evidence cannot decide, and nothing certain is made of it.
    """
    text = f"{finding.side} shows {finding.actual}; records that may explain it have been taken in and wait to be processed"
    return replace(finding, cause=Cause.INDETERMINATE if overdue else Cause.IN_FLIGHT, explanation=text)
