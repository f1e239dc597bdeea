"""An account over HTTP: its balance, payouts, payments, refunds and disputes. Lists come newest first, and writes remember their key."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.gate import hang_up
from controlplane.sandbox.stripe.account import Account, RefusedError

KEY = "sk_test_key"  # a sandbox's
DAY = 86_400
Answer = Response | tuple[Response, int]
Handler = Callable[..., Answer]


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
        return _listed(
            account.balance, "/v1/balance_transactions", lambda row: _expanded(account, row, _wanted("data."))
        )

    @app.get("/v1/balance_transactions/<name>")
    @admitted
    def transaction(name: str) -> Answer:
        found = [row for row in account.balance if row["id"] == name]
        return jsonify(_expanded(account, found[0], _wanted(""))) if found else _missing(name)

    @app.get("/v1/payouts")
    @admitted
    def payouts() -> Answer:
        return _listed(account.payouts, "/v1/payouts", lambda row: row)

    @app.get("/v1/<any(charges, refunds, disputes, payment_intents):kind>/<name>")
    @admitted
    def one(kind: str, name: str) -> Answer:
        found = getattr(account, kind).get(name)
        return jsonify(found) if found else _missing(name)

    @app.get("/v1/refunds")
    @admitted
    def refunds() -> Answer:
        wanted = {name: request.args[name] for name in ("charge", "payment_intent") if name in request.args}
        rows = [row for row in account.refunds.values() if wanted.items() <= row.items()]
        return _listed(rows, "/v1/refunds", lambda row: row)

    @app.post("/v1/refunds")
    @admitted
    def refund() -> Answer:
        return _once(account, _refund)

    return app


def _once(account: Account, act: Callable[[Account, dict[str, Any]], Response | tuple[Response, int]]) -> Answer:
    """Answer a key again what it was answered first, whatever that was; parameters are compared, and a key is forgotten after a day."""
    key, form = request.headers.get("Idempotency-Key", ""), request.form.to_dict()
    if key in account.busy:
        return refused(
            409,
            "idempotency_error",
            "There is currently another in-progress request using this key.",
            "idempotency_key_in_use",
        )
    held = account.keys.get(key)
    if held and account.seconds() - held[3] < DAY:
        if held[0] != form:
            return refused(
                400, "idempotency_error", "Keys for idempotent requests can only be used with the same parameters."
            )
        again = Response(held[2], held[1], mimetype="application/json")
        again.headers["Idempotent-Replayed"] = "true"
        return again
    made = act(account, form)
    answer, status = made if isinstance(made, tuple) else (made, 200)
    if key and answer.headers.pop("x-not-begun", None) is None:
        account.keys[key] = (form, status, answer.get_data(), account.seconds())
    if account.lost:
        account.lost -= 1
        return hang_up()
    return answer, status


def _refund(account: Account, form: dict[str, Any]) -> Response | tuple[Response, int]:
    if not str(form.get("amount", "")).isdigit() or not int(form["amount"]):
        answer, status = refused(400, "invalid_request_error", "Invalid positive integer", "parameter_invalid_integer")
        answer.headers["x-not-begun"] = "1"  # parameters that are no parameters are refused before anything begins
        return answer, status
    if account.broken:
        account.broken -= 1
        return refused(500, "api_error", "An unknown error occurred")
    metadata = {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")}
    try:
        made = account.refund(
            form.get("charge"), form.get("payment_intent"), int(form["amount"]), form.get("reason"), metadata
        )
    except RefusedError as error:
        return refused(error.status, "invalid_request_error", str(error), error.code)
    if account.broken_after:
        account.broken_after -= 1
        return refused(500, "api_error", "An unknown error occurred")
    return jsonify(made)


def _missing(name: str) -> tuple[Response, int]:
    return refused(404, "invalid_request_error", f"No such object: '{name}'", "resource_missing")


def _wanted(before: str) -> set[str]:
    return {value.removeprefix(before) for name, value in request.args.items() if name.startswith("expand")}


def _expanded(account: Account, row: dict[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    """Put the source in the place of its id, and its payment in the place of that one's."""
    name, asked = row["source"] or "", set(wanted)
    source = account.charges.get(name) or account.refunds.get(name) or account.disputes.get(name)
    if source is None or not asked:
        return row
    if "source.charge" in asked and source["object"] != "charge":
        source = {**source, "charge": account.charges[source["charge"]]}
    return {**row, "source": source}


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
