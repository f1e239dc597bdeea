"""What Stripe says of money as canonical messages: movements of the balance, and payouts. Amounts are whole minor units."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from controlplane.connectors.contract import Draft
from controlplane.errors import BadInputError
from rules.money import MINOR_UNITS

DIGITS = {**MINOR_UNITS, "ISK": 2, "UGX": 2}
"""Digits by which Stripe scales; of these two currencies it kept the two that they once had."""
KINDS = {
    "charge": "charge", "payment": "charge", "refund": "refund", "payment_refund": "refund", "refund_failure": "refund_failed",
    "payment_failure_refund": "refund", "payout": "payout", "payout_cancel": "payout_failed", "payout_failure": "payout_failed",
    "stripe_fee": "fee", "stripe_fx_fee": "fee", "tax_fee": "fee", "application_fee": "fee",
}  # fmt: skip
"""Stripe's types of movements; one that is not listed is `other`, so that none gets lost."""
STATES = frozenset({"pending", "in_transit", "paid", "failed", "canceled"})
KEPT = (
    "id",
    "object",
    "type",
    "amount",
    "fee",
    "net",
    "currency",
    "created",
    "available_on",
    "status",
    "reporting_category",
)
PAYOUT = ("id", "object", "amount", "currency", "arrival_date", "created", "status", "failure_code", "failure_message")


def amount(units: Any, currency: str) -> Decimal:
    """Return minor units as an amount. Raises ValueError for what is no whole number."""
    if not isinstance(units, int) or isinstance(units, bool):
        raise ValueError(f"{units!r} is no whole number of minor units")
    return Decimal(units).scaleb(-DIGITS.get(currency, 2))


def units(value: Decimal, currency: str) -> int:
    """Return an amount as minor units, as Stripe counts them. Raises ValueError for what is finer."""
    scaled = value.scaleb(DIGITS.get(currency, 2))
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"{value} {currency} is no whole number of minor units")
    return int(scaled)


def kept_movement(row: Mapping[str, Any], order_key: str) -> dict[str, Any]:
    """Return what is kept of a balance transaction with its source: nothing that speaks of a person."""
    source = row.get("source")
    whole = source if isinstance(source, Mapping) else {"id": source}
    about = {"id": whole.get("id"), "object": whole.get("object"), "order_ref": _order(whole, order_key)}
    return {name: row.get(name) for name in KEPT} | {"source": about}


def _order(source: Mapping[str, Any], order_key: str) -> str:
    """The order that metadata names: of the payment, or of the payment that a refund or a dispute is about."""
    for one in (source, source.get("charge")):
        told = one.get("metadata") if isinstance(one, Mapping) else None
        if isinstance(told, Mapping) and told.get(order_key):
            return str(told[order_key])
    return ""


def movement(told: Mapping[str, Any]) -> Draft:
    """Return `payment.recorded`. Raises KeyError, TypeError, ValueError, BadInputError."""
    ref, kind, currency = str(told["id"]), str(told["type"]), str(told["currency"]).upper()
    source = told.get("source") or {}
    moved = amount(told["amount"], currency)
    data = {
        "ref": ref, "kind": _kind(kind, str(source.get("id") or ""), moved), "native_kind": kind,
        "about": str(source.get("id") or ""), "order_ref": str(source.get("order_ref") or ""), "amount": str(moved),
        "fee": str(amount(told["fee"], currency)), "net": str(amount(told["net"], currency)), "currency": currency,
        "recorded_at": _at(told["created"]).isoformat(), "available_at": _at(told["available_on"]).isoformat(),
    }  # fmt: skip
    return Draft("payment.recorded", ref, f"payment.recorded:{ref}", _at(told["created"]), data)


def _kind(native: str, source: str, moved: Decimal) -> str:
    if native == "adjustment" and source.startswith(("dp_", "du_")):
        return "dispute" if moved < 0 else "dispute_won"
    return KINDS.get(native, "other")


def payout(told: Mapping[str, Any], changed_at: datetime) -> Draft:
    """Return `settlement.changed`: each state is a fact of its own. Raises KeyError, TypeError, ValueError, BadInputError."""
    ref, state, currency = str(told["id"]), str(told["status"]), str(told["currency"]).upper()
    if state not in STATES:
        raise BadInputError(
            f"payout {ref} is '{state}', which is no state that is known; report it, and replay when it is", "status"
        )
    data = {
        "ref": ref, "state": state, "amount": str(amount(told["amount"], currency)), "currency": currency,
        "arrives_on": _at(told["arrival_date"]).strftime("%Y-%m-%d"), "reason": str(told.get("failure_code") or ""),
        "changed_at": changed_at.isoformat(),
    }  # fmt: skip
    return Draft("settlement.changed", ref, f"settlement.changed:{ref}:{state}", changed_at, data)


def _at(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
