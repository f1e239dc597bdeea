"""Why a key differs: the admissible values of each side, and the gap in which the cause lies. Pure.

Three gaps, from the source to the target: the ledger never received it; the ledger has it and the delivery is on its
way, late, given up or held; it was delivered and then changed at the target. Where the evidence cannot decide, the answer is
*indeterminate*, which never counts as agreeing. What a difference looks like in itself is told in `clues`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from rules.comparison.tolerance import Tolerance, tolerance_of
from rules.comparison.value import Value, ordered

MOST_OVERLAPS = 12
"""More effects than this under way at once: every combination of them cannot be told apart, so nothing is decided."""


class Cause(StrEnum):
    """Why a side does not show what it ought to."""

    NONE = "none"
    IN_FLIGHT = "in_flight"
    NEVER_RECEIVED = "never_received"
    LATE = "late"
    FAILED = "failed"
    """Delivery gave up: its budget is spent."""
    QUARANTINED = "quarantined"
    UNMAPPED = "unmapped"
    """A code has no translation, and a record waits in quarantine for one."""
    CHANGED_AT_TARGET = "changed_at_target"
    MISSING = "missing"
    DUPLICATE = "duplicate"
    """The side lists the key more than once: which row holds cannot be known."""
    UNIT = "unit"
    """The side counts in another unit of measure."""
    DEFINITION = "definition"
    """The side shows something else than is compared: what is there instead of what is free, say."""
    INDETERMINATE = "indeterminate"


CERTAIN = frozenset({Cause.LATE, Cause.FAILED, Cause.QUARANTINED, Cause.UNMAPPED})
"""Causes that the ledger alone proves where it names the delivery: then no second reading is needed."""
GAVE_UP = "gave_up"
UNMAPPED = "unmapped_"
"""How the reason code of a case begins, where a code has no translation."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A delivery that its target still lacks."""

    delivery_id: str
    """Empty while its message waits in quarantine, so that no delivery was made of it."""
    message_id: str
    delta: int
    """What it will change."""
    sent: bool
    """It may have taken effect already: under way, or its outcome is unknown."""
    overdue: bool
    held: bool
    """It waits in quarantine."""
    reason: str = ""
    """Why it waits there: the reason code of its case."""


