"""Money on the balance at Square: payments and refunds once they are complete, payouts and what each is made up of.

A payment is told by itself and again as an entry of the payout that it is part of: both have the payment's id, so it is one movement.
Cash, and what was paid elsewhere, never comes onto the balance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from controlplane.connectors.builtin.square.api import Api
from controlplane.connectors.contract import Draft, Page, Record
from controlplane.connectors.http import Answer
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError
from rules.money import MINOR_UNITS

PAYMENTS, REFUNDS, PAYOUTS, ENTRIES = "payments", "refunds", "payouts", "payout_entries"
POLLED = (PAYMENTS, REFUNDS, PAYOUTS)
TOLD = {
    "payment.created": PAYMENTS, "payment.updated": PAYMENTS, "refund.created": REFUNDS, "refund.updated": REFUNDS, "payout.sent": PAYOUTS,
    "payout.paid": PAYOUTS, "payout.failed": PAYOUTS,
}  # fmt: skip
"""Webhook topic -> what it is about."""
OVERLAP = timedelta(minutes=5)
OPEN = timedelta(days=30)
"""How long a payout may still change, while its time of creation stays."""
LATE = timedelta(hours=1)
PAGE = 100
ELSEWHERE = frozenset({"CASH", "EXTERNAL"})
KEPT = {
    PAYMENTS: ("id", "status", "source_type", "location_id", "order_id", "total_money", "processing_fee", "created_at", "updated_at"),
    REFUNDS: (
        "id", "status", "destination_type", "location_id", "order_id", "payment_id", "amount_money", "processing_fee", "created_at",
        "updated_at",
    ),
    PAYOUTS: ("id", "status", "type", "location_id", "amount_money", "arrival_date", "version", "created_at", "updated_at"),
    ENTRIES: ("id", "payout_id", "effective_at", "type", "gross_amount_money", "fee_amount_money", "net_amount_money"),
}  # fmt: skip
"""What is kept: no card, no account, no person."""
STATES = {"SENT": "in_transit", "PAID": "paid", "FAILED": "failed"}
FEES = (
    "FEE", "DEPOSIT_FEE", "DEPOSIT_FEE_REVERSED", "TAX_ON_FEE", "THIRD_PARTY_FEE", "THIRD_PARTY_FEE_REFUND", "SUBSCRIPTION_FEE",
    "SUBSCRIPTION_FEE_REFUND", "SUBSCRIPTION_FEE_PAID_REFUND", "PROCESSING_FEE", "PROCESSING_FEE_REFUND", "UNDO_PROCESSING_FEE_REFUND",
    "PAID_SERVICE_FEE", "PAID_SERVICE_FEE_REFUND", "GIFT_CARD_LOAD_FEE", "GIFT_CARD_LOAD_FEE_REFUND", "UNDO_GIFT_CARD_LOAD_FEE_REFUND",
    "LOCAL_OFFERS_FEE",
)  # fmt: skip
KINDS = dict.fromkeys(FEES, "fee") | {
    "CHARGE": "charge",
    "REFUND": "refund",
    "DISPUTE": "dispute",
    "OPEN_DISPUTE": "dispute",
    "RETURNED_PAYOUT": "payout_failed",
}
"""Square's types of entries; one that is not listed is `other`, so that none gets lost."""
SAME = {"CHARGE": ("type_charge_details", "payment_id"), "REFUND": ("type_refund_details", "refund_id")}
"""Entries that are of a payment, or a refund, which is told by itself as well."""


# --- reading ---
def poll(api: Api, entity: str, places: list[str], cursor: Mapping[str, Any] | None) -> Iterator[Page]:
    """Yield what changed since the cursor, which moves at the end: each location is read by itself. Raises ConnectorError."""
    held = dict(cursor or {})
    since = datetime.fromisoformat(held["since"]) if held else None
    name, latest = ("created_at" if entity == PAYOUTS else "updated_at"), held.get("since", "")
    for place in places:
        for rows, answer in api.listed(f"/v2/{entity}", {"location_id": place, **_asked(entity, since)}, entity):
            try:
                records = [_record(entity, row) for row in rows]
                latest = max([latest, *(str(row[name]) for row in rows)])
                fresh = [row for row in rows if entity == PAYOUTS and _is_fresh(row, since)]
            except (KeyError, TypeError, ValueError):
                answer.fail(f"answered one of {entity} that breaks its contract")
            if entity != PAYOUTS:
                yield Page(tuple(records), held)
                continue
            yield Page(tuple(_record(PAYOUTS, row) for row in rows if row not in fresh), held)
            for row in fresh:
                yield from _whole(api, row, held)
    yield Page((), {"since": latest} if latest else {})


