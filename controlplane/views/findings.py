"""Where systems disagree: findings, the runs that found them, and one finding with all its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select, text

from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from controlplane.views.narrowing import ALL, Narrow
from controlplane.views.paging import FIRST, Order, Part, Stretch, part

OPEN = ("suspected", "open", "healing", "accepted")


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement with its cause."""

    id: str
    comparison: str
    subject: str
    """The business key: SKU@location, the order's reference, a SKU."""
    field: str
    side: str
    cause: str
    state: str
    first_seen_at: datetime
    confirmed_at: datetime | None
    closed_at: datetime | None
    changed_at: datetime | None
    accepted_by: str | None
    note: str | None
    expected: list[int | str]
    """A decimal is its text."""
    actual: int | str | None
    money: Decimal | None
    currency: str | None
    explanation: str
    message_id: str | None
    run_id: str


@dataclass(frozen=True, slots=True)
class FindingPage:
    """A finding, what was read, and what was done about it."""

    finding: Finding
    evidence: Mapping[str, Any]
    run: Mapping[str, Any] | None
    message: Mapping[str, Any] | None
    deliveries: list[Mapping[str, Any]]
    """Writes to the side that is wrong, of this key, since it was first seen: the heal is among them."""
    product: Mapping[str, Any] | None
    steps: list[Mapping[str, Any]]
    """What became of it, in its order."""
    heals: list[Mapping[str, Any]]
    """What was healed by itself, or asked for beyond the limits."""


FIELDS = [getattr(t.finding.c, name) for name in Finding.__dataclass_fields__]
ORDER = Order("findings", (t.finding.c.first_seen_at, t.finding.c.id))
RUNS = Order("comparison runs", (t.comparison_run.c.id,))


def findings(
    conn: Connection, everything: bool = False, stretch: Stretch = FIRST, narrow: Narrow = ALL
) -> Part[Finding]:
    """Return the findings that are not closed (or all), the newest first. Those of one state are asked for by it. One query."""
    query = select(*FIELDS).where(*narrow.of(t.finding, t.finding.c.first_seen_at))
    if not everything and "state" not in narrow.equal:
        query = query.where(t.finding.c.state.in_(OPEN))
    return part(conn, query, ORDER, stretch, lambda row: Finding(**row))


def finding(conn: Connection, finding_id: str) -> FindingPage:
    """Read one finding. Seven queries. Raises NotFoundError."""
    f, d, happened = t.finding.c, t.delivery.c, t.finding_event
    row = conn.execute(select(t.finding).where(f.id == finding_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no finding '{finding_id}'; list them with GET /api/v1/findings")
    one = Finding(**{name: row[name] for name in Finding.__dataclass_fields__})
    writes = (
        select(d.id, d.message_id, d.target, d.entity, d.state, d.attempts, d.created_at, d.finished_at, d.outcome,
               d.detail, d.payload)
        .where(text("delivery.coalesce"), d.target == one.side, d.order_key == one.subject,
               d.created_at >= one.first_seen_at)
        .order_by(d.id).limit(20)
    )  # fmt: skip
    return FindingPage(
        finding=one,
        evidence=row["evidence"],
        run=_one(conn, select(t.comparison_run).where(t.comparison_run.c.id == one.run_id)),
        message=_one(conn, select(t.message).where(t.message.c.id == one.message_id)),
        deliveries=[dict(write) for write in conn.execute(writes).mappings()],
        product=_one(conn, select(t.product).where(t.product.c.sku == (one.subject.rpartition("@")[0] or one.subject))),
        steps=_all(conn, select(happened).where(happened.c.finding_id == one.id).order_by(happened.c.id)),
        heals=_all(conn, select(t.heal).where(t.heal.c.finding_id == one.id).order_by(t.heal.c.id)),
    )


def _all(conn: Connection, query: Any) -> list[Mapping[str, Any]]:
    return [dict(row) for row in conn.execute(query).mappings()]


def _one(conn: Connection, query: Any) -> Mapping[str, Any] | None:
    row = conn.execute(query).mappings().one_or_none()
    return dict(row) if row else None


def runs(conn: Connection, comparison: str | None = None, stretch: Stretch = Stretch(50)) -> Part[Mapping[str, Any]]:
    """Return the newest runs of comparisons. One query."""
    query = select(t.comparison_run)
    if comparison is not None:
        query = query.where(t.comparison_run.c.comparison == comparison)
    return part(conn, query, RUNS, stretch, dict)
