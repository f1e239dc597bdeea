"""What moves, as lists: what arrived, messages, what is owed of them, and every try at it. Contents stand with the single rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, and_, select

from controlplane.errors import BadInputError, NotFoundError
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.views.narrowing import ALL, Narrow
from controlplane.views.paging import FIRST, Order, Part, Stretch, part
from controlplane.views.personal import masked, readable

Row = Mapping[str, Any]
INTAKE = ("headers", "body", "sealed")
MESSAGE = ("data", "fingerprint")
DELIVERY = ("payload",)
"""Columns that only the single row has: they may be long, and tell of people."""
ARRIVED, MESSAGES, DELIVERIES = (
    Order(name, (table.c.id,))
    for name, table in (("what arrived", t.intake), ("messages", t.message), ("deliveries", t.delivery))
)
ATTEMPTS = Order("attempts", (t.attempt.c.finished_at, t.attempt.c.id))


def arrived(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return what systems told us, the newest first, without what they said; `sealed`: it is kept sealed. One query."""
    i = t.intake.c
    query = select(*_without(t.intake, INTAKE), i.sealed.is_not(None).label("sealed"))
    return part(conn, query.where(*narrow.of(t.intake, i.received_at, by_id=True)), ARRIVED, stretch, dict)


def arrival(conn: Connection, intake_id: str) -> Row:
    """Return one record of intake, `headers` and `body` (as text) masked. Raises NotFoundError."""
    row = conn.execute(select(t.intake).where(t.intake.c.id == intake_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(
            f"no record '{intake_id}' of intake; list them with GET /api/v1/intake, or it is archived by now"
        )
    shown = {"headers": masked(row["headers"]), "body": readable(row["body"]), "sealed": row["sealed"] is not None}
    return {**row, **shown}


def messages(
    conn: Connection, promises: Snapshot, narrow: Narrow = ALL, stretch: Stretch = FIRST, *, flow: str | None = None
) -> Part[Row]:
    """Return messages by when they were accepted, the newest first, without their data; `flow`: those that it carries. One query.

    Raises BadInputError for a flow that there is not.
    """
    m = t.message.c
    wanted = narrow.of(t.message, m.accepted_at, by_id=True)
    if flow is not None:
        wanted.append(_carried(promises, flow))
    return part(conn, select(*_without(t.message, MESSAGE)).where(*wanted), MESSAGES, stretch, dict)


def _carried(promises: Snapshot, flow: str) -> Any:
    if flow not in promises.flows:
        known = ", ".join(promises.flows) or "none"
        raise BadInputError(f"no flow '{flow}' in the registry; there are: {known}", "flow")
    spec = promises.flows[flow].spec
    return and_(t.message.c.source == spec.source, t.message.c.type.in_(spec.message_types))


def deliveries(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return deliveries by when they came to be, the newest first, without what is sent. One query."""
    wanted = narrow.of(t.delivery, t.delivery.c.created_at, by_id=True)
    return part(conn, select(*_without(t.delivery, DELIVERY)).where(*wanted), DELIVERIES, stretch, dict)


def delivery(conn: Connection, delivery_id: str) -> Row:
    """Return one delivery with what is sent, masked, and its newest thousand `attempts`, the oldest first. Raises NotFoundError."""
    row = conn.execute(select(t.delivery).where(t.delivery.c.id == delivery_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(
            f"no delivery '{delivery_id}'; list them with GET /api/v1/deliveries, or it is archived by now"
        )
    found = attempts(conn, Narrow({"delivery_id": delivery_id}), Stretch(1000)).rows
    return {**row, "payload": masked(row["payload"]), "attempts": found[::-1]}


def attempts(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return tries by when they ended, the newest first, with their evidence masked. One query."""
    wanted = narrow.of(t.attempt, t.attempt.c.finished_at)
    return part(conn, select(t.attempt).where(*wanted), ATTEMPTS, stretch, _attempt)


def _attempt(row: dict[str, Any]) -> Row:
    return row | {"evidence": masked(row["evidence"])}


def _without(table: Table, left_out: tuple[str, ...]) -> list[Any]:
    return [column for column in table.columns if column.name not in left_out]
