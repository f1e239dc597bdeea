"""One account: tax codes, rates by region, transactions. Estimates are computed and forgotten; invoices are kept."""

import base64
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, request

ACCOUNT, KEY = "1100012345", "A1B2C3D4E5F6A7B8"  # a sandbox's
Answer = Response | tuple[Response, int] | tuple[Response, int, dict[str, str]]
Handler = Callable[..., Answer]
GENERAL = "P0000000"
_FILTER = re.compile(
    r"^\s*(taxCode)\s+(?:in\s*\((?P<many>.*)\)|eq\s+(?P<one>'(?:[^']|'')*'))\s*$", re.IGNORECASE | re.DOTALL
)
_TEXT = re.compile(r"'((?:[^']|'')*)'")
DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")


@dataclass
class Account:
    """What AvaTax knows of one account."""

    company: str = "DEFAULT"
    page: int = 1000
    """Rows of a page at most, whatever `$top` says."""
    codes: dict[str, bool | None] = field(default_factory=lambda: {GENERAL: True})
    """Avalara's tax codes -> in use; None: it does not say."""
    own: dict[str, bool | None] = field(default_factory=dict)
    """The company's own."""
    rates: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """(country, region) -> rate."""
    untaxed: dict[str, set[str]] = field(default_factory=dict)
    """Tax code -> regions in which it is exempt."""
    kept: list[dict[str, Any]] = field(default_factory=list)
    """Transactions that were recorded: of estimates there are none."""
    computed: set[str] = field(default_factory=set)
    """References of the transactions that were computed, kept or not."""
    throttled: int = 0
    """How many of the next requests are refused for their number."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Members of the next estimates that are answered otherwise."""
    asked: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)


def refused(status: int, code: str, message: str, *details: tuple[str, str]) -> tuple[Response, int]:
    """Return an error as AvaTax writes one; `details`: (description, what it refers to)."""
    rows = [
        {
            "code": code, "number": 0, "message": message, "description": told, "faultCode": "Client", "severity": "Error",
            "helpLink": f"https://developer.avalara.com/avatax/errors/{code}", "refersTo": where,
        }
        for told, where in details or ((message, ""),)
    ]  # fmt: skip
    return jsonify(error={"code": code, "message": message, "target": "Unknown", "details": rows}), status


def create(account: Account) -> Flask:
    """Return an application for one account."""
    app = Flask("avalara")
    wanted = "Basic " + base64.b64encode(f"{ACCOUNT}:{KEY}".encode()).decode()

    def admitted(handle: Handler) -> Handler:
        @wraps(handle)
        def answered(**path: str) -> Answer:
            with account.lock:
                account.asked.append(f"{request.method} {request.path}")
                if request.headers.get("Authorization") != wanted:
                    return refused(
                        401,
                        "AuthenticationException",
                        "Authentication failed.",
                        ("Missing or invalid credentials.", "key"),
                    )
                if account.throttled:
                    account.throttled -= 1
                    told = refused(429, "RateLimitExceededError", "The rate limit was exceeded.")
                    return *told, {"Retry-After": "7"}
                return handle(**path)

        return answered

    @app.get("/api/v2/utilities/ping")
    def ping() -> Answer:
        known = request.headers.get("Authorization") == wanted
        told = {
            "version": "26.11.0",
            "authenticated": known,
            "authenticationType": "AccountIdLicenseKey" if known else "None",
        }
        return jsonify(told | ({"authenticatedAccountId": int(ACCOUNT)} if known else {}))

    @app.get("/api/v2/definitions/taxcodes")
    @admitted
    def theirs() -> Answer:
        return _listed(account, account.codes, 0)

    @app.get("/api/v2/taxcodes")
    @admitted
    def ours() -> Answer:
        return _listed(account, account.own, 12345)

    @app.post("/api/v2/transactions/create")
    @admitted
    def transact() -> Answer:
        told = request.get_json(silent=True)
        if not isinstance(told, dict):
            return refused(
                400, "ValueRequiredError", "Field model is required.", ("Please provide a value for model.", "model")
            )
        return _transaction(account, told)

    return app


