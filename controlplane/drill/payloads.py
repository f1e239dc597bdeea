"""Data of canonical messages that nothing happened for. Pure: what they are made of is handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.drill.material import Material
from controlplane.errors import BadInputError

MARK = "DRILL"
"""Every reference begins with it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The document that is asked for."""

    number: int
    """0, 1, 2 … within a drill."""
    ref: str
    now: datetime
    material: Material

    def goods(self, count: int) -> list[dict[str, Any]]:
        """Return lines of one unit each."""
        return [{"sku": sku, "quantity": 1} for sku in self.material.goods(self.number, count)]

    @property
    def basket(self) -> int:
        """How many lines it has: one to three, by turns."""
        return 1 + self.number % 3


@dataclass(frozen=True, slots=True)
class Change:
    """The level that is to be set."""

    sku: str
    location: str
    quantity: int
    shown: int
    """What the target shows before."""
    now: datetime
    system: str


def order(asked: Asked) -> dict[str, Any]:
    """Make an `order.placed`."""
    about = {"location": asked.material.place, "unit_price": "1.00"}
    lines = [
        {"line": position, "native_id": f"{asked.ref}-{position}", **line, **about}
        for position, line in enumerate(asked.goods(asked.basket), 1)
    ]
    money = {"currency": asked.material.currency}
    return {"ref": asked.ref, "native_id": asked.ref, "placed_at": asked.now, "lines": lines, **money}


def receipt(asked: Asked) -> dict[str, Any]:
    """Make a `receipt.received`."""
    about = {"purchase_order": asked.ref, "location": asked.material.place, "received_at": asked.now}
    return {"receipt": asked.ref, "lines": asked.goods(asked.basket), **about}


def returned(asked: Asked) -> dict[str, Any]:
    """Make a `return.received`."""
    about = {"order_ref": asked.ref, "location": asked.material.place, "received_at": asked.now}
    return {"return_ref": asked.ref, "lines": asked.goods(1), **about}


def sale(asked: Asked) -> dict[str, Any]:
    """Make a `sale.recorded`."""
    [line] = asked.goods(1)
    about = {"location": asked.material.place, "sold_at": asked.now}
    return {"ref": asked.ref, **line, **about, "unit_price": "1.00", "currency": asked.material.currency}


def posting(asked: Asked) -> dict[str, Any]:
    """Make a `posting.made` of a hundredth. Raises BadInputError when no policy names two accounts."""
    debit, credit = asked.material.accounts
    if not debit or not credit:
        raise BadInputError("no AccountingRule names two accounts to post to; add one to the policies of the drill")
    lines = [
        {"account": debit, "debit": "0.01", "credit": "0", "memo": asked.ref},
        {"account": credit, "debit": "0", "credit": "0.01", "memo": asked.ref},
    ]
    about = {"business_date": f"{asked.now:%Y-%m-%d}", "currency": asked.material.currency, "rule_revision": "drill"}
    return {"posting_key": asked.ref, "document": asked.ref, "lines": lines, **about}


def incident(asked: Asked) -> dict[str, Any]:
    """Make an `incident.notified`: an incident and its resolution by turns, so that none stays open."""
    resolving = asked.number % 2
    name = f"{asked.ref.rpartition('-')[0]}-{asked.number - resolving}"
    said = {"title": f"{MARK}: nothing happened", "cause": "a go-live drill", "owner": MARK, "severity": "ticket"}
    return {
        "incident": name, "fingerprint": name, "action": "resolve" if resolving else "trigger", "sequence": resolving,
        "money_at_risk": None, "currency": None, "opened_at": asked.now, "url": "", **said,
    }  # fmt: skip


def offer(change: Change) -> dict[str, Any]:
    """Make a `stock.offer`."""
    about = {"sku": change.sku, "location": change.location, "channel": change.system, "rule_revision": "drill"}
    return {**about, "quantity": change.quantity, "expected": change.shown}


def level(change: Change) -> dict[str, Any]:
    """Make a `stock.level` with nothing allocated."""
    counts = {"on_hand": change.quantity, "allocated": 0, "available": change.quantity, "in_transit": 0}
    return {"sku": change.sku, "location": change.location, **counts, "source_at": change.now}


DOCUMENTS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "order.placed": order,
    "sale.recorded": sale,
    "receipt.received": receipt,
    "return.received": returned,
    "posting.made": posting,
    "incident.notified": incident,
}
LEVELS: dict[str, Callable[[Change], dict[str, Any]]] = {"stock.offer": offer, "stock.level": level}
WITHOUT_GOODS = frozenset({"posting.made", "incident.notified"})
NOT_MADE = {
    "shipment.shipped": "it needs an order at the target that it ships",
    "product.described": "it would overwrite what goods are called and cost",
    "payment.recorded": "it would tell of money that never moved",
    "settlement.changed": "it would tell of money that never moved",
    "refund.requested": "it would give money back that somebody paid",
    "tax.asked": "what an engine agrees with is posted",
    "tax.agreed": "what an engine agreed with is posted",
}
"""Why some types are not made up."""
