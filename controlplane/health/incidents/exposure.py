"""Find what an incident touches and what that is worth: from the open deliveries and findings, each order line once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from controlplane.health.evaluation import Verdict
from controlplane.health.incidents.cause import ABOUT_DRIFT, ABOUT_QUARANTINE, failing_systems
from controlplane.store import tables as t
from rules.outcomes import DeliveryState
from rules.risk import Exposure, Risk, at_risk

ORDER_DOCUMENTS = ("order.placed", "shipment.shipped")
CHUNK = 500


RECENT_DRIFT = timedelta(minutes=10)
"""As long as the indicator `drift_recent` calls a confirmed finding news."""


def money_at_risk(conn: Connection, verdict: Verdict, now: datetime) -> list[Risk]:
    """Return the bounds per currency, the currency with most lines first; empty when nothing of known worth is touched.

    Late or quarantined documents make the lower bound, all that is owed the upper one. An offer of stock is worth
    the units by which the channel is wrong, at the price we know.
    """
    if verdict.indicator in ABOUT_DRIFT:
        return at_risk(_findings(conn, verdict.labels.get("comparison"), now))
    if verdict.indicator in ABOUT_QUARANTINE:
        return at_risk(_held(conn, verdict))
    rows = _open_deliveries(conn, verdict)
    documents = [row for row in rows if row.type in ORDER_DOCUMENTS]
    offers = [row for row in rows if row.type == "stock.offer"]
    others = [row for row in rows if row.money is not None and row.type not in ORDER_DOCUMENTS]
    return at_risk([*_order_lines(conn, documents, now), *_offers(conn, offers, now), *_amounts(others, now)])


def _findings(conn: Connection, comparison: str | None, now: datetime) -> Iterator[Exposure]:
    """What is open, and what was confirmed of late though it has been healed: an incident tells of both."""
    f = t.finding.c
    query = select(f.subject, f.side, f.money, f.currency)
    told = f.state.in_(("open", "healing")) | (f.confirmed_at > now - RECENT_DRIFT)
    query = query.where(told, f.money.is_not(None), f.currency.is_not(None))
    if comparison is not None:
        query = query.where(f.comparison == comparison)
    for row in conn.execute(query):
        yield Exposure((f"{row.subject}@{row.side}", 0), abs(row.money), row.currency, late=True)


def _held(conn: Connection, verdict: Verdict) -> Iterator[Exposure]:
    """The records that wait for a person, and whose they are; one that waits at two targets counts once."""
    q = t.quarantine.c
    query = select(q.subject, q.money, q.currency).where(
        q.state.in_(("waiting", "corrected")), q.money.is_not(None), q.currency.is_not(None)
    )
    for name, column in (("flow", q.flow), ("owner", q.owner), ("target", q.system)):
        if name in verdict.labels:
            query = query.where(column == verdict.labels[name])
    for row in conn.execute(query):
        yield Exposure((row.subject, 0), abs(row.money), row.currency, late=True)


def _open_deliveries(conn: Connection, verdict: Verdict) -> Sequence[Any]:
    d, m = t.delivery.c, t.message.c
    query = (
        select(d.target, d.subject, d.payload, d.state, d.promise_at, d.money, d.currency, m.type)
        .join(t.message, m.id == d.message_id)
        .where(t.is_open, m.type != "incident.notified")
    )
    target = verdict.labels.get("target") or verdict.labels.get("system")
    affected = [target] if target else failing_systems(conn)
    if affected:
        query = query.where(d.target.in_(affected))
    if "flow" in verdict.labels:
        query = query.where(d.flow == verdict.labels["flow"])
    return conn.execute(query).all()


def _late(row: Any, now: datetime) -> bool:
    return bool(row.promise_at < now or row.state == DeliveryState.QUARANTINED)


def _order_lines(conn: Connection, rows: Iterable[Any], now: datetime) -> Iterator[Exposure]:
    late: dict[str, bool] = {}
    for row in rows:
        ref = str(row.payload.get("order_ref") or row.payload["ref"])
        late[ref] = late.get(ref, False) or _late(row, now)
    line, order = t.order_line.c, t.order_state.c
    for refs in _chunks(sorted(late)):
        query = (
            select(line.order_ref, line.line, line.quantity, line.unit_price, order.currency)
            .join(t.order_state, order.ref == line.order_ref)
            .where(line.order_ref.in_(refs))
        )
        for row in conn.execute(query):
            value = row.quantity * row.unit_price
            yield Exposure((row.order_ref, row.line), value, row.currency, late[row.order_ref])


def _offers(conn: Connection, rows: Sequence[Any], now: datetime) -> Iterator[Exposure]:
    skus = sorted({row.payload["sku"] for row in rows})
    shown, prices = _shown(conn, skus), _prices(conn, skus)
    for row in rows:
        sku, location = row.payload["sku"], row.payload["location"]
        price, currency = prices.get(sku, (None, ""))
        value = shown.get((row.target, sku, location))
        if price is not None and value is not None:
            wrong = abs(int(row.payload["quantity"]) - value)
            yield Exposure((f"{row.target}:{row.subject}", 0), wrong * price, currency, _late(row, now))


def _shown(conn: Connection, skus: Sequence[str]) -> dict[tuple[str, str, str], int]:
    level = t.target_level.c
    query = select(level.system, level.sku, level.location, level.value).where(level.field == "available")
    return {
        (row.system, row.sku, row.location): row.value
        for chunk in _chunks(skus)
        for row in conn.execute(query.where(level.sku.in_(chunk)))
    }


def _prices(conn: Connection, skus: Sequence[str]) -> dict[str, tuple[Decimal | None, str]]:
    product = t.product.c
    query = select(product.sku, product.unit_price, product.currency)
    return {
        row.sku: (row.unit_price, row.currency)
        for chunk in _chunks(skus)
        for row in conn.execute(query.where(product.sku.in_(chunk)))
    }


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + CHUNK] for start in range(0, len(names), CHUNK))


def _amounts(rows: Iterable[Any], now: datetime) -> Iterator[Exposure]:
    for row in rows:
        yield Exposure((f"{row.type}:{row.subject}", 0), abs(row.money), row.currency, _late(row, now))