def _listed(account: Account, codes: dict[str, bool | None], company: int) -> Answer:
    asked = request.args.get("$filter")
    chosen = _chosen(codes, asked) if asked else list(codes)
    if chosen is None:
        return refused(400, "MalformedFilterException", "The $filter could not be understood.", (str(asked), "$filter"))
    at, top = int(request.args.get("$skip", 0)), int(request.args.get("$top", 0)) or account.page
    size = min(top, account.page)
    rows = [_row(name, codes[name], number, company) for number, name in enumerate(chosen, 1)][at : at + size]
    told: dict[str, Any] = {"@recordsetCount": len(chosen), "value": rows}
    if at + size < len(chosen):
        told["@nextLink"] = f"{request.base_url}?" + urlencode({**request.args, "$skip": at + size})
    return jsonify(told)


def _chosen(codes: Iterable[str], asked: str) -> list[str] | None:
    found = _FILTER.match(asked)
    if not found:
        return None
    wanted = {text.replace("''", "'").upper() for text in _TEXT.findall(found["many"] or found["one"])}
    return [name for name in codes if name.upper() in wanted]


def _row(name: str, active: bool | None, number: int, company: int) -> dict[str, Any]:
    told = {
        "id": number,
        "companyId": company or 1,
        "taxCode": name,
        "taxCodeTypeId": "P",
        "description": name,
        "isPhysical": True,
    }
    return told if active is None else {**told, "isActive": active}


def _transaction(account: Account, told: dict[str, Any]) -> Answer:
    lacking = [name for name in ("customerCode", "date", "lines") if not told.get(name)]
    if lacking:
        rows = [(f"Please provide a value for {name}.", name) for name in lacking]
        return refused(400, "ValueRequiredError", f"Field {lacking[0]} is required.", *rows)
    if not DATE.match(str(told["date"])):
        return refused(400, "InvalidParameterValue", "The date is invalid.", (f"{told['date']} is no date.", "date"))
    if told.get("companyCode", account.company) != account.company:
        return refused(
            400, "EntityNotFoundError", "Company not found.", (f"{told['companyCode']} is unknown.", "companyCode")
        )
    place = (told.get("addresses") or {}).get("shipTo") or {}
    if not place.get("country") or not (place.get("postalCode") or place.get("region")):
        return refused(
            400, "InvalidAddress", "The address value was incomplete.", ("The address is not deliverable.", "ShipTo")
        )
    return _computed(account, told, (place["country"], place.get("region", "")))


def _computed(account: Account, told: dict[str, Any], place: tuple[str, str]) -> Answer:
    account.computed.add(str(told.get("referenceCode", "")))
    kind = told.get("type") or "SalesOrder"
    lines = [_line(account, line, place, at) for at, line in enumerate(told["lines"], 1)]
    total = sum((Decimal(str(line["tax"])) for line in lines), Decimal(0))
    kept = kind.endswith("Invoice")
    status = ("Committed" if told.get("commit") else "Saved") if kept else "Temporary"
    made = {
        "id": len(account.kept) + 1 if kept else 0, "code": told.get("code") or "made-up", "companyId": 12345, "date": told["date"],
        "status": status, "type": kind, "currencyCode": told.get("currencyCode", "USD"), "customerCode": told["customerCode"],
        "totalAmount": _number(sum((Decimal(str(line["lineAmount"])) for line in lines), Decimal(0))), "totalTax": _number(total),
        "totalTaxCalculated": _number(total), "locked": False, "version": 1,
    }  # fmt: skip
    if kept:
        account.kept.append(made)
    shown = "Lines" in request.args.get("$include", "").split(",")
    return jsonify(made | ({"lines": lines} if shown else {}) | account.changed)


def _line(account: Account, line: dict[str, Any], place: tuple[str, str], at: int) -> dict[str, Any]:
    asked = line.get("taxCode") or GENERAL
    # the trap: a code that is not known is computed as goods in general, without a word
    code = asked if asked in account.codes or asked in account.own else GENERAL
    amount = Decimal(str(line["amount"]))
    exempt = place[1] in account.untaxed.get(code, set())
    rate = Decimal(0) if exempt else account.rates.get(place, Decimal(0))
    tax = (amount * rate).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return {
        "id": 0, "transactionId": 0, "lineNumber": line.get("number") or str(at), "lineAmount": _number(amount), "tax": _number(tax),
        "taxCalculated": _number(tax), "taxCode": code, "isItemTaxable": not exempt, "quantity": line.get("quantity", 1),
        "exemptAmount": _number(amount if exempt else Decimal(0)), "taxableAmount": _number(Decimal(0) if exempt else amount),
    }  # fmt: skip


def _number(amount: Decimal) -> float:
    return float(amount)