class Evidence(Protocol):
    """What the ledger says of one side of one key during a reading."""

    @property
    def owed(self) -> tuple[Owed, ...]:
        """What it still lacks."""
        ...

    def admissible(self) -> frozenset[Value] | None:
        """Return every value it may rightly show, or None when the evidence cannot tell."""
        ...

    def complete(self) -> Value | None:
        """Return what it will show when all that is owed is delivered."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What the ledger says a target may show during a reading, where it is a number that deliveries add to."""

    now: int | None
    """After all that was delivered; None while nothing is known of the target."""
    earlier: tuple[int, ...]
    """Values that it held at some time during the reading."""
    owed: tuple[Owed, ...]
    moved: tuple[int, ...] = ()
    """Changes in `now` that came to be known since the reading began: each may have been there when it was read, or not."""
    later: int = 0
    """Changes in `now` that were certainly not there yet when it was read, added up."""

    def admissible(self) -> frozenset[Value] | None:
        """Return every value it may rightly show, or None when the evidence cannot tell."""
        if self.now is None:
            return None
        if not self.owed and not self.moved:
            return frozenset((self.now - self.later, *self.earlier))
        under_way = [*(item.delta for item in self.owed if item.sent), *(-delta for delta in self.moved if delta)]
        if len(under_way) > MOST_OVERLAPS:
            return None
        values = {self.now - self.later, *self.earlier}
        for delta in under_way:
            values |= {value + delta for value in values}
        return frozenset(values)

    def complete(self) -> Value | None:
        """Return what it will show when all that is owed is delivered."""
        return (self.now or 0) + sum([item.delta for item in self.owed])


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one side of one key."""

    side: str
    cause: Cause
    actual: Value | None
    expected: tuple[Value, ...]
    explanation: str
    delivery_id: str | None = None
    message_id: str | None = None
    field: str = ""
    """Of which field, where a side is compared by several."""
    whole: bool = False
    """What is at stake is not the distance between two numbers, but the subject as a whole."""

    @property
    def is_drift(self) -> bool:
        """Whether no message in flight within its promise explains it."""
        return self.cause not in (Cause.NONE, Cause.IN_FLIGHT, Cause.INDETERMINATE)

    @property
    def place(self) -> str:
        """Where within the subject: the side, and the field if there is one."""
        return f"{self.side}/{self.field}" if self.field else self.side


Pair = tuple[int | None, int | None]
"""On hand and available; None: the side does not tell, which is never 0."""


def explain_source(side: str, actual: Pair | None, heard: Iterable[tuple[int, int]]) -> Finding:
    """Hold what the source shows (on hand, available) against what the ledger heard of it during the reading."""
    known = sorted(set(heard))
    on_hand = tuple(sorted({pair[0] for pair in known}))
    if actual is None:
        return Finding(side, Cause.MISSING, None, on_hand, f"{side} does not list the key, and the ledger knows it")
    if actual == (None, None):
        return untold(side, on_hand)
    if not known:
        return Finding(
            side, Cause.NEVER_RECEIVED, actual[0], (), f"{side} lists the key, and the ledger never heard of it"
        )
    if actual in known or any(_fits(actual, pair) for pair in known):
        return Finding(side, Cause.NONE, actual[0], on_hand, "as the ledger heard it")
    said = " or ".join(f"{held} on hand, {free} available" for held, free in known)
    text = f"{side} shows {_figures(actual)}; the ledger last heard {said}, and no change since"
    return Finding(side, Cause.NEVER_RECEIVED, actual[0], on_hand, text)


def _fits(actual: Pair, heard: tuple[int, int]) -> bool:
    return all(mine in (None, theirs) for mine, theirs in zip(actual, heard, strict=True))


def _figures(actual: Pair) -> str:
    told = zip(actual, ("on hand", "available"), strict=True)
    return ", ".join(f"{value} {name}" for value, name in told if value is not None)


def untold(side: str, wanted: Iterable[Value]) -> Finding:
    """Return the verdict on a side that lists the key and does not tell its value: unknown is never 0."""
    text = f"{side} lists the key and does not tell its value, which is not 0; nothing can be said of it"
    return Finding(side, Cause.INDETERMINATE, None, ordered(wanted), text)


def only_read(side: str, actual: Value | None) -> Finding:
    """Return the verdict on a source whose levels are only read, and told to nobody: what it shows is what holds."""
    if actual is None:
        return untold(side, ())
    return Finding(side, Cause.NONE, actual, (), "its levels are only read, so there is nothing that was not heard")


def listed_twice(side: str, rows: Sequence[Value | None], wanted: Iterable[Value] = ()) -> Finding:
    """Return the verdict on a side that lists the key more than once: rows are never summed, and none is chosen."""
    told = ", ".join("nothing" if value is None else str(value) for value in rows)
    text = f"{side} lists the key {len(rows)} times ({told}); which one holds cannot be known. Correct its master data or the mapping"
    return Finding(side, Cause.DUPLICATE, None, ordered(wanted), text)


def explain_target(
    side: str,
    actual: Value | None,
    shown: Evidence,
    wanted: Sequence[Value],
    tolerance: Tolerance | int = 0,
    known: bool = False,
) -> Finding:
    """Hold what a target shows against what the ledger says it shows (delivery gap) and ought to show (`wanted`).

    `known`: what it ought to show follows from the ledger alone, so that nothing can be missing there: where no
    delivery is on its way either, one is owed and late.
    """
    near = tolerance_of(tolerance)
    if actual is None:
        return Finding(side, Cause.MISSING, None, tuple(wanted), f"{side} does not list the key")
    admissible = shown.admissible()
    if admissible is None:
        return _unanchored(side, actual, shown, wanted, near)
    if not near.near(actual, admissible):
        text = (
            f"{side} shows {actual}; by all that was delivered it shows {_or(admissible)}: it was changed at the target"
        )
        return Finding(side, Cause.CHANGED_AT_TARGET, actual, ordered(admissible), text)
    complete = shown.complete()
    if complete is None or not near.near(complete, wanted):
        text = f"{side} will show {complete} when all that is known is delivered, and ought to show {_or(wanted)}"
        return Finding(side, Cause.LATE if known else Cause.NEVER_RECEIVED, actual, ordered(wanted), text)
    return waiting(side, actual, shown.owed, wanted)


def _unanchored(side: str, actual: Value, shown: Evidence, wanted: Sequence[Value], near: Tolerance) -> Finding:
    if not shown.owed and near.near(actual, wanted):
        return Finding(side, Cause.NONE, actual, tuple(wanted), "as it ought to be")
    text = f"{side} shows {actual} and ought to show {_or(wanted)}; what was delivered before is not known well enough"
    return Finding(side, Cause.INDETERMINATE, actual, ordered(wanted), text)


def waiting(side: str, actual: Value | None, owed: Sequence[Owed], wanted: Iterable[Value]) -> Finding:
    """Return the verdict on a side that shows what it may: the first thing that it waits for and that is not as promised."""
    expected = ordered(wanted)
    if not owed:
        return Finding(side, Cause.NONE, actual, expected, "as it ought to be")
    item = next((one for one in owed if one.held), None) or next((one for one in owed if one.overdue), owed[0])
    cause, said = _wait(item)
    shows = "does not have it" if actual is None else f"shows {actual}"
    which = f"delivery {item.delivery_id}" if item.delivery_id else f"message {item.message_id}"
    text = f"{side} {shows}; {said} ({which})"
    return Finding(side, cause, actual, expected, text, item.delivery_id or None, item.message_id)


def _wait(item: Owed) -> tuple[Cause, str]:
    if item.held and item.reason == GAVE_UP:
        return Cause.FAILED, "delivery of what is missing was given up"
    if item.held and item.reason.startswith(UNMAPPED):
        kind = item.reason.removeprefix(UNMAPPED)
        return Cause.UNMAPPED, f"what is missing waits in quarantine for the translation of a {kind}"
    if item.held:
        return Cause.QUARANTINED, "what is missing waits in quarantine"
    if item.overdue:
        return Cause.LATE, "what is missing is on its way longer than promised"
    return Cause.IN_FLIGHT, "the rest is on its way within its promise"


def _or(values: Iterable[Value]) -> str:
    return " or ".join(str(value) for value in ordered(values)) or "nothing"


def unproven(finding: Finding, overdue: bool) -> Finding:
    """Return the verdict while records that may explain the difference wait to be processed.

    In flight within the promise; after it the evidence cannot decide, and nothing certain is made of it.
    """
    shows = "does not have it" if finding.actual is None else f"shows {finding.actual}"
    text = f"{finding.side} {shows}; records that may explain it have been taken in and wait to be processed"
    return replace(finding, cause=Cause.INDETERMINATE if overdue else Cause.IN_FLIGHT, explanation=text)
