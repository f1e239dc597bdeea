"""The thread of a change request: who did what to it when, and what they said, out of the action log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from controlplane.store import tables as t
from rules.policy.difference import changed_fields

PREFIX = "change_request."
ASIDE = frozenset({"comment", "simulate"})
"""Steps that leave a request as it is."""
SHOWN = 3
"""Fields of an edit that are named; the others are counted."""
WORDS: Mapping[str, str] = {
    "open": "opened it", "edit": "edited it; approvals are void", "submit": "asked for review", "simulate": "simulated it",
    "approve": "approved", "reject": "rejected", "schedule": "scheduled it", "apply": "put it in force",
    "withdraw": "withdrew it", "break_glass": "broke the glass", "review": "reviewed the break-glass", "comment": "commented",
    "conflict": "found that its base has moved", "expire": "ended it", "revert": "took it back",
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
    mine = select(t.action).where(t.action.c.subject == f"change_request/{request_id}").order_by(t.action.c.seq)
    return [_step(row) for row in conn.execute(mine).mappings()]


def last(conn: Connection, request_id: str) -> Step | None:
    """Return the last thing that was done to a request, beside looking at it and talking about it."""
    return next((one for one in reversed(thread(conn, request_id)) if one.step not in ASIDE), None)


def _step(row: Any) -> Step:
    step = str(row["action"]).removeprefix(PREFIX)
    return Step(row["seq"], row["at"], row["actor"], step, WORDS.get(step, step.replace("_", " ")), _said(step, row))


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
