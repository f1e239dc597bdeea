"""The comparison of prices and of what is sold: the system that describes articles, and each channel that shows them.

Of every article two fields are compared, each with its own tolerance: `price`, and `active` (yes or no). What a side does not
tell, and what nobody has said (an article without a price), is not compared: nothing is never 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select

from controlplane.connectors.contract import Entry
from controlplane.health.observations.comparison import Compared, ComparisonContext, Judged
from controlplane.store import tables as t
from probes.comparisons.documents import Read, read_side
from probes.comparisons.evidence import UNREAD, backlog, catch_up, owed, reasons
from probes.comparisons.leeway import tolerance_for
from rules.comparison.budget import resumed
from rules.comparison.explain import Cause, Finding, Owed, explain_target, listed_twice, unproven, untold, waiting
from rules.comparison.tolerance import Tolerance
from rules.comparison.value import Value, number, ordered
from rules.outcomes import DeliveryState
from rules.policy.kinds import ComparisonSide

FIELDS = {"price": "unit_price", "active": "active"}
"""Field compared -> what it is called in `product.described`."""
KIND = "product.described"
UNPROVEN = frozenset({Cause.NEVER_RECEIVED, Cause.CHANGED_AT_TARGET, Cause.MISSING})


@dataclass(frozen=True, slots=True)
class Stated:
    """What the ledger says a side shows of a field, where each delivery states it anew."""

    values: frozenset[Value] | None
    """After the last delivery, and those that it may have shown earlier or since; None while nothing was delivered."""
    last: Value | None
    owed: tuple[Owed, ...]

    def admissible(self) -> frozenset[Value] | None:
        """Return every value it may rightly show, or None when the evidence cannot tell."""
        return self.values

    def complete(self) -> Value | None:
        """Return what it will show when all that is owed is delivered."""
        return self.last


def compare(context: ComparisonContext, subjects: Sequence[str] | None = None) -> Compared:
    """Compare all articles, or only those of the given SKUs."""
    began, meter = context.clock.now(), context.meter()
    read: dict[str, Read] = {}
    unread: dict[str, str] = {}
    for side in context.policy.spec.sides:
        try:
            read[side.system] = read_side(context, side, subjects)
        except UNREAD as error:
            unread[side.system] = str(error)
    if unread:
        return Compared([], unread, began, partial=subjects is not None)
    until = context.clock.now()
    catch_up(context.store, context.clock, until)
    with context.store.read() as connection:
        judge = _Judge(context, connection, read, began, until)
        todo = resumed(judge.known(), context.resume) if subjects is None else list(dict.fromkeys(subjects))
        judged: list[Judged] = []
        for at, sku in enumerate(todo):
            if spent := meter.spent():
                return Compared(judged, {}, began, subjects is not None, len(todo) - at, spent, sku)
            judged.append(judge.judge(sku))
            meter.found(any(finding.is_drift for finding in judged[-1].findings))
    return Compared(judged, {}, began, subjects is not None)


class _Judge:
    """Judges articles on one state of the evidence."""

    def __init__(
        self,
        context: ComparisonContext,
        connection: Connection,
        read: Mapping[str, Read],
        began: datetime,
        now: datetime,
    ) -> None:
        self.context, self.read, self.began, self.now = context, read, began, now
        self.spec = context.policy.spec
        systems = [side.system for side in self.spec.sides]
        self.products = {row.sku: row for row in connection.execute(select(t.product))}
        self.told = _told(connection, began)
        self.deliveries = _deliveries(connection, systems, began)
        self.reasons = reasons(connection, [row for rows in self.deliveries.values() for row in rows])
        self.backlog = backlog(connection, now)

    def known(self) -> list[str]:
        """Return the SKUs that the ledger or any side knows."""
        return sorted({*self.products, *(sku for rows in self.read.values() for sku in rows)})

    def judge(self, sku: str) -> Judged:
        """Judge one article on all its sides."""
        findings = tuple(self._allowing(one) for side in self.spec.sides for one in self._side(side, sku))
        product = self.products.get(sku)
        evidence = {
            "read": {side.system: _shown(self.read[side.system].get(sku, [])) for side in self.spec.sides},
            "product": None if product is None else {
                "price": None if product.unit_price is None else str(product.unit_price), "active": _word(product.active),
                "currency": product.currency, "message_id": product.message_id,
            },
        }  # fmt: skip
        basis = {finding.place: f"{finding.cause}: {finding.actual} for {finding.expected}" for finding in findings}
        currency = product.currency if product else None
        return Judged(sku, findings, {}, evidence, Decimal(1) if product else None, currency, basis)

    def _side(self, side: ComparisonSide, sku: str) -> Iterator[Finding]:
        rows, product = self.read[side.system].get(sku, []), self.products.get(sku)
        if len(rows) > 1:
            yield listed_twice(side.system, [rows_.fields.get("price") for rows_ in rows])
        elif product is None:
            if rows and side.system == self.spec.source_side:
                text = f"{side.system} lists the article, and the ledger never heard of it"
                yield Finding(side.system, Cause.NEVER_RECEIVED, None, (), text)
        else:
            for field, name in FIELDS.items():
                heard = _said(getattr(product, name))
                if heard is not None:
                    yield from self._field(side, sku, field, heard, rows[0] if rows else None)

    def _field(
        self, side: ComparisonSide, sku: str, field: str, heard: Value, entry: Entry | None
    ) -> Iterator[Finding]:
        near = tolerance_for(self.context.snapshot, self.spec, side, sku, field=field)
        earlier = [value for row in self.told[sku] if (value := _said(row.get(FIELDS[field]))) is not None]
        if side.system == self.spec.source_side:
            if entry is not None and field in entry.fields:
                yield replace(_source(side.system, entry.fields[field], [heard, *earlier], near), field=field)
            return
        stated = self._stated(side.system, sku, field)
        if entry is None:
            yield replace(self._absent(side.system, sku, stated, heard), field=field)
        elif field in entry.fields:
            found = explain_target(side.system, entry.fields[field], stated, [heard], near, known=True)
            yield replace(found, field=field)
        else:
            yield replace(untold(side.system, [heard]), field=field)

    def _absent(self, side: str, sku: str, stated: Stated, heard: Value) -> Finding:
        """An article that a channel lacks: it may be on its way, or not meant for it while nothing was ever sent."""
        if stated.values is None and not stated.owed:
            text = f"{side} does not list the article, and nothing of it was ever delivered there"
            return Finding(side, Cause.INDETERMINATE, None, (heard,), text)
        if stated.values is None:
            return waiting(side, None, stated.owed, [heard])
        return explain_target(side, None, stated, [heard])

    def _stated(self, system: str, sku: str, field: str) -> Stated:
        values: list[Value] = []
        last: Value | None = None
        open_: list[Owed] = []
        before: Value | None = None
        for row in self.deliveries.get((system, sku), []):
            value = _said(row.payload.get(FIELDS[field]))
            if row.state == DeliveryState.DELIVERED:
                if row.finished_at < self.began:
                    before, values = value, []
                elif value is not None:
                    values.append(value)
                last = value
            elif row.state in (DeliveryState.SENDING, DeliveryState.UNKNOWN) and value is not None:
                values.append(value)
            if row.state != DeliveryState.DELIVERED:
                if value != last:
                    open_.append(owed(row, 0, self.now, self.reasons))
                last = value
        held = [value for value in (before, *values) if value is not None]
        anchored = before is not None
        return Stated(frozenset(held) if anchored else None, last, tuple(open_))

    def _allowing(self, finding: Finding) -> Finding:
        """A gap that records of these systems may fill is not proven while they wait here, older than the reading."""
        systems = {self.spec.source_side, finding.side, "plane"}
        since = min((at for system, at in self.backlog.items() if system in systems), default=None)
        if since is None or finding.cause not in UNPROVEN:
            return finding
        return unproven(finding, overdue=self.now - since > self.spec.promise)


def _source(side: str, actual: Value, heard: Sequence[Value], near: Tolerance) -> Finding:
    if near.near(actual, heard):
        return Finding(side, Cause.NONE, actual, ordered(heard), "as the ledger heard it")
    text = f"{side} shows {actual}; the ledger last heard {heard[0]}, and no change since"
    return Finding(side, Cause.NEVER_RECEIVED, actual, ordered(heard), text)


def _told(connection: Connection, began: datetime) -> dict[str, list[Mapping[str, Any]]]:
    """Return SKU -> what was told of it since the reading began, and the last thing before that."""
    m = t.message.c
    since = select(m.subject, m.data).where(m.type == KIND, m.accepted_at >= began)
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in connection.execute(since.order_by(m.id)):
        found[row.subject].append(row.data)
    if found:
        last = select(func.max(m.id)).where(m.type == KIND, m.accepted_at < began, m.subject.in_(list(found)))
        for row in connection.execute(select(m.subject, m.data).where(m.id.in_(last.group_by(m.subject)))):
            found[row.subject].append(row.data)
    return found


def _deliveries(
    connection: Connection, systems: Sequence[str], began: datetime
) -> dict[tuple[str, str], list[Row[Any]]]:
    """Return (target, SKU) -> what was delivered of it last before the reading, and everything since or still owed; in order."""
    d, m = t.delivery.c, t.message.c
    mine = (m.type == KIND, d.target.in_(systems))
    joined = select(t.delivery).join(t.message, d.message_id == m.id)
    done = (d.state == DeliveryState.DELIVERED, d.finished_at < began)
    last = (
        select(func.max(d.id)).join(t.message, d.message_id == m.id).where(*mine, *done).group_by(d.target, d.subject)
    )
    rows = [*connection.execute(joined.where(d.id.in_(last)))]
    rows += connection.execute(joined.where(*mine, d.state == DeliveryState.DELIVERED, d.finished_at >= began))
    rows += connection.execute(joined.where(*mine, t.is_open))
    found: dict[tuple[str, str], list[Row[Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.id):
        found[row.target, row.subject].append(row)
    return found


def _said(value: object) -> Value | None:
    """Return a field of a product as it is compared; None where nobody has said it."""
    return _word(value) if isinstance(value, bool) else number(value)


def _word(active: bool) -> str:
    return "yes" if active else "no"


def _shown(rows: Sequence[Entry]) -> dict[str, Any] | None:
    if len(rows) != 1:
        return None
    told = {name: value if isinstance(value, int) else str(value) for name, value in rows[0].fields.items()}
    return told | {"read_from": rows[0].read_from.isoformat(), "read_to": rows[0].read_to.isoformat()}
