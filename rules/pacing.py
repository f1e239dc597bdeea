"""How fast a system may be asked: a token bucket that policy fills, and what is learned when the system says 'slow down'.

What was learned grows back as in CUBIC (RFC 9438, and the adaptive retries of AWS's SDKs): soon near the rate at which the
system said so, then slowly past it, then faster and faster. So one that refuses calls whatever their rate is not asked for
less and less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

SLOWER = 0.7
"""A system that asks to slow down is asked for this share of what it was asked before."""
GROWTH = 0.4
"""Of the cubic by which the rate then grows until it is the policy's again: requests a second, per second cubed."""
SLOWEST = 0.1
"""Requests a second that are always tried: a system that took nothing would never be asked again."""
FORGET = 60.0
"""Seconds after which what was learned is forgotten where policy sets no rate to grow back to."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a system says is left of its limit."""

    remaining: float
    """Requests that it would still take now."""
    reset_after: float | None = None
    """Seconds until it takes more."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The state of one system's limit, shared by all workers. `tokens` is None until the first request."""

    tokens: float | None
    at: datetime | None
    learned_rate: float | None = None
    learned_at: datetime | None = None


def rate_now(bucket: Bucket, rate: float | None, now: datetime) -> float | None:
    """Return the requests a second that are allowed now; None: as many as fit into the system's concurrency."""
    if bucket.learned_rate is None or bucket.learned_at is None:
        return rate
    seconds = max(0.0, (now - bucket.learned_at).total_seconds())
    if rate is None and seconds > FORGET:
        return None
    refused_at = bucket.learned_rate / SLOWER
    plateau = float((refused_at * (1 - SLOWER) / GROWTH) ** (1 / 3))
    grown = refused_at + GROWTH * (seconds - plateau) ** 3
    return grown if rate is None else min(rate, grown)


def refilled(bucket: Bucket, rate: float | None, burst: int | None, now: datetime) -> Bucket:
    """Return the bucket with the tokens that came in since; full where it was never used, or the clock was put back."""
    allowed = rate_now(bucket, rate, now)
    if allowed is None:
        return replace(bucket, tokens=None, at=None)
    full = max(1.0, float(burst) if burst else allowed)
    if bucket.tokens is None or bucket.at is None:
        return replace(bucket, tokens=full, at=now)
    seconds = max(0.0, (now - bucket.at).total_seconds())
    return replace(bucket, tokens=min(full, bucket.tokens + seconds * allowed), at=now)


def take(bucket: Bucket, wanted: int) -> tuple[int, Bucket]:
    """Take up to so many tokens out of a refilled bucket; return how many it gave, and what is left."""
    if bucket.tokens is None:
        return wanted, bucket
    given = min(wanted, int(bucket.tokens))
    return given, replace(bucket, tokens=bucket.tokens - given)


def seconds_to_token(bucket: Bucket, rate: float | None, now: datetime) -> float:
    """Return the seconds until the bucket holds a whole token."""
    allowed = rate_now(bucket, rate, now)
    if bucket.tokens is None or allowed is None or bucket.tokens >= 1:
        return 0.0
    return (1 - bucket.tokens) / allowed


def slowed(bucket: Bucket, rate: float | None, observed: float, now: datetime) -> Bucket:
    """Return the bucket after the system asked to slow down; `observed`: the most it was sent lately in one second."""
    before = rate_now(bucket, rate, now)
    base = observed if before is None else min(before, observed) if observed > 0 else before
    return replace(bucket, tokens=0.0, at=now, learned_rate=max(SLOWEST, base * SLOWER), learned_at=now)


def heeded(bucket: Bucket, allowance: Allowance, now: datetime) -> Bucket:
    """Return the bucket with no more tokens than the system says it would take."""
    if bucket.tokens is None or bucket.tokens <= allowance.remaining:
        return bucket
    return replace(bucket, tokens=max(0.0, allowance.remaining), at=now)
