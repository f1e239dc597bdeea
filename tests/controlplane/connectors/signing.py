"""How each vendor signs its webhooks, written once more from its documentation: nothing of the connectors is used."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

ADDRESS = "https://trueup.example/hooks/native"
"""Where Square has been told that we listen: it signs that, too."""
Sign = Callable[[str, bytes, datetime, str], dict[str, str]]
"""Headers of a webhook: of (secret, body, instant, the event's id)."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a vendor signs."""

    sign: Sign
    header: str
    """Where the signature stands."""
    body: bytes
    """An event that the vendor tells."""
    of_body: bool = True
    """The body is signed. Amazon's bus bears a key only."""
    of_time: bool = False
    """The instant is signed, so that an old one is refused."""
    named_in: str = "header"
    """Where the event's id stands: in a header that nothing signs, or in the body."""


def _hash(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).digest()


def shopify(secret: str, body: bytes, _: datetime, event: str) -> dict[str, str]:
    """Base64 of the HMAC-SHA256 of the raw body; topic and id stand beside it."""
    signature = base64.b64encode(_hash(secret, body)).decode()
    return {
        "X-Shopify-Hmac-Sha256": signature, "X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": event,
    }  # fmt: skip


def shiphero(secret: str, body: bytes, _: datetime, event: str) -> dict[str, str]:
    """The same, under other names."""
    signature = base64.b64encode(_hash(secret, body)).decode()
    return {"X-Shiphero-Hmac-Sha256": signature, "X-Shiphero-Message-Id": event}


def square(secret: str, body: bytes, _: datetime, __: str) -> dict[str, str]:
    """Base64 of the HMAC-SHA256 of the subscribed address and the raw body."""
    return {"x-square-hmacsha256-signature": base64.b64encode(_hash(secret, ADDRESS.encode() + body)).decode()}


def stripe(secret: str, body: bytes, at: datetime, _: str) -> dict[str, str]:
    """Hexadecimal HMAC-SHA256 of `seconds.body`."""
    seconds = int(at.timestamp())
    return {"Stripe-Signature": f"t={seconds},v1={_hash(secret, f'{seconds}.'.encode() + body).hex()}"}


def amazon(secret: str, _: bytes, __: datetime, ___: str) -> dict[str, str]:
    """Nothing is signed: EventBridge bears a key of ours in a header of its connection."""
    return {"X-Api-Key": secret}


SCHEMES = {
    "shopify": Scheme(shopify, "X-Shopify-Hmac-Sha256", b'{"id": 1, "name": "#1"}'),
    "shiphero": Scheme(shiphero, "X-Shiphero-Hmac-Sha256", b'{"webhook_type": "Inventory Update", "account_id": 1, "inventory": []}'),
    "square": Scheme(
        square, "x-square-hmacsha256-signature",
        b'{"type": "inventory.count.updated", "event_id": "e1", "data": {"object": {"inventory_counts": []}}}', named_in="body",
    ),
    "stripe": Scheme(
        stripe, "Stripe-Signature", b'{"id": "evt_1", "type": "charge.succeeded", "created": 1, "data": {"object": {"id": "ch_1"}}}',
        of_time=True, named_in="body",
    ),
    "amazon": Scheme(
        amazon, "X-Api-Key",
        b'{"NotificationType": "ORDER_CHANGE", "NotificationMetadata": {"NotificationId": "n1"}, "Payload": {"AmazonOrderId": "1"}}',
        of_body=False, named_in="body",
    ),
}  # fmt: skip
"""Every connector of ours that takes webhooks; `test_hooks.py` fails for one that is not here."""
