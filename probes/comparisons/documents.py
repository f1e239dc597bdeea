"""Comparisons of orders: which are there, where they stand, how much of them is shipped.

Each kind asks another thing of the same facts: an order was placed at a shop, and is owed to the ERP and the warehouse; it was
shipped at the warehouse, and that is owed to the shop and the ERP. Which of them a side has during its reading follows from the
ledger, by our clock alone: when a message was accepted, and when its delivery finished. No system's clock decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from controlplane.connectors.contract import Entry
from controlplane.health.observations.comparison import Compared, ComparisonContext, Judged
from probes.comparisons.evidence import UNREAD, catch_up
from probes.comparisons.leeway import tolerance_for
from probes.comparisons.orders import SLACK, Ledger, Order, load
from rules.comparison.budget import resumed
from rules.comparison.explain import Cause, Finding, listed_twice, unproven, untold
from rules.comparison.facts import ABSENT, Facts, Progress, Show, explain_facts, further
from rules.comparison.value import Value
from rules.orders import stage
from rules.policy.kinds import ComparisonSide

Read = dict[str, list[Entry]]
PLACED, SHIPPED = "order.placed", "shipment.shipped"


def order_status(context: ComparisonContext, subjects: Sequence[str] | None = None) -> Compared:
    """Compare where orders stand: open, partially shipped, shipped, cancelled (`state` of each side)."""
    return _Comparison(context, "state", (PLACED, SHIPPED), lambda known: known.stage).run(subjects)


def shipments(context: ComparisonContext, subjects: Sequence[str] | None = None) -> Compared:
    """Compare how many units of each order are shipped (`shipped` of each side): gone at the warehouse, unknown at the shop."""
    return _Comparison(context, "shipped", (PLACED, SHIPPED), lambda known: known.units).run(subjects)


def completeness(context: ComparisonContext, subjects: Sequence[str] | None = None) -> Compared:
    """Compare which orders are there (`listed`): absent from the ERP though nothing failed."""
    return _Comparison(context, "listed", (PLACED,), lambda known: known.listed).run(subjects)


class _Comparison:
    """One kind of comparison of orders."""

    def __init__(
        self, context: ComparisonContext, field: str, types: tuple[str, ...], show: Callable[[Progress], Show]
    ) -> None:
        self.context, self.field, self.types, self.show = context, field, types, show
        self.spec = context.policy.spec
        self.began = context.clock.now()
        self.since = self.began - self.spec.window

    def run(self, subjects: Sequence[str] | None) -> Compared:
        """Read, load, judge."""
        meter, partial_ = self.context.meter(), subjects is not None
        read, unread = self._read(subjects)
        until = self.context.clock.now()
        listed = {subject for rows in read.values() for subject in rows}
        catch_up(self.context.store, self.context.clock, until)
        with self.context.store.read() as connection:
            ledger = load(connection, self.context.snapshot, self.spec, self.since, subjects, listed, until)
        if unread:
            return Compared([], unread, self.began, partial=partial_)
        known = sorted({*ledger.orders, *listed} - ledger.older)
        todo = resumed(known, self.context.resume) if subjects is None else list(dict.fromkeys(subjects))
        judged: list[Judged] = []
        for at, subject in enumerate(todo):
            if spent := meter.spent():
                return Compared(judged, {}, self.began, partial_, len(todo) - at, spent, subject)
            one = self._judge(subject, read, ledger)
            if one.findings:
                judged.append(one)
                meter.found(any(finding.is_drift for finding in one.findings))
        return Compared(judged, {}, self.began, partial_)

    def _read(self, subjects: Sequence[str] | None) -> tuple[dict[str, Read], dict[str, str]]:
        found: dict[str, Read] = {}
        unread: dict[str, str] = {}
        for side in self.spec.sides:
            try:
                found[side.system] = read_side(self.context, side, subjects, self.since - SLACK)
            except UNREAD as error:
                unread[side.system] = str(error)
        return found, unread

    def _judge(self, subject: str, read: Mapping[str, Read], ledger: Ledger) -> Judged:
        order = ledger.orders.get(subject)
        rows = {side.system: read[side.system].get(subject, []) for side in self.spec.sides}
        findings = tuple(self._findings(subject, order, rows, ledger))
        evidence = {
            "read": {system: _shown(found[0]) if len(found) == 1 else None for system, found in rows.items()},
            **({"listed": twice} if (twice := _twice(rows)) else {}),
            "messages": [] if order is None else [order.progress.placed, *order.progress.shipped],
            "owed": [] if order is None else [
                {"target": row.target, "delivery_id": row.id, "state": row.state, "promise_at": row.promise_at.isoformat()}
                for row in order.open
            ],
        }  # fmt: skip
        basis = {finding.place: f"{finding.cause}: {finding.actual} for {finding.expected}" for finding in findings}
        value, currency = (order.value, order.currency) if order else (None, None)
        return Judged(subject, findings, {}, evidence, value, currency, basis)

    def _findings(
        self, subject: str, order: Order | None, rows: Mapping[str, list[Entry]], ledger: Ledger
    ) -> Iterator[Finding]:
        for side in self.spec.sides:
            found = rows[side.system]
            if order is None:
                if found and side.system in ledger.sources[PLACED]:
                    yield self._unheard(subject, side, found, ledger)
            elif ledger.concerns(side.system, order, PLACED):
                yield self._known(side, order, found, ledger)

    def _unheard(self, subject: str, side: ComparisonSide, found: list[Entry], ledger: Ledger) -> Finding:
        """Of an order that a source lists and the ledger does not know: it is new, waits somewhere, or was never told."""
        actual = self._value(found[0])
        if found[0].source_at is None or not self.since <= found[0].source_at:
            return replace(
                untold(side.system, ()),
                explanation=f"{side.system} lists it, and not since when: it may be older than is kept",
            )
        text = f"{side.system} lists the order, and the ledger never heard of it"
        finding = Finding(side.system, Cause.NEVER_RECEIVED, actual, (), text, whole=True)
        held = ledger.held(side.system, subject)
        if held:
            cause = Cause.UNMAPPED if held.startswith("unmapped_") else Cause.QUARANTINED
            return replace(
                finding,
                cause=cause,
                explanation=f"{side.system} told of it, and the record waits in quarantine ({held})",
            )
        return self._allowing(finding, [side.system], ledger)

    def _known(self, side: ComparisonSide, order: Order, found: list[Entry], ledger: Ledger) -> Finding:
        if order.progress.placed not in ledger.messages:
            text = f"{side.system}: the message that placed the order is not kept any more; nothing can be said of it"
            return replace(untold(side.system, ()), explanation=text)
        facts = Facts(tuple(ledger.facts(side.system, order, self.types, self.began)), self.show(order.progress))
        if len(found) > 1:
            return replace(listed_twice(side.system, [self._value(one) for one in found], [facts.wanted()]), whole=True)
        actual = self._value(found[0]) if found else None
        if found and actual is None:
            return untold(side.system, [facts.wanted()])
        tolerance = tolerance_for(self.context.snapshot, self.spec, side, "")
        finding = explain_facts(side.system, actual, facts, partial(self._news, side, order, facts, ledger), tolerance)
        return self._allowing(finding, [order.source, side.system, "plane"], ledger)

    def _news(self, side: ComparisonSide, order: Order, facts: Facts, ledger: Ledger, value: Value) -> bool:
        """Whether the side may have made it so itself: a warehouse ships, a shop cancels."""
        if value == ABSENT or not further(value, facts.admissible() or ()):
            return False
        if value == "cancelled":
            return side.system == order.source
        return side.system in ledger.sources[SHIPPED]

    def _allowing(self, finding: Finding, systems: Sequence[str], ledger: Ledger) -> Finding:
        """A gap that records of these systems may fill is not proven while they wait here, older than the reading."""
        since = min((at for system, at in ledger.backlog.items() if system in systems), default=None)
        if since is None or finding.cause not in UNPROVEN:
            return finding
        return unproven(finding, overdue=ledger.now - since > self.spec.promise)

    def _value(self, entry: Entry) -> Value | None:
        if self.field == "listed":
            return "listed"
        value = entry.fields.get(self.field)
        return stage(value) if self.field == "state" and isinstance(value, str) else value


UNPROVEN = frozenset({Cause.NEVER_RECEIVED, Cause.CHANGED_AT_TARGET, Cause.MISSING, Cause.LATE})


def read_side(
    context: ComparisonContext, side: ComparisonSide, subjects: Sequence[str] | None, since: datetime | None = None
) -> Read:
    """Read what a side shows, by subject. Raises ConnectorError, UnmappedError."""
    found: Read = {}
    wanted = None if subjects is None else set(subjects)
    for page in context.connections.get(side.system).entries(side.entity, subjects, since):
        for entry in page:
            if wanted is None or entry.subject in wanted:
                found.setdefault(entry.subject, []).append(entry)
    return found


def _shown(entry: Entry) -> dict[str, Any]:
    told = {name: value if isinstance(value, int) else str(value) for name, value in entry.fields.items()}
    return told | {
        "source_at": entry.source_at.isoformat() if entry.source_at else None,
        "read_from": entry.read_from.isoformat(),
        "read_to": entry.read_to.isoformat(),
    }


def _twice(rows: Mapping[str, list[Entry]]) -> dict[str, Any]:
    return {system: [_shown(one) for one in found] for system, found in rows.items() if len(found) > 1}