def _asked(entity: str, since: datetime | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"sort_order": "ASC", "limit": PAGE}
    if entity == PAYOUTS:
        return asked | ({"begin_time": _stamp(since - OPEN)} if since else {})
    return asked | {"sort_field": "UPDATED_AT"} | ({"updated_at_begin_time": _stamp(since - OVERLAP)} if since else {})


def _is_fresh(row: Mapping[str, Any], since: datetime | None) -> bool:
    return since is None or datetime.fromisoformat(str(row["created_at"])) >= since - LATE


def _whole(api: Api, payout: Mapping[str, Any], held: dict[str, Any]) -> Iterator[Page]:
    """Yield the entries of a payout, and then the payout with what they make together."""
    count, net = 0, 0
    for rows, answer in api.listed(
        f"/v2/payouts/{quote(str(payout['id']), safe='')}/payout-entries", {"limit": PAGE}, ENTRIES
    ):
        try:
            records = [_record(ENTRIES, row) for row in rows]
            net += sum(_units(row["net_amount_money"]) for row in rows)
        except (KeyError, TypeError, ValueError):
            answer.fail("answered an entry of a payout that breaks its contract")
        count += len(rows)
        yield Page(tuple(records), held)
    yield Page((_record(PAYOUTS, {**payout, "entries": {"count": count, "net": net}}),), held)


def _record(entity: str, row: Mapping[str, Any]) -> Record:
    body = verbatim(kept(entity, row))
    return Record(entity, content_key(entity, str(row["id"]), body), body)


