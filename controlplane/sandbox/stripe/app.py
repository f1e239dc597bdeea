"""An account: what moved on its balance, its payouts, and the events that it tells, signed. Lists come newest first."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from itertools import count
from typing import Any

from flask import Flask, Response, jsonify, request

KEY = "sk_test_key"  # a sandbox's
Answer = Response | tuple[Response, int]
Handler = Callable[..., Answer]


@dataclass
class Account:
    """What Stripe knows of one account. `now` is the clock of both."""

    now: Callable[[], datetime]
    balance: list[dict[str, Any]] = field(default_factory=list)
    charges: dict[str, dict[str, Any]] = field(default_factory=dict)
    payouts: list[dict[str, Any]] = field(default_factory=list)
    throttled: int = 0
    """How many of the next requests are refused for their number."""
    numbers: Any = field(default_factory=lambda: count(1))
    lock: threading.RLock = field(default_factory=threading.RLock)

    def _seconds(self) -> int:
        return int(self.now().timestamp())

    def moved(self, kind: str, amount: int, fee: int = 0, source: str | None = None, currency: str = "usd") -> str:
        """Note a movement of the balance; return its id."""
        name, now = f"txn_{next(self.numbers)}", self._seconds()
        self.balance.append({
            "id": name, "object": "balance_transaction", "type": kind, "reporting_category": kind, "amount": amount, "fee": fee,
            "net": amount - fee, "fee_details": [], "currency": currency, "created": now, "available_on": now + 172_800,
            "status": "pending", "source": source, "description": None, "exchange_rate": None,
        })  # fmt: skip
        return name

    def charge(self, amount: int, fee: int, order: str = "", currency: str = "usd") -> str:
        """Somebody pays; return the payment's id."""
        name = f"ch_{next(self.numbers)}"
        self.charges[name] = {
            "id": name, "object": "charge", "amount": amount, "amount_refunded": 0, "captured": True, "created": self._seconds(),
            "currency": currency, "disputed": False, "livemode": False, "metadata": {"order_ref": order} if order else {}, "paid": True,
            "refunded": False, "status": "succeeded", "receipt_email": "somebody@example.test",
            "billing_details": {"address": None, "email": "somebody@example.test", "name": "Some Body", "phone": None},
            "refunds": {"object": "list", "data": [], "has_more": False, "url": f"/v1/charges/{name}/refunds"},
        }  # fmt: skip
        self.moved("charge", amount, fee, name, currency)
        return name

    def pay_out(self, amount: int, state: str = "in_transit") -> str:
        """Money goes to the bank; return the payout's id."""
        name = f"po_{next(self.numbers)}"
        self.payouts.append({
            "id": name, "object": "payout", "amount": amount, "arrival_date": self._seconds() + 86_400, "automatic": True,
            "created": self._seconds(), "currency": "usd", "livemode": False, "metadata": {}, "method": "standard",
            "source_type": "card", "status": state, "type": "bank_account", "failure_code": None, "failure_message": None,
        })  # fmt: skip
        self.moved("payout", -amount, 0, name)
        return name

    def settle(self, name: str, state: str, why: str | None = None) -> dict[str, Any]:
        """The payout comes into another state; return the event."""
        [held] = [one for one in self.payouts if one["id"] == name]
        held |= {"status": state, "failure_code": why}
        if state == "failed":
            held["failure_balance_transaction"] = self.moved("payout_failure", held["amount"], 0, name)
        return {
            "id": f"evt_{next(self.numbers)}", "object": "event", "type": f"payout.{state}", "created": self._seconds(),
            "livemode": False, "pending_webhooks": 1, "data": {"object": dict(held)},
        }  # fmt: skip


def signed(secret: str, at: datetime, told: dict[str, Any], *others: str) -> tuple[bytes, str]:
    """Return the body of a webhook and its signature; `others`: secrets that are in force beside it."""
    body, time = json.dumps(told).encode(), str(int(at.timestamp()))
    marks = [
        hmac.new(one.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest() for one in (*others, secret)
    ]
    return body, ",".join([f"t={time}", *(f"v1={mark}" for mark in marks), "v0=older"])


def refused(status: int, kind: str, message: str, code: str = "") -> tuple[Response, int]:
    """Return an error as Stripe writes one."""
    return jsonify(error={"type": kind, "message": message} | ({"code": code} if code else {})), status


def create(account: Account) -> Flask:
    """Return an application for one account, whose key is `sk_test_key`."""
    app = Flask("stripe")

    def admitted(handle: Handler) -> Handler:
        @wraps(handle)
        def answered(**path: str) -> Answer:
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                return refused(401, "invalid_request_error", "Invalid API Key provided")
            with account.lock:
                if account.throttled:
                    account.throttled -= 1
                    return refused(429, "rate_limit_error", "Too many requests hit the API too quickly.", "rate_limit")
                return handle(**path)

        return answered

    @app.get("/v1/balance")
    @admitted
    def balance() -> Answer:
        return jsonify(object="balance", available=[], pending=[], livemode=False)

    @app.get("/v1/balance_transactions")
    @admitted
    def transactions() -> Answer:
        wanted = {value for name, value in request.args.items() if name.startswith("expand")}
        return _listed(account.balance, "/v1/balance_transactions", lambda row: _expanded(account, row, wanted))

    @app.get("/v1/payouts")
    @admitted
    def payouts() -> Answer:
        return _listed(account.payouts, "/v1/payouts", lambda row: row)

    return app


def _expanded(account: Account, row: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    charge = account.charges.get(row["source"] or "")
    return {**row, "source": charge} if charge and "data.source" in wanted else row


def _listed(rows: list[dict[str, Any]], url: str, shown: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    since, after = int(request.args.get("created[gte]", 0)), request.args.get("starting_after")
    chosen = [row for row in reversed(rows) if row["created"] >= since]
    if after is not None:
        places = [at for at, row in enumerate(chosen) if row["id"] == after]
        if not places:
            return refused(400, "invalid_request_error", f"No such object: '{after}'", "resource_missing")
        chosen = chosen[places[0] + 1 :]
    size = min(100, int(request.args.get("limit", 10)))
    return jsonify(object="list", url=url, has_more=len(chosen) > size, data=[shown(row) for row in chosen[:size]])
