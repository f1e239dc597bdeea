"""The thread of a change request: who did what to it when, and what they said, out of the action log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, desc, func, select

from controlplane.store import tables as t
from controlplane.views.paging import FIRST, Order, Part, Stretch, part
from rules.policy.difference import changed_fields

_C = t.action.c
ORDER = Order("steps of a change request", (_C.seq,), newest_first=False)
PREFIX = "change_request."
ASIDE = frozenset({"comment", "simulate"})
"""Steps that leave a request as it is."""
SHOWN = 3
"""Fields of an edit that are named; the others are counted."""
WORDS: Mapping[str, str] = {
    "open": "opened it", "edit": "edited it; approvals are void", "submit": "asked for review", "simulate": "simulated it",
    "approve": "approved", "reject": "rejected", "schedule": "scheduled it", "apply": "put it in force",
    "withdraw": "withdrew it", "break_glass": "broke the glass", "review": "reviewed the break-glass", "comment": "commented",
    "conflict": "found that its base has moved", "look_again": "found its simulation overtaken",
    "expire": "ended it", "revert": "took it back",
    "revert_refused": "could not take it back",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done to a request, or said of it."""

    seq: int
    at: datetime
    actor: str
    step: str
    did: str
    """In words."""
    said: str
    """Reason or comment, or what an edit changed."""


def thread(conn: Connection, request_id: str) -> list[Step]:
    """Return the steps of a request, the oldest first. One query."""
    mine = select(t.action).where(_C.subject == _subject(request_id)).order_by(_C.seq)
    return [_step(row) for row in conn.execute(mine).mappings()]


def steps(conn: Connection, request_id: str, stretch: Stretch = FIRST) -> Part[Step]:
    """Return the steps of a request in parts, the oldest first. One query."""
    return part(conn, select(t.action).where(_C.subject == _subject(request_id)), ORDER, stretch, _step)


def newest(conn: Connection, request_id: str) -> int:
    """Return the number of the newest step of a request; 0 where there is none. Reads no document."""
    return conn.execute(select(func.max(_C.seq)).where(_C.subject == _subject(request_id))).scalar() or 0


def last(conn: Connection, request_id: str) -> Step | None:
    """Return the last thing that was done to a request, beside looking at it and talking about it. Reads no document."""
    aside = [PREFIX + step for step in ASIDE]
    mine = select(_C.seq, _C.at, _C.actor, _C.action).where(_C.subject == _subject(request_id), _C.action.not_in(aside))
    row = conn.execute(mine.order_by(desc(_C.seq)).limit(1)).one_or_none()
    return Step(row.seq, row.at, row.actor, *_named(row.action), "") if row else None


def _subject(request_id: str) -> str:
    return f"change_request/{request_id}"


def _named(action: str) -> tuple[str, str]:
    step = action.removeprefix(PREFIX)
    return step, WORDS.get(step, step.replace("_", " "))


def _step(row: Any) -> Step:
    step, did = _named(row["action"])
    return Step(row["seq"], row["at"], row["actor"], step, did, _said(step, row))


def _said(step: str, row: Any) -> str:
    told = row["after"] or {}
    if step == "edit":
        return _edited(row["before"] or {}, told)
    if step == "schedule":
        return f"for {told.get('scheduled_for', '')}"
    if step == "simulate":
        return f"result {str(told.get('simulation', ''))[:12]}"
    return str(row["reason"])


def _edited(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name what an edit changed, the first few fields with their values."""
    found = changed_fields(before, after)
    told = [f"{path}: {old} → {new}" for path, old, new in found[:SHOWN]]
    more = len(found) - SHOWN
    return (
        "; ".join([*told, *([f"and {more} more"] if more > 0 else [])]) or "the document is the same, its base is not"
    )
