"""What waits for a person: the causes, the list, and one case whole with all that was done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, and_, func, select
from sqlalchemy import case as case_of

from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from controlplane.sync.quarantine import OPEN, chain, sealed
from controlplane.sync.quarantine.selection import GROUP
from controlplane.views.paging import FIRST, Order, Part, Stretch, part

OLDEST, NEWEST = (
    Order(f"cases, {first} first", (t.quarantine.c.id,), first == "newest") for first in ("oldest", "newest")
)


@dataclass(frozen=True, slots=True)
class Held:
    """One case of the list."""

    id: str
    stage: str
    system: str
    flow: str
    reason_code: str
    fault: str
    """The code or field that is wrong, where there is one."""
    reason: str
    remedy: str
    subject: str
    state: str
    owner: str
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    replayed_as: str | None
    message_id: str | None
    money: Decimal | None
    currency: str | None
    needs_approval: bool
    approved_by: str | None
    replay_at: datetime | None
    previous_id: str | None
    about: str
    """What it is about as a person would say it: a row of a file by file and line, anything else by its subject."""


FIELDS = [getattr(t.quarantine.c, name) for name in Held.__dataclass_fields__ if name != "about"]


@dataclass(frozen=True, slots=True)
class Group:
    """Open cases that have their cause in common."""

    system: str
    flow: str
    code: str
    fault: str
    owner: str
    stage: str
    count: int
    corrected: int
    needs_approval: int
    """Corrections that a second person has not agreed to yet."""
    oldest: datetime
    reason: str
    """Of the oldest."""
    remedy: str
    money: Mapping[str, Decimal]
    """By currency, of those whose worth is known."""
    unknown_worth: int


def held(
    conn: Connection,
    flow: str | None = None,
    everything: bool = False,
    narrow: Mapping[str, str] | None = None,
    stretch: Stretch = FIRST,
) -> Part[Held]:
    """Return the cases that are open (the oldest first) or all (the newest first). One query.

    `narrow`: names of `Selection`'s groups and their values.
    """
    q = t.quarantine.c
    query = select(*FIELDS, q.record)
    if not everything:
        query = query.where(q.state.in_(OPEN))
    wanted = {**(narrow or {}), **({"flow": flow} if flow is not None else {})}
    query = query.where(*(q[GROUP[name]] == value for name, value in wanted.items()))
    return part(conn, query, NEWEST if everything else OLDEST, stretch, _held)


def groups(conn: Connection, narrow: Mapping[str, str] | None = None) -> list[Group]:
    """Return the causes for which records wait, the most frequent first. Two queries."""
    q = t.quarantine.c
    by = (q.system, q.flow, q.reason_code, q.fault, q.owner, q.stage)
    mine = [q.state.in_(OPEN), *(q[GROUP[name]] == value for name, value in (narrow or {}).items())]
    unapproved = case_of((and_(q.needs_approval, q.approved_by.is_(None)), 1), else_=0)
    counts = select(
        *by, func.count().label("count"), func.sum(case_of((q.state == "corrected", 1), else_=0)).label("corrected"),
        func.sum(unapproved).label("unapproved"), func.min(q.id).label("first"),
    ).where(*mine).group_by(*by).subquery()  # fmt: skip
    firsts = select(counts, q.opened_at, q.reason, q.remedy).join(t.quarantine, q.id == counts.c.first)
    worth: dict[tuple[str, ...], dict[str, Decimal]] = {}
    known: Counter[tuple[str, ...]] = Counter()
    for *key, money, currency in conn.execute(select(*by, q.money, q.currency).where(*mine, q.money.is_not(None))):
        sums = worth.setdefault(tuple(key), {})
        sums[currency or ""] = sums.get(currency or "", Decimal(0)) + money
        known[tuple(key)] += 1
    found = []
    for row in conn.execute(firsts.order_by(counts.c.count.desc(), counts.c.first)):
        cause = (row.system, row.flow, row.reason_code, row.fault, row.owner, row.stage)
        count: int = row._mapping["count"]
        found.append(
            Group(*cause, count, row.corrected, row.unapproved, row.opened_at, row.reason, row.remedy,
                  worth.get(cause, {}), count - known[cause])
        )  # fmt: skip
    return found


def _held(row: dict[str, Any]) -> Held:
    record = row.pop("record")
    return Held(**row, about=about(row["subject"], record))


def about(subject: str, record: Any) -> str:
    """Name a record the way its sender would: `sales_ST1.csv, line 2` for a row of a file, else its subject."""
    body = record.get("body") if isinstance(record, Mapping) else None
    if isinstance(body, Mapping) and body.get("file") and body.get("line"):
        return f"{body['file']}, line {body['line']}"
    return subject


def case(conn: Connection, case_id: str) -> Mapping[str, Any]:
    """Return a case with its record and correction, what is personal hidden (`sealed`: something is). With what was done about it
    (`history`), and all `cases` that the record was in, the first one first. Raises NotFoundError.
    """
    q, e = t.quarantine.c, t.quarantine_event.c
    row = conn.execute(select(t.quarantine).where(q.id == case_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no quarantine case '{case_id}'; list them with GET /api/v1/quarantine")
    cases = chain(conn, case_id)
    steps = conn.execute(select(t.quarantine_event).where(e.case_id == case_id).order_by(e.id)).mappings().all()
    brief = (q.id, q.state, q.stage, q.reason_code, q.reason, q.opened_at, q.closed_at, q.closed_by)
    others = conn.execute(select(*brief).where(q.id.in_(cases)).order_by(q.id)).mappings().all()
    return {**sealed.shown(row), "history": [dict(step) for step in steps], "cases": [dict(one) for one in others]}
