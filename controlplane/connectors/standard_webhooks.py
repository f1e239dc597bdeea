"""Webhooks signed by the Standard Webhooks specification (1.0, symmetric): going out, and coming in.

What is signed is `id.timestamp.body`, by HMAC-SHA256 with the bytes behind `whsec_` (base64). While a secret is changed both sign:
the header holds one signature for each, and whoever verifies is content with one that fits any of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Generator, Sequence
from datetime import UTC, datetime, timedelta

import httpx

from controlplane.clock import Clock
from controlplane.connectors.contract import Inbound, SignatureError
from controlplane.errors import SettingsError

PREFIX = "whsec_"
VERSION = "v1"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = timedelta(minutes=5)
"""How far the time of a webhook may be from ours, either way."""
LEAST = 24
"""Bytes of a secret, at least, as the specification asks for."""


def keys_of(secret: str, what: str = "the secret") -> tuple[bytes, ...]:
    """Return the keys of a secret: one, or several divided by spaces, the newest first. Raises SettingsError, never showing it."""
    found = tuple(_key(one, what) for one in secret.split())
    if not found:
        raise SettingsError(f"{what} is empty; give it as {PREFIX}BASE64")
    return found


def _key(text: str, what: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise SettingsError(f"{what} is no base64 behind '{PREFIX}'; give it as the other side shows it") from error
    if len(key) < LEAST:
        raise SettingsError(f"{what} has {len(key)} bytes; give one of {LEAST} at least")
    return key


def signature(key: bytes, identity: str, at: int, body: bytes) -> str:
    """Return the signature of a body, with its version; `at`: seconds since 1970."""
    told = hmac.new(key, b".".join((identity.encode(), str(at).encode(), body)), hashlib.sha256).digest()
    return f"{VERSION},{base64.b64encode(told).decode()}"


def identity_of(key: str) -> str:
    """Return the id of a webhook that is known by a key of ours: the same for every try, without a full stop."""
    return f"msg_{hashlib.sha256(key.encode()).hexdigest()[:32]}"


class Signed(httpx.Auth):
    """Signs one webhook at the time at which it is sent, with each of the keys, on top of another proof."""

    requires_request_body = True

    def __init__(self, keys: Sequence[bytes], identity: str, clock: Clock, beside: httpx.Auth | None = None) -> None:
        self._keys, self._identity, self._clock, self._beside = keys, identity, clock, beside or httpx.Auth()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the three headers."""
        at = int(self._clock.now().timestamp())
        request.headers[ID], request.headers[TIMESTAMP] = self._identity, str(at)
        request.headers[SIGNATURE] = " ".join(signature(key, self._identity, at, request.content) for key in self._keys)
        yield from self._beside.auth_flow(request)


def verified(inbound: Inbound, keys: Sequence[bytes], now: datetime, tolerance: timedelta = TOLERANCE) -> str:
    """Return the id of a webhook that was signed with one of the keys, lately. Raises SignatureError."""
    identity, told, given = (inbound.headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not identity or not told or not given:
        raise SignatureError(f"the webhook lacks one of the headers {ID}, {TIMESTAMP} and {SIGNATURE}")
    at = _seconds(told)
    if abs(now - datetime.fromtimestamp(at, UTC)) > tolerance:
        raise SignatureError(f"the webhook was signed at {told}, more than {tolerance} from our time")
    wanted = [signature(key, identity, at, inbound.body).encode() for key in keys]
    # every pair is compared, so that the time taken tells nothing
    fits = [hmac.compare_digest(one, other.encode()) for one in wanted for other in given.split()]
    if not any(fits):
        raise SignatureError("no signature of the webhook fits; check the secret on either side")
    return identity


def _seconds(text: str) -> int:
    """Read a time as it was signed. Raises SignatureError for another spelling, by which a body would be signed anew."""
    if not text.isascii() or not text.isdecimal() or len(text) > 11 or str(int(text)) != text:
        raise SignatureError(f"the header {TIMESTAMP} is no number of seconds since 1970")
    return int(text)
