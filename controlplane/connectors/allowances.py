"""What the headers of an answer say is left of a system's limit, in the forms that vendors use.

    RateLimit: "default";r=50;t=30                           the IETF's draft, since 2023
    RateLimit-Remaining: 50, RateLimit-Reset: 30             the same before, and as X-RateLimit-… or X-Rate-Limit-…
    X-Rate-Limit-Requests-Left, X-Rate-Limit-Time-Reset-Ms   BigCommerce
    X-Shopify-Shop-Api-Call-Limit: 39/40                     used of how many; it drains by itself

A reset is told in seconds, or as the instant in seconds or milliseconds since 1970.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite

from rules.pacing import Allowance

FORGET = timedelta(seconds=10)
"""After which what was said without the time that it holds for says nothing any more."""
PREFIXES = ("ratelimit-", "x-ratelimit-", "x-rate-limit-")
EPOCH_SECONDS, EPOCH_MILLISECONDS = 1e9, 1e12
"""From these numbers on a reset is an instant, and no span."""
_ITEM = re.compile(r"(?:^|;)\s*(r|t)\s*=\s*(\d+)")


class Left:
    """What a system last said is left of its limit. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: tuple[Allowance, datetime] | None = None

    def heard(self, headers: Mapping[str, str], now: datetime) -> None:
        """Keep what the headers of an answer say, if they say anything."""
        found = told_by(headers, now)
        if found is not None:
            self.note(found, now)

    def note(self, allowance: Allowance, now: datetime) -> None:
        """Keep what a system said of it in another way."""
        with self._lock:
            self._told = (allowance, now)

    def at(self, now: datetime) -> Allowance | None:
        """Return what is left at an instant, as far as that is known; nothing once the limit is whole again."""
        with self._lock:
            told = self._told
        if told is None:
            return None
        allowance, since = told[0], now - told[1]
        holds = FORGET if allowance.reset_after is None else timedelta(seconds=min(allowance.reset_after, 86_400))
        if not timedelta(0) <= since <= holds:
            return None
        if allowance.reset_after is None:
            return allowance
        return Allowance(allowance.remaining, max(0.0, allowance.reset_after - since.total_seconds()))


def told_by(headers: Mapping[str, str], now: datetime) -> Allowance | None:
    """Return what is left of the limit by the headers of an answer; None where they do not say."""
    found = [_structured(headers), *(_plain(headers, prefix, now) for prefix in PREFIXES), _requests_left(headers)]
    found.append(_used(headers.get("x-shopify-shop-api-call-limit", "")))
    return min((one for one in found if one is not None), key=lambda one: one.remaining, default=None)


def _structured(headers: Mapping[str, str]) -> Allowance | None:
    """Several limits may be told, each for itself: the one that has least left counts."""
    told = []
    for item in headers.get("ratelimit", "").split(","):
        parts = dict(_ITEM.findall(item))
        if "r" in parts:
            told.append(Allowance(float(parts["r"]), float(parts["t"]) if "t" in parts else None))
    return min(told, key=lambda one: one.remaining, default=None)


def _plain(headers: Mapping[str, str], prefix: str, now: datetime) -> Allowance | None:
    left = _number(headers.get(f"{prefix}remaining"))
    return None if left is None else Allowance(left, _span(_number(headers.get(f"{prefix}reset")), now))


def _requests_left(headers: Mapping[str, str]) -> Allowance | None:
    left, reset = (_number(headers.get(f"x-rate-limit-{name}")) for name in ("requests-left", "time-reset-ms"))
    return None if left is None else Allowance(left, None if reset is None else reset / 1000)


def _used(told: str) -> Allowance | None:
    used, _, size = told.partition("/")
    taken, most = _number(used), _number(size)
    return None if taken is None or most is None else Allowance(max(0.0, most - taken))


def _span(reset: float | None, now: datetime) -> float | None:
    if reset is None or reset < EPOCH_SECONDS:
        return reset
    instant = reset / 1000 if reset >= EPOCH_MILLISECONDS else reset
    return max(0.0, instant - now.timestamp())


def _number(told: str | None) -> float | None:
    try:
        number = float(told or "")
    except ValueError:
        return None
    return number if isfinite(number) and number >= 0 else None
