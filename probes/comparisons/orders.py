"""What the ledger knows of orders and of who was told of them: loaded in a fixed number of queries."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select

from controlplane.registry import Snapshot
from controlplane.store import tables as t
from probes.comparisons.evidence import backlog, owed, reasons
from rules.comparison.explain import Owed
from rules.comparison.facts import Fact, Progress, Reached
from rules.outcomes import DeliveryState
from rules.policy.kinds import ComparisonSpec

SLACK = timedelta(hours=1)
"""How much a system's clock may be off, and a message late, before it is left out of what is loaded."""
TYPES = ("order.placed", "shipment.shipped")
OPEN = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Order:
    """One order as the ledger knows it."""

    ref: str
    source: str
    value: Decimal
    currency: str
    progress: Progress
    open: tuple[Row[Any], ...]
    """Deliveries of it that are still owed."""


@dataclass(frozen=True, slots=True)
class Case:
    """A record that waits in quarantine before anything was owed of it."""

    system: str
    subject: str
    reason_code: str
    text: str
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger's side of a comparison of orders, as of one read transaction."""

    orders: Mapping[str, Order]
    messages: Mapping[str, Any]
    """By id: type, source, accepted_at, state, data."""
    deliveries: Mapping[tuple[str, str], Row[Any]]
    """(message, target) -> its delivery."""
    sources: Mapping[str, frozenset[str]]
    """Type of message -> the systems that tell it, by the flows."""
    targets: Mapping[str, frozenset[str]]
    """Type of message -> the systems that it is owed to."""
    reasons: Mapping[str, str]
    backlog: Mapping[str, datetime]
    cases: Sequence[Case]
    older: frozenset[str]
    """Those of the subjects that sides list which were placed before the window."""
    now: datetime

    def concerns(self, system: str, order: Order, kind: str) -> bool:
        """Say whether a side has to do with an order: it took it itself, or is told of it."""
        return system == order.source or system in self.targets[kind]

    def held(self, system: str, subject: str) -> str:
        """Return why a record of a system that speaks of a subject waits in quarantine; empty where none does."""
        for case in self.cases:
            if case.system == system and (case.subject == subject or json.dumps(subject) in case.text):
                return str(case.reason_code)
        return ""

    def facts(self, system: str, order: Order, types: Sequence[str], began: datetime) -> Iterator[Fact]:
        """Yield how a side stands to each message of an order."""
        for message_id in (order.progress.placed, *order.progress.shipped):
            message = self.messages.get(message_id)
            if message is None or message.type not in types:
                continue
            if message.source == system:
                yield Fact(message_id, Reached.DONE if message.accepted_at < began else Reached.MAYBE)
            elif system in self.targets[message.type]:
                yield from self._delivered(message_id, system, began)

    def _delivered(self, message_id: str, system: str, began: datetime) -> Iterator[Fact]:
        row = self.deliveries.get((message_id, system))
        if row is None and self.messages[message_id].state == "quarantined":
            reason = next((case.reason_code for case in self.cases if case.message_id == message_id), "")
            yield Fact(message_id, Reached.OWED, Owed("", message_id, 0, False, False, held=True, reason=reason))
        elif row is None:
            yield Fact(message_id, Reached.UNSENT)
        elif row.state in OPEN:
            yield Fact(message_id, Reached.OWED, owed(row, 0, self.now, self.reasons))
        elif row.state == DeliveryState.DELIVERED:
            yield Fact(message_id, Reached.DONE if row.finished_at < began else Reached.MAYBE)


