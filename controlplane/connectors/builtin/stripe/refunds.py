"""Refunds, asked for under our key. Stripe answers a key again what it answered first, refusals and failures included, for a day.

So a remembered refusal says nothing of now: it is looked whether a refund bears our key, and if none does, it is asked for anew under
the next key of the delivery. In the refund's metadata the delivery's own key stays for ever, long after Stripe has forgotten the header.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from controlplane.connectors.builtin.stripe import money
from controlplane.connectors.builtin.stripe.api import Api, error_of, remembered
from controlplane.connectors.contract import Write
from controlplane.connectors.http import Answer, with_evidence
from controlplane.errors import BadInputError, RejectedError, UnknownOutcomeError
from rules.outcomes import Outcome, Result

PATH = "/v1/refunds"
KEY, REF = "trueup_key", "trueup_ref"
TURNS = 5
"""Keys of one delivery that are tried: the first, and those after a remembered refusal."""
GONE = frozenset({"failed", "canceled"})
OBJECTS = {"ch_": "charges", "py_": "charges", "pi_": "payment_intents"}


def ask(api: Api, request: Write) -> Outcome:
    """Ask for a refund. Raises ConnectorError, BadInputError."""
    form = _form(api, request)
    for turn in range(TURNS):
        answer = api.tell(PATH, form, request.idempotency_key + (f"~{turn + 1}" if turn else ""))
        if answer.status < 300:
            return _outcome(_refund(answer), answer, Result.DELIVERED)
        _other_content(answer, request)
        if not remembered(answer):
            api.http.refuse(answer)
        found = read_back(api, request)
        if found.result is not Result.ABSENT:
            return found
    raise RejectedError(
        f"Stripe remembers a refusal under each of {TURNS} keys of {request.business_ref}; look why, and replay as a new document"
    )


def read_back(api: Api, request: Write) -> Outcome:
    """Look for the refund that bears the delivery's key. Raises ConnectorError."""
    payment = _payment(request)
    for rows, answer in api.rows(PATH, {_named(payment): payment}):
        for row in rows:
            told = row.get("metadata") if isinstance(row, dict) else None
            if isinstance(told, Mapping) and told.get(KEY) == request.idempotency_key:
                return _outcome(row, answer, Result.ALREADY_DELIVERED)
    return Outcome(Result.ABSENT, f"no refund of {payment} bears the key {request.idempotency_key}")


def _form(api: Api, request: Write) -> dict[str, str]:
    payment, currency = _payment(request), str(request.payload["currency"])
    units = _units(request, currency)
    paid_in = _currency(api, payment)
    if paid_in != currency:
        raise RejectedError(
            f"refund {request.business_ref} is of {currency}, and {payment} was paid in {paid_in}: Stripe would give back "
            f"{units} minor units of {paid_in}; correct the currency and the amount"
        )
    form = {"amount": str(units), _named(payment): payment}
    form |= {f"metadata[{KEY}]": request.idempotency_key, f"metadata[{REF}]": request.business_ref}
    reason = str(request.payload.get("reason") or "")
    return form | ({"reason": reason} if reason else {})


def _units(request: Write, currency: str) -> int:
    try:
        return money.units(Decimal(str(request.payload["amount"])), currency)
    except (ValueError, InvalidOperation) as error:
        raise BadInputError(f"refund {request.business_ref}: {error}; correct the amount", "amount") from error


def _payment(request: Write) -> str:
    payment = str(request.payload["payment"])
    if payment[:3] not in OBJECTS or not payment.replace("_", "").isalnum():
        raise BadInputError(
            f"refund {request.business_ref} names the payment '{payment}'; Stripe's begin with {', '.join(OBJECTS)}; correct it",
            "payment",
        )
    return payment


def _named(payment: str) -> str:
    return "payment_intent" if OBJECTS[payment[:3]] == "payment_intents" else "charge"


def _currency(api: Api, payment: str) -> str:
    told, answer = api.read(f"/v1/{OBJECTS[payment[:3]]}/{payment}")
    if not isinstance(told.get("currency"), str):
        answer.fail(f"answered the payment {payment} without its currency")
    return str(told["currency"]).upper()


def _other_content(answer: Answer, request: Write) -> None:
    """Raise for a key that another request is under way with, or that was used with other content."""
    kind, code = error_of(answer)
    if code == "idempotency_key_in_use":
        told = (
            f"Stripe is at work on another request under the key of {request.business_ref}; read back before any retry"
        )
        raise with_evidence(UnknownOutcomeError(told), answer.evidence)
    if kind == "idempotency_error":
        told = f"Stripe was told something else under the key of {request.business_ref}; look which is right, and drop or replay it"
        raise with_evidence(RejectedError(told), answer.evidence)


def _refund(answer: Answer) -> dict[str, Any]:
    found = answer.json()
    if not isinstance(found, dict) or not found.get("id"):
        answer.fail("answered a refund without an id")
    return found


def _outcome(refund: Mapping[str, Any], answer: Answer, done: Result) -> Outcome:
    """A refund that was taken may fail for days: then the target has refused it since."""
    name, state = str(refund.get("id")), str(refund.get("status") or "succeeded")
    if state in GONE:
        why = refund.get("failure_reason") or "no reason given"
        return Outcome(Result.REJECTED, f"refund {name} is {state}: {why}", native_id=name, evidence=answer.evidence)
    made = refund.get("created")
    at = datetime.fromtimestamp(made, UTC) if isinstance(made, int) and 0 < made < 10**11 else None
    return Outcome(done, f"refund {name} is {state}", target_at=at, native_id=name, evidence=answer.evidence)
