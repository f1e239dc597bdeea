"""Events. Of a payout the event is the fact; any other tells only what to read anew, for events come late and in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controlplane.connectors.builtin.stripe import money
from controlplane.connectors.builtin.stripe.api import Api
from controlplane.connectors.contract import Draft
from controlplane.connectors.records import verbatim

PAYOUTS = tuple(f"payout.{name}" for name in ("created", "updated", "paid", "failed", "canceled"))
DISPUTES = ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")
MOVED = (
    "charge.succeeded", "charge.captured", "charge.refunded", "charge.refund.updated", "refund.created", "refund.updated",
    "refund.failed", *(f"charge.dispute.{name}" for name in DISPUTES),
)  # fmt: skip
"""Events after which something may have moved on the balance."""
PATHS = {"charge": "/v1/charges/", "refund": "/v1/refunds/", "dispute": "/v1/disputes/"}
EXPAND = {"charge": "source", "refund": "source.charge", "dispute": "source.charge"}
"""Where the payment's metadata is, from a movement that is of such an object."""


def kept(told: Mapping[str, Any]) -> bytes:
    """Return what is kept of an event: of anything but a payout only what it is about, so that no person is told of."""
    data = told.get("data")
    about = data.get("object") if isinstance(data, Mapping) else None
    names = money.PAYOUT if told.get("type") in PAYOUTS else ("id", "object")
    whole = {name: about[name] for name in names if name in about} if isinstance(about, Mapping) else None
    return verbatim({name: told.get(name) for name in ("id", "type", "created")} | {"data": {"object": whole}})


def movements(api: Api, told: Mapping[str, Any], order_key: str) -> list[Draft]:
    """Return what moved by now for the payment, refund or dispute that an event is about.

    Raises ConnectorError, and KeyError, TypeError, ValueError for what breaks Stripe's contract.
    """
    about = told["data"]["object"]
    kind, name = str(about["object"]), str(about["id"])
    if not name.replace("_", "").isalnum():
        raise ValueError(f"{name!r} is no id")
    found, _ = api.read(PATHS[kind] + name)
    ids = dict.fromkeys([(kind, one) for one in _named(found)] + (_refunded(api, name) if kind == "charge" else []))
    return [_movement(api, kind_of, one, order_key) for kind_of, one in ids]


def _refunded(api: Api, charge: str) -> list[tuple[str, str]]:
    """A charge names its refunds only in older versions, and the newest ten; so they are listed."""
    pages: Iterable[list[dict[str, Any]]] = (rows for rows, _ in api.rows("/v1/refunds", {"charge": charge}))
    return [("refund", one) for rows in pages for row in rows for one in _named(row)]


def _named(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the movements that an object names."""
    listed = found.get("balance_transactions")
    for one in (
        found.get("balance_transaction"),
        found.get("failure_balance_transaction"),
        *(listed if isinstance(listed, list) else ()),
    ):
        name = one.get("id") if isinstance(one, Mapping) else one
        if name:
            yield str(name)


def _movement(api: Api, kind: str, name: str, order_key: str) -> Draft:
    row, _ = api.read(f"/v1/balance_transactions/{name}", {"expand[0]": EXPAND[kind]})
    return money.movement(money.kept_movement(row, order_key))
