"""One flow: how much goes through, how fast, what is owed, what waits for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from controlplane.errors import NotFoundError
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.views import matrix
from controlplane.views.quarantine import Held, held
from controlplane.views.readings import Axis, Latency, known_axis, latency

LIMIT = 50


@dataclass(frozen=True, slots=True)
class FlowPage:
    """All that the page of one flow shows."""

    at: datetime
    row: matrix.FlowRow
    policy: dict[str, Any]
    paused_at: datetime | None
    """An operator paused its deliveries then, and nobody has resumed them."""
    over: Axis
    latency: Latency
    owed: list[Mapping[str, Any]]
    """Open deliveries, those due longest first."""
    recent: list[Mapping[str, Any]]
    """The newest messages with the states of their deliveries."""
    held: list[Held]


def flow_rows(conn: Connection, promises: Snapshot, now: datetime) -> list[matrix.FlowRow]:
    """Return every flow as it stands, the worst first. Six queries."""
    return matrix.rows(promises, matrix.evidence(conn, promises, now), now)


def flow(
    conn: Connection, promises: Snapshot, name: str, now: datetime, window: timedelta = timedelta(hours=1)
) -> FlowPage:
    """Read the page of one flow. A fixed number of queries. Raises NotFoundError naming the flows there are."""
    if name not in promises.flows:
        raise NotFoundError(f"no flow '{name}' in the registry; there are: {', '.join(promises.flows) or 'none'}")
    policy, over = promises.flows[name], known_axis(conn, now, window)
    row = next(row for row in flow_rows(conn, promises, now) if row.flow == name)
    return FlowPage(
        at=now,
        row=row,
        policy=policy.model_dump(mode="json"),
        paused_at=conn.execute(select(t.flow_state.c.paused_at).where(t.flow_state.c.flow == name)).scalar(),
        over=over,
        latency=latency(conn, over, name),
        owed=owed(conn, name),
        recent=recent(conn, policy.spec.source, policy.spec.message_types, name),
        held=held(conn, flow=name).rows,
    )


def owed(conn: Connection, name: str, limit: int = LIMIT) -> list[Mapping[str, Any]]:
    """Return the open deliveries of a flow, the oldest first. One query."""
    d = t.delivery.c
    columns = (d.id, d.message_id, d.target, d.entity, d.subject, d.state, d.attempts, d.created_at, d.promise_at,
               d.due_at, d.outcome, d.detail)  # fmt: skip
    query = select(*columns).where(t.is_open, d.flow == name, d.state.in_(matrix.OWED)).order_by(d.id).limit(limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def recent(
    conn: Connection, source: str, kinds: tuple[str, ...], name: str, limit: int = LIMIT
) -> list[Mapping[str, Any]]:
    """Return the newest messages of a flow with a count of deliveries by state. Two queries."""
    m, d = t.message.c, t.delivery.c
    columns = (m.id, m.type, m.subject, m.source, m.occurred_at, m.accepted_at, m.state, m.trace_id)
    newest = select(*columns).where(m.source == source, m.type.in_(kinds)).order_by(m.accepted_at.desc(), m.id.desc())
    messages = conn.execute(newest.limit(limit)).mappings().all()
    by_state = (
        select(d.message_id, d.state, func.count().label("count"))
        .where(d.message_id.in_([row["id"] for row in messages]), d.flow == name)
        .group_by(d.message_id, d.state)
    )
    states: dict[str, dict[str, int]] = {}
    for row in conn.execute(by_state):
        states.setdefault(row.message_id, {})[row.state] = row._mapping["count"]
    return [_message(row, states.get(row["id"], {})) for row in messages]


def _message(row: RowMapping, deliveries: dict[str, int]) -> dict[str, Any]:
    return {**row, "deliveries": deliveries}
