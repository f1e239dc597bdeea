"""The balance of one seller: payments, refunds, payouts and what they are made up of."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import Flask, Response, jsonify, request

Answer = Response | tuple[Response, int]
Handler = Callable[..., Answer]
LARGEST = 100


@dataclass
class Balance:
    """What Square knows of a seller's money. `now` is the clock of both; amounts are cents."""

    now: Callable[[], datetime]
    few: int = 20
    """Rows of a page at most: Square may give fewer than were asked for."""
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    payouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Payout -> its entries."""
    open: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Location -> entries that no payout has yet."""

    def pay(
        self, name: str, location: str, amount: int, fee: int | None = None, source: str = "CARD", order: str = ""
    ) -> str:
        """Somebody pays; without a fee the fee is not known yet. Return the payment's id."""
        now = stamp(self.now())
        self.payments[name] = {
            "id": name, "created_at": now, "updated_at": now, "amount_money": money(amount), "total_money": money(amount),
            "status": "COMPLETED", "source_type": source, "location_id": location, "order_id": order or f"order-{name}",
            "buyer_email_address": "somebody@example.com", "version_token": "v1",
        }  # fmt: skip
        if source == "CARD":
            self.payments[name]["card_details"] = {
                "status": "CAPTURED",
                "card": {"last_4": "1111", "cardholder_name": "Somebody"},
            }
        if fee is not None:
            self.charge(name, fee)
        return name

    def charge(self, name: str, fee: int) -> None:
        """The fee of a payment becomes known; it stands on the balance from then on."""
        payment, now = self.payments[name], stamp(self.now())
        payment |= {
            "updated_at": now,
            "processing_fee": [{"effective_at": now, "type": "INITIAL", "amount_money": money(fee)}],
        }
        amount = payment["total_money"]["amount"]
        details = {"type_charge_details": {"payment_id": name}}
        self.enter(f"poe_{name}", payment["location_id"], "CHARGE", amount, fee, **details)

    def refund(self, name: str, payment: str, amount: int, status: str = "COMPLETED") -> str:
        """Money is given back, or is about to be."""
        now, paid = stamp(self.now()), self.payments[payment]
        self.refunds[name] = {
            "id": name, "status": status, "location_id": paid["location_id"], "destination_type": paid["source_type"],
            "amount_money": money(amount), "payment_id": payment, "order_id": paid["order_id"], "created_at": now, "updated_at": now,
            "reason": "somebody said so",
        }  # fmt: skip
        if status == "COMPLETED":
            self._gave_back(name)
        return name

    def complete(self, name: str) -> None:
        """A refund that was pending is carried out."""
        self.refunds[name] |= {"status": "COMPLETED", "updated_at": stamp(self.now())}
        self._gave_back(name)

    def _gave_back(self, name: str) -> None:
        told = self.refunds[name]
        details = {"type_refund_details": {"payment_id": told["payment_id"], "refund_id": name}}
        self.enter(f"poe_{name}", told["location_id"], "REFUND", -told["amount_money"]["amount"], 0, **details)

    def enter(self, name: str, location: str, kind: str, gross: int, fee: int = 0, **details: Any) -> None:
        """Something moves on the balance of a location."""
        self.open.setdefault(location, []).append({
            "id": name, "effective_at": stamp(self.now()), "type": kind, "gross_amount_money": money(gross), "fee_amount_money": money(fee),
            "net_amount_money": money(gross - fee), **details,
        })  # fmt: skip

    def pay_out(self, name: str, location: str) -> str:
        """All that is on the balance of a location goes to the bank."""
        rows, now = self.open.pop(location, []), stamp(self.now())
        self.entries[name] = [{**row, "payout_id": name} for row in rows]
        self.payouts[name] = {
            "id": name, "status": "SENT", "location_id": location, "created_at": now, "updated_at": now, "type": "BATCH", "version": 1,
            "amount_money": money(sum(row["net_amount_money"]["amount"] for row in rows)), "arrival_date": now[:10],
            "destination": {"type": "BANK_ACCOUNT", "id": "bact:somebodys"}, "payout_fee": [],
        }  # fmt: skip
        return name

    def arrive(self, name: str, status: str = "PAID") -> None:
        """The bank has it, or does not take it."""
        told = self.payouts[name]
        told |= {"status": status, "updated_at": stamp(self.now()), "version": told["version"] + 1}


def money(amount: int) -> dict[str, Any]:
    """Return an amount in cents as Square writes it."""
    return {"amount": amount, "currency": "USD"}


def stamp(at: datetime) -> str:
    """Return an instant as Square writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def routes(app: Flask, balance: Balance, admitted: Callable[[Handler], Handler]) -> None:
    """Serve lists and single objects."""

    def listed(rows: list[dict[str, Any]], name: str) -> Answer:
        asked = request.args
        at = int(asked["cursor"].removeprefix("c")) if "cursor" in asked else 0
        size = min(int(asked.get("limit", LARGEST)), LARGEST, balance.few)
        more = {"cursor": f"c{at + size}"} if at + size < len(rows) else {}
        return jsonify({name: rows[at : at + size], **more})

    def of(rows: dict[str, dict[str, Any]], begin: str, changed: str) -> list[dict[str, Any]]:
        asked = request.args
        since = asked.get(begin, "")
        found = [
            one
            for one in rows.values()
            if one["location_id"] == asked.get("location_id", one["location_id"])
            and (not since or datetime.fromisoformat(one[changed]) >= datetime.fromisoformat(since))
        ]
        return sorted(
            found, key=lambda one: (one[changed], one["id"]), reverse=asked.get("sort_order", "DESC") == "DESC"
        )

    @app.get("/v2/payments")
    @admitted
    def payments() -> Answer:
        return listed(of(balance.payments, "updated_at_begin_time", "updated_at"), "payments")

    @app.get("/v2/refunds")
    @admitted
    def refunds() -> Answer:
        return listed(of(balance.refunds, "updated_at_begin_time", "updated_at"), "refunds")

    @app.get("/v2/payouts")
    @admitted
    def payouts() -> Answer:
        return listed(of(balance.payouts, "begin_time", "created_at"), "payouts")

    @app.get("/v2/payouts/<name>/payout-entries")
    @admitted
    def entries(name: str) -> Answer:
        return listed(balance.entries[name], "payout_entries") if name in balance.entries else missing(name)

    @app.get("/v2/payments/<name>")
    @admitted
    def payment(name: str) -> Answer:
        return jsonify(payment=balance.payments[name]) if name in balance.payments else missing(name)

    @app.get("/v2/refunds/<name>")
    @admitted
    def refund(name: str) -> Answer:
        return jsonify(refund=balance.refunds[name]) if name in balance.refunds else missing(name)


def missing(name: str) -> Answer:
    """Refuse, as Square does."""
    error = {"category": "INVALID_REQUEST_ERROR", "code": "NOT_FOUND", "detail": f"Could not find {name}"}
    return jsonify(errors=[error]), 404
