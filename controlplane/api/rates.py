"""How often one caller may ask: each token and each account of the API, each address that signs in or is refused.

What takes messages and webhooks in is not counted here, and nothing of this runs on its way: it has a limit of its own, on what
waits (docs/messages.md). The blueprints that are counted are named in `app.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import cast

import structlog
from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, parse_many
from limits.errors import ConfigurationError, StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter
from werkzeug.wrappers import Response as AnyResponse

from controlplane.api.answers import actor
from controlplane.api.problems import problem
from controlplane.errors import SettingsError
from controlplane.settings import Settings

log = structlog.get_logger(__name__)
EXTENSION = "trueup.rates"
PATIENCE = 0.5
"""Seconds that a Redis may take."""
TRIES = frozenset({"login.sign_in", "login.again_by_password", "login.provider", "login.callback"})
"""What tries to sign in."""


@dataclass(frozen=True, slots=True)
class Count:
    """Where a caller stands at the limit that he is nearest to."""

    item: RateLimitItem
    left: int
    reset: int
    """Seconds until there is more."""
    over: bool

    @property
    def headers(self) -> dict[str, str]:
        """The fields of the IETF draft (draft-ietf-httpapi-ratelimit-headers)."""
        policy = f'"{self.item.namespace}";q={self.item.amount};w={self.item.get_expiry()}'
        return {"RateLimit-Policy": policy, "RateLimit": f'"{self.item.namespace}";r={self.left};t={self.reset}'}


class Rates:
    """Counts callers in the memory of this process, or in a Redis that several share. A store that fails lets everybody in."""

    def __init__(self, settings: Settings) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(_store(settings.rate_store))
        self.asking = _items(settings.rate_asking, "asking")
        self.signing_in = _items(settings.rate_sign_in, "sign-in")
        self.refused = _items(settings.rate_refused, "refused")

    def count(self, items: Sequence[RateLimitItem], caller: str) -> Count | None:
        """Count one more of a caller; None where there is no limit, or where it cannot be told."""
        try:
            found = [self._hit(item, caller) for item in items]
        except StorageError as error:
            log.warning("rates", error=f"the store of rates does not answer, and nobody is counted: {error}")
            return None
        return min(found, key=lambda one: (not one.over, one.left), default=None)

    def _hit(self, item: RateLimitItem, caller: str) -> Count:
        over = not self._limiter.hit(item, caller)
        stats = self._limiter.get_window_stats(item, caller)
        return Count(item, stats.remaining, max(1, math.ceil(stats.reset_time - time.time())), over)


def _store(address: str) -> Storage:
    """Raises SettingsError where nothing is installed that speaks to it."""
    patience = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE} if address else {}
    try:
        return cast("Storage", storage_from_string(address or "memory://", wrap_exceptions=True, **patience))
    except ConfigurationError as error:
        raise SettingsError(f"TRUEUP_RATE_STORE: {error}; install the extra: pip install 'trueup[broker]'") from None


def _items(told: str, name: str) -> list[RateLimitItem]:
    items = parse_many(told) if told else []
    for item in items:
        item.namespace = name
    return items


def install(app: Flask, settings: Settings) -> None:
    """Give the application its counters."""
    app.extensions[EXTENSION] = Rates(settings)


def _rates() -> Rates:
    found: Rates = current_app.extensions[EXTENSION]
    return found


# --- what is asked before a request, behind the gate ---


def count_caller() -> Response | None:
    """Count who asks by token, or by account; answer 429 when that was too often."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    caller = f"token/{token[:16]}" if token else f"account/{actor().name}"
    g.rate = _rates().count(_rates().asking, caller)
    return _too_often(f"'{actor().name}' asks too often", g.rate)


def count_tries() -> Response | None:
    """Count who tries to sign in, by address."""
    if request.endpoint not in TRIES:
        return None
    g.rate = _rates().count(_rates().signing_in, _from())
    return _too_often("too many tries to sign in come from this address", g.rate)


def count_refused() -> Response | None:
    """Count who asks without a valid session or token, by address: so nobody guesses for long."""
    g.rate = _rates().count(_rates().refused, _from())
    return _too_often("too many requests without a valid session or token come from this address", g.rate)


def _from() -> str:
    """Where a request comes from: an IPv4 address, or the 64 bits that whoever has an IPv6 address holds all of."""
    told = request.remote_addr or ""
    try:
        address = ip_address(told.partition("%")[0])
    except ValueError:
        return f"address/{told}"
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return f"address/{mapped or IPv6Network((address, 64), strict=False)}"
    return f"address/{address}"


def tell(answer: AnyResponse) -> AnyResponse:
    """Tell a caller in the headers where he stands."""
    count: Count | None = g.get("rate")
    if count is not None:
        answer.headers.update(count.headers)
    return answer


def _too_often(what: str, count: Count | None) -> Response | None:
    if count is None or not count.over:
        return None
    detail = f"{what}: {count.item.amount} in {count.item.get_expiry()} s is the limit; wait {count.reset} s, then go on more slowly"
    answer = problem(429, detail, "urn:trueup:toooften", Retry_After=str(count.reset))
    answer.headers.update(count.headers)
    return answer
