"""Append to the chain, and find where somebody has tampered with it.

A chain shows an edit, a deletion and a reordering. That the newest part was cut off, or all of it written anew, only a copy of
the last hash kept elsewhere can show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, desc, insert, select, text

from controlplane.clock import Clock
from controlplane.store import tables as t
from rules.canonical import digest

FIRST = "0" * 64
"""What the first action holds as the hash of the one before it."""
COVERED = [column.name for column in t.action.columns if column.name not in {"hash", "at"}]
LOCK = 0x7472_7565
"""PostgreSQL's advisory lock that makes writers take turns; on SQLite they do anyway."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was done, as `record` takes it."""

    actor: str
    action: str
    subject: str
    reason: str = ""
    before: Any = None
    after: Any = None


def record(
    conn: Connection,
    clock: Clock,
    *,
    actor: str,
    action: str,
    subject: str,
    reason: str = "",
    before: Any = None,
    after: Any = None,
) -> int:
    """Append one action inside the caller's transaction and return its number in the chain.

    `action` is a dotted verb (change_request.approve), `subject` is kind/name of what was acted on. Call it last in a
    transaction: on PostgreSQL all later writers wait until that transaction ends.
    """
    told = Told(actor, action, subject, reason, before, after)
    return record_all(conn, clock, [told])


def record_all(conn: Connection, clock: Clock, actions: Sequence[Told]) -> int:
    """Append several actions in their order; return the number of the last. As `record`, with the statements of one."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    newest = conn.execute(select(t.action.c.seq, t.action.c.hash).order_by(desc(t.action.c.seq)).limit(1)).one_or_none()
    seq, previous = (newest.seq, newest.hash) if newest else (0, FIRST)
    rows: list[dict[str, Any]] = []
    for told in actions:
        seq += 1
        row: dict[str, Any] = {
            "seq": seq, "at": clock.now(), "actor": told.actor, "action": told.action, "subject": told.subject,
            "reason": told.reason, "before": settled(told.before), "after": settled(told.after),
            "previous_hash": previous,
        }  # fmt: skip
        previous = fingerprint(row)
        rows.append({**row, "hash": previous})
    conn.execute(insert(t.action), rows)
    return int(seq)


def settled(value: Any) -> Any:
    """Return the value in the form in which both databases give it back, so that its hash can be checked later."""
    if isinstance(value, Mapping):
        return {str(key): settled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [settled(item) for item in items]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def fingerprint(row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an action without its own hash; it holds the hash of the action before it."""
    content = {name: row[name] for name in COVERED}
    at: datetime = row["at"]
    return digest({**content, "at": at.isoformat(timespec="microseconds")})


def verify(conn: Connection) -> list[str]:
    """Read the whole chain and return what is wrong with it; an empty list means that nothing was tampered with."""
    problems = []
    previous, expected = FIRST, 1
    for row in conn.execute(select(t.action).order_by(t.action.c.seq)).mappings():
        number = row["seq"]
        if number != expected:
            problems.append(f"action {expected} to {number - 1}: missing; restore them from a backup")
        elif row["previous_hash"] != previous:
            problems.append(f"action {number}: does not follow the one before it; one of the two was replaced")
        if fingerprint(dict(row)) != row["hash"]:
            problems.append(f"action {number}: was changed after it was written; compare it with a backup")
        previous, expected = row["hash"], number + 1
    return problems
