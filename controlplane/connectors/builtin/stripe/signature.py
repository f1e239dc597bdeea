"""Stripe's signature of a webhook: HMAC-SHA256 of time and raw body, by every secret in force, not older than five minutes."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from controlplane.connectors.auth import fits

TOLERANCE = timedelta(minutes=5)


def check(header: str, body: bytes, secret: str, now: datetime) -> str:
    """Return what is wrong with a signature; empty: nothing."""
    parts = [part.partition("=") for part in header.split(",")]
    times = [value.strip() for name, _, value in parts if name.strip() == "t"]
    given = [value.strip() for name, _, value in parts if name.strip() == "v1"]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > 12 or not given:
        return "it has no time and no v1 signature"
    signed = times[0].encode() + b"." + body
    if not fits(secret, given, lambda key: hmac.new(key, signed, hashlib.sha256).hexdigest().encode()):
        return "it does not match the body"
    if abs(now - datetime.fromtimestamp(int(times[0]), UTC)) > TOLERANCE:
        return "it is older than five minutes, or of a clock that is ahead"
    return ""