def kept(entity: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of an object."""
    told = {name: row[name] for name in (*KEPT[entity], "entries") if name in row}
    if entity == ENTRIES and (details := SAME.get(str(row.get("type")))):
        told["about"] = str((row.get(details[0]) or {}).get(details[1]) or "")
    return told


def kept_event(told: Mapping[str, Any]) -> bytes:
    """Return what is kept of an event: of a payout what it says, of anything else only its id, which is looked up."""
    data = told.get("data")
    found = data.get("object") if isinstance(data, Mapping) else None
    about = next(iter(found.values()), None) if isinstance(found, Mapping) else None
    entity = TOLD[str(told.get("type"))]
    whole = about if isinstance(about, Mapping) else {}
    some = kept(entity, whole) if entity == PAYOUTS else {"id": whole.get("id")}
    return verbatim({name: told.get(name) for name in ("type", "event_id", "created_at")} | {"about": some})


# --- as canonical messages ---
def drafts(api: Api, topic: str, told: Mapping[str, Any]) -> list[Draft]:
    """Return what a record says moved. Raises BadInputError, ConnectorError, KeyError, TypeError, ValueError."""
    entity = TOLD.get(topic, topic)
    if topic in TOLD:
        told = told["about"]
        if entity != PAYOUTS:
            name = str(told["id"] or "")
            if not name:
                raise KeyError("id")
            told = _found(api.ask("GET", f"/v2/{entity}/{quote(name, safe='')}"), entity.removesuffix("s"))
    return {PAYMENTS: _payment, REFUNDS: _refund, PAYOUTS: _payout, ENTRIES: _entry}[entity](told)


def _found(answer: Answer, name: str) -> Mapping[str, Any]:
    found = answer.json()
    if not isinstance(found, dict) or not isinstance(found.get(name), dict):
        answer.fail(f"answered without the {name} that was asked for")
    about: Mapping[str, Any] = found[name]
    return about


def _payment(told: Mapping[str, Any]) -> list[Draft]:
    """What its fee is comes some seconds after it is complete; the payment changes then, and is told again."""
    fees = told.get("processing_fee") or []
    if told.get("status") != "COMPLETED" or told.get("source_type") in ELSEWHERE or not fees:
        return []
    first = [one for one in fees if one.get("type") != "ADJUSTMENT"]
    at = str(told.get("updated_at") or told["created_at"])
    return _moved(
        str(told["id"]), "charge", f"payment {told.get('source_type') or ''}".strip(), told["total_money"],
        sum(_units(one["amount_money"]) for one in first), str(told["created_at"]),
        str(next((one["effective_at"] for one in first if one.get("effective_at")), at)), order=str(told.get("order_id") or ""),
    )  # fmt: skip


def _refund(told: Mapping[str, Any]) -> list[Draft]:
    if told.get("status") != "COMPLETED" or told.get("destination_type") in ELSEWHERE:
        return []
    money, at = told["amount_money"], str(told.get("updated_at") or told["created_at"])
    back = {**money, "amount": -_units(money)}
    fee = sum(_units(one["amount_money"]) for one in told.get("processing_fee") or ())
    return _moved(
        str(told["id"]), "refund", "refund", back, fee, str(told["created_at"]), at, about=str(told.get("payment_id") or ""),
        order=str(told.get("order_id") or ""),
    )  # fmt: skip


def _entry(told: Mapping[str, Any]) -> list[Draft]:
    kind, money = str(told["type"]), told["gross_amount_money"]
    fee = _units(told["fee_amount_money"]) if told.get("fee_amount_money") else 0
    ours = KINDS.get(kind, "other")
    if ours == "dispute" and _units(money) > 0:
        ours = "dispute_won"
    net = _units(told["net_amount_money"])
    if net != _units(money) - fee and net == _units(money) + fee:
        fee = -fee  # a fee is written as what it costs, or as what is taken off
    at = str(told["effective_at"])
    return _moved(str(told.get("about") or told["id"]), ours, kind, money, fee, at, at, about=str(told["payout_id"]))


def _payout(told: Mapping[str, Any]) -> list[Draft]:
    """Each state is a fact of its own. What is paid out leaves the balance; what came back is an entry of a later payout."""
    name, money, state = str(told["id"]), told["amount_money"], str(told["status"])
    entries = told.get("entries")
    if entries and entries["net"] != _units(money):
        raise BadInputError(
            f"payout {name} is of {_units(money)} {_currency(money)} in minor units, and its {entries['count']} entries make "
            f"{entries['net']}; read it again when Square has told all of them, or ask Square",
            "amount_money",
        )
    if state not in STATES:
        raise BadInputError(
            f"payout {name} is '{state}', which is no state that is known; report it, and replay when it is", "status"
        )
    made, changed = str(told["created_at"]), str(told.get("updated_at") or told["created_at"])
    at = datetime.fromisoformat(changed)
    data = {
        "ref": name, "state": STATES[state], "amount": _text(_units(money), _currency(money)), "currency": _currency(money),
        "arrives_on": str(told.get("arrival_date") or changed[:10]), "changed_at": changed,
    }  # fmt: skip
    native, out = f"payout {told.get('type') or ''}".strip(), {**money, "amount": -_units(money)}
    left = _moved(f"{name}/payout", "payout", native, out, 0, made, made, about=name)
    return [Draft("settlement.changed", name, f"settlement.changed:{name}:{STATES[state]}", at, data), *left]


def _moved(
    ref: str, kind: str, native: str, money: Mapping[str, Any], fee: int, at: str, available: str, *, about: str = "", order: str = ""
) -> list[Draft]:  # fmt: skip
    units, currency = _units(money), _currency(money)
    data = {
        "ref": ref, "kind": kind, "native_kind": native, "about": about, "order_ref": order, "amount": _text(units, currency),
        "fee": _text(fee, currency), "net": _text(units - fee, currency), "currency": currency, "recorded_at": at,
        "available_at": available,
    }  # fmt: skip
    return [Draft("payment.recorded", ref, f"payment.recorded:{ref}", datetime.fromisoformat(at), data)]


def _currency(money: Mapping[str, Any]) -> str:
    """Of payouts Square's own examples call it `currency_code`, its description `currency`."""
    return str(money.get("currency") or money["currency_code"])


def _units(money: Mapping[str, Any]) -> int:
    units = money["amount"]
    if not isinstance(units, int) or isinstance(units, bool):
        raise ValueError(f"{units!r} is no whole number of minor units")
    return units


def _text(units: int, currency: str) -> str:
    return str(Decimal(units).scaleb(-MINOR_UNITS.get(currency, 2)))


def _stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def topics() -> Iterable[str]:
    """Return the topics that records of money have."""
    return (*POLLED, ENTRIES, *TOLD)
