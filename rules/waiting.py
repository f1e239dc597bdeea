"""Why a delivery waits: the one reason that an operator can do something about, named."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rules.outcomes import DeliveryState, Result


class Reason(StrEnum):
    """What a delivery that is not finished waits for."""

    PAUSED_FLOW = "paused_flow"
    PAUSED_SYSTEM = "paused_system"
    BEHIND = "behind_another"
    """Something earlier of its target and key is open."""
    LATE_EFFECT = "late_effect"
    """It may have taken effect, or may yet: it is read back when its time comes, and not before."""
    BACKOFF = "backoff"
    """The pause after a failed try."""
    PACED = "paced"
    """Not tried yet: a replay sends it when its turn comes."""
    BREAKER = "breaker"
    """The system failed too often in a row: it is left alone, then asked by a single request."""
    THROTTLED = "throttled"
    """The system asked to wait."""
    RATE_LIMIT = "rate_limit"
    """As many requests as the system's limit allows were made."""
    DUE = "due"
    """Nothing: it is sent as soon as a sender is free."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the system stands that a delivery is for."""

    paused: bool = False
    blocked_until: datetime | None = None
    """No request before this, if it lies ahead."""
    failing: bool = False
    """So many failures in a row that its breaker opened."""
    spent: bool = False
    """No request is left of its limit at this moment."""

    def blocked(self, now: datetime) -> bool:
        """Say whether no request may be made now."""
        return self.blocked_until is not None and self.blocked_until > now

    def free_at(self, now: datetime) -> datetime:
        """Return when a request may be made at the earliest."""
        return self.blocked_until if self.blocked_until is not None and self.blocked_until > now else now


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the reason depends on; deliveries that agree in it wait for the same."""

    state: DeliveryState
    head: bool
    tried: bool
    outcome: str | None
    """Of the last try."""
    longer: bool
    """It falls due later than its system may be asked."""


def why(waiting: Waiting, standing: Standing, flow_paused: bool, now: datetime) -> Reason:
    """Return what a delivery waits for. A person's pause comes first: nothing else matters while it lasts."""
    if flow_paused:
        return Reason.PAUSED_FLOW
    if standing.paused:
        return Reason.PAUSED_SYSTEM
    if not waiting.head:
        return Reason.BEHIND
    if waiting.longer:
        return _own(waiting)
    if standing.blocked(now):
        return Reason.BREAKER if standing.failing else Reason.THROTTLED
    if standing.failing:
        return Reason.BREAKER
    return Reason.RATE_LIMIT if standing.spent else Reason.DUE


def _own(waiting: Waiting) -> Reason:
    if not waiting.tried:
        return Reason.PACED
    if waiting.state is DeliveryState.UNKNOWN:
        return Reason.LATE_EFFECT
    return Reason.THROTTLED if waiting.outcome == Result.THROTTLED else Reason.BACKOFF
