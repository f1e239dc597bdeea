"""What can come of a write, what a target guarantees, and the states of a delivery. Named answers, never a bool."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Guarantee(StrEnum):
    """What a target does with the same write told twice."""

    KEYED = "keyed"
    """The vendor de-duplicates by our key or external id."""
    CONDITIONAL = "conditional"
    """The write carries the value it was computed from; the vendor refuses it when that has moved."""
    READABLE = "readable"
    """Our reference can be looked up before trying again."""
    NONE = "none"
    """Nothing protects a second write; policy must name the risk."""


class Result(StrEnum):
    """The named outcome of one try."""

    DELIVERED = "delivered"
    ALREADY_DELIVERED = "already_delivered"
    STALE = "stale"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    """Only of a read-back: it was looked for, and is not there. It had no effect, and may be tried again."""
    UNSEEN = "unseen"
    """Only of a read-back: nothing can be looked up there. Its key makes the same write harmless, and that alone; nothing is proven."""


DONE = frozenset({Result.DELIVERED, Result.ALREADY_DELIVERED})
"""Outcomes after which the target shows what it was sent."""
REPEATABLE = frozenset({Result.ABSENT, Result.UNSEEN})
"""Read-backs after which the same write, under the same key, is tried again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one write or read-back."""

    result: Result
    detail: str = ""
    retry_after: float | None = None
    """Seconds that the target asked to be left alone for, with THROTTLED and UNAVAILABLE; with UNKNOWN, when to read back."""
    target_at: datetime | None = None
    """When it took effect, by the target's clock, where the target says so."""
    native_id: str | None = None
    """The target's own id of what was written."""
    current: int | None = None
    """With STALE: the value the target shows now."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """Redacted request and answer."""
    effects: tuple[str, ...] = ()
    """Of a read-back that found it: the target's ids of all that bear our reference, where it can tell. Several: it is there twice."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    SENDING = "sending"
    UNKNOWN = "unknown"
    """Sent without an answer; waits out the late-effect time, then is read back."""
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    """State-like, and a later one for the same key took its place before it was sent."""
    STALE = "stale"
    """The target held something newer and refused; nothing was overwritten."""
    QUARANTINED = "quarantined"
    DROPPED = "dropped"
    """A person decided that it is not owed any more."""


OPEN_STATES = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.QUARANTINED)
"""States in which the target is still owed something."""
