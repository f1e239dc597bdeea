"""What becomes of a message that is routed again from the ledger: a pure decision from what is known at its target.

A document that took effect is never sent twice: it is sent again under its first key or not at all, and where the target cannot
de-duplicate it is looked up there first. Of a state only the newest is worth sending.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rules.outcomes import DeliveryState, Guarantee

AHEAD = timedelta(seconds=2)
"""How far ahead deliveries are written: what waits for its time would hold up live traffic of the same key."""


class Became(StrEnum):
    """What a replay makes of a message at one target."""

    OWED = "owed"
    """A document that was never owed to this target: it is owed now."""
    REOPENED = "reopened"
    """A document that waited in quarantine, or was dropped: tried again under its first key."""
    AT_RISK = "at_risk"
    """The same at a target that guarantees nothing, where it was tried before: it may take effect twice."""
    SENT_AGAIN = "sent_again"
    """The newest state of its key, sent as a new delivery."""
    ALREADY_DELIVERED = "already_delivered"
    """The target has it: nothing is sent."""
    UNDER_WAY = "under_way"
    """It is being delivered, or will be: nothing is added."""
    SUPERSEDED = "superseded"
    """A state, and a newer one of the same key is known: nothing is sent."""
    STALE = "stale"
    """The target refused it for something newer: nothing is sent."""
    NEEDS_PERSON = "needs_person"
    """Held back: it has to be corrected first, or nothing would tell a second effect from the first."""


CHANGES = frozenset({Became.OWED, Became.REOPENED, Became.AT_RISK, Became.SENT_AGAIN})
"""Those that add something to what a target is sent."""
MOVING = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN})
WAITS = frozenset({DeliveryState.QUARANTINED, DeliveryState.DROPPED})


@dataclass(frozen=True, slots=True)
class Known:
    """The delivery of a document that there is."""

    state: DeliveryState
    tried: bool
    """Some worker has claimed it at least once."""
    corrected: bool = False
    """A person has corrected the record, and not sent it on its way."""


def document(known: Known | None, guarantee: Guarantee, *, force: bool = False) -> Became:
    """Say what becomes of a document at a target. `force`: people accept that it may take effect twice there."""
    if known is None:
        return Became.OWED
    if known.state is DeliveryState.DELIVERED:
        return Became.ALREADY_DELIVERED
    if known.state in MOVING:
        return Became.UNDER_WAY
    if known.state not in WAITS:
        return Became.STALE
    if known.corrected:
        return Became.NEEDS_PERSON
    if known.tried and guarantee is Guarantee.NONE:
        return Became.AT_RISK if force else Became.NEEDS_PERSON
    return Became.REOPENED


def state(newest: bool, under_way: bool) -> Became:
    """Say what becomes of a state at a target: `newest` of its key, and whether a delivery of it is on its way."""
    if not newest:
        return Became.SUPERSEDED
    return Became.UNDER_WAY if under_way else Became.SENT_AGAIN


def begins_as(guarantee: Guarantee, tried: bool | None) -> DeliveryState:
    """Return the state in which a document is sent: `unknown` is read back before anything is written.

    `tried` is None for a document that we know of no delivery of: people may have entered it at the target by hand, or its
    delivery may be older than what is kept. What cannot be looked up (`none`) is then simply written.
    """
    if guarantee is Guarantee.KEYED or tried is False:
        return DeliveryState.PENDING
    if guarantee is Guarantee.NONE and tried is None:
        return DeliveryState.PENDING
    return DeliveryState.UNKNOWN


def slot(paced_until: datetime | None, rate: float, now: datetime) -> datetime | None:
    """Return when the next delivery may be due, or None while enough is written ahead.

    A time further ahead than any that is given now was given before the clock was put back, and counts for nothing.
    """
    if paced_until is None or not now <= paced_until <= after_slot(now + AHEAD, rate):
        return now
    return paced_until if paced_until < now + AHEAD else None


def after_slot(at: datetime, rate: float) -> datetime:
    """Return the earliest time of the delivery after the one that is due at `at`; `rate` is in deliveries a second."""
    return at + timedelta(seconds=1 / rate)