def load(
    connection: Connection,
    snapshot: Snapshot,
    spec: ComparisonSpec,
    since: datetime,
    subjects: Sequence[str] | None,
    listed: Iterable[str],
    now: datetime,
) -> Ledger:
    """Load the orders placed since an instant, or those that are asked for, and what is known of them up to now.

    `listed`: what the sides list.
    """
    systems = [side.system for side in spec.sides]
    rows = [row for row in _orders(connection, since, subjects) if not spec.locations or row.location in spec.locations]
    since = min([since, *(row.placed_at for row in rows)]) - SLACK
    m = t.message.c
    told = select(m.id, m.type, m.source, m.accepted_at, m.state, m.data).where(
        m.type.in_(TYPES), m.accepted_at >= since
    )
    messages = {row.id: row for row in connection.execute(told.order_by(m.id))}
    deliveries = _deliveries(connection, systems, since)
    open_: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in deliveries:
        if row.state in OPEN:
            open_[row.message_id].append(row)
    progress = _progress(connection, rows, messages)
    orders = {}
    for row in rows:
        mine = progress[row.ref]
        still = (one for message in (mine.placed, *mine.shipped) for one in open_.get(message, ()))
        orders[row.ref] = Order(row.ref, row.source, row.value, row.currency, mine, tuple(still))
    return Ledger(
        orders, messages, {(row.message_id, row.target): row for row in deliveries}, *_flows(snapshot),
        reasons(connection, deliveries), backlog(connection, now), _cases(connection, systems),
        _known(connection, sorted(set(listed) - orders.keys())), now,
    )  # fmt: skip


def _orders(connection: Connection, since: datetime, subjects: Sequence[str] | None) -> Sequence[Row[Any]]:
    o = t.order_state.c
    wanted = o.placed_at >= since if subjects is None else o.ref.in_(list(subjects))
    return connection.execute(select(t.order_state).where(wanted).order_by(o.ref)).all()


def _known(connection: Connection, refs: Sequence[str]) -> frozenset[str]:
    o = t.order_state.c
    found: set[str] = set()
    for at in range(0, len(refs), 500):
        found.update(connection.execute(select(o.ref).where(o.ref.in_(refs[at : at + 500]))).scalars())
    return frozenset(found)


def _progress(connection: Connection, rows: Sequence[Row[Any]], messages: Mapping[str, Any]) -> dict[str, Progress]:
    lines: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    refs = [row.ref for row in rows]
    n = t.order_line.c
    for at in range(0, len(refs), 500):
        query = select(n.order_ref, n.sku, n.quantity).where(n.order_ref.in_(refs[at : at + 500]))
        for line in connection.execute(query):
            lines[line.order_ref][line.sku] += line.quantity
    shipped: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for message in messages.values():
        if message.type == "shipment.shipped":
            units: dict[str, int] = defaultdict(int)
            for line in message.data["lines"]:
                units[line["sku"]] += int(line["quantity"])
            shipped[message.data["order_ref"]][message.id] = dict(units)
    return {row.ref: Progress(row.message_id, dict(lines[row.ref]), shipped.get(row.ref, {})) for row in rows}


def _deliveries(connection: Connection, systems: Sequence[str], since: datetime) -> Sequence[Row[Any]]:
    d, m = t.delivery.c, t.message.c
    query = (
        select(t.delivery)
        .join(t.message, d.message_id == m.id)
        .where(m.type.in_(TYPES), m.accepted_at >= since, d.target.in_(systems))
    )
    return connection.execute(query.order_by(d.id)).all()


def _flows(snapshot: Snapshot) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    sources: dict[str, set[str]] = {kind: set() for kind in TYPES}
    targets: dict[str, set[str]] = {kind: set() for kind in TYPES}
    for flow in snapshot.flows.values():
        for kind in sources.keys() & set(flow.spec.message_types):
            sources[kind].add(flow.spec.source)
            targets[kind] |= {target.system for target in flow.spec.targets}
    return {kind: frozenset(found) for kind, found in sources.items()}, {
        kind: frozenset(found) for kind, found in targets.items()
    }


def _cases(connection: Connection, systems: Sequence[str]) -> list[Case]:
    q = t.quarantine.c
    waiting = (q.system.in_(systems), q.stage != "delivery", q.state.in_(("waiting", "corrected")))
    query = select(q.system, q.subject, q.reason_code, q.record, q.message_id).where(*waiting).order_by(q.id)
    return [
        Case(row.system, row.subject, row.reason_code, json.dumps(row.record), row.message_id)
        for row in connection.execute(query)
    ]
