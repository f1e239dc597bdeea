"""Append to the chain, and find where somebody has tampered with it.

A chain shows an edit, a deletion and a reordering. That the newest part was cut off, or all of it written anew, only a hash
that is kept elsewhere can show: see `checkpoints`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from sqlalchemy import Connection, insert, select, update

from controlplane.clock import Clock
from controlplane.store import tables as t
from controlplane.store.text import kept
from rules.canonical import digest

FIRST = "0" * 64
"""What the first action holds as the hash of the one before it."""
LONGEST = 8192
"""Bits of a whole number that is kept in digits: of longer ones Python makes none."""
COVERED = [column.name for column in t.action.columns if column.name not in {"hash", "at"}]
_HEAD = select(t.audit_head.c.seq, t.audit_head.c.hash).where(t.audit_head.c.id == 1)


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
    seq, previous = conn.execute(_HEAD.with_for_update()).one()  # on SQLite writers take turns anyway
    rows: list[dict[str, Any]] = []
    for told in actions:
        seq += 1
        row: dict[str, Any] = {
            "seq": seq, "at": clock.now(), "actor": kept(told.actor), "action": told.action, "subject": kept(told.subject),
            "reason": kept(told.reason), "before": settled(told.before), "after": settled(told.after),
            "previous_hash": previous,
        }  # fmt: skip
        previous = fingerprint(row)
        rows.append({**row, "hash": previous})
    conn.execute(insert(t.action), rows)
    conn.execute(update(t.audit_head).where(t.audit_head.c.id == 1).values(seq=seq, hash=previous))
    return int(seq)


def settled(value: Any) -> Any:
    """Return the value in the form in which both databases give it back, so that its hash can be checked later.

    What they cannot keep of a text is replaced first: by one such character anybody could make the whole chain look tampered with.
    """
    if isinstance(value, Mapping):
        return {kept(str(key)): settled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [settled(item) for item in items]
    if isinstance(value, float) and (value.is_integer() or not isfinite(value)):
        return int(value) if isfinite(value) else str(value)
    if isinstance(value, int) and value.bit_length() > LONGEST:
        return hex(value)
    if value is None or isinstance(value, (int, float, bool)):
        return value
    return kept(str(value))


def fingerprint(row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an action without its own hash; it holds the hash of the action before it."""
    content = {name: row[name] for name in COVERED}
    at: datetime = row["at"]
    return digest({**content, "at": at.isoformat(timespec="microseconds")})


def verify(conn: Connection) -> list[str]:
    """Read the whole chain and return what is wrong with it; an empty list means that nothing was tampered with.

    `evidence.examine` holds it against its checkpoints too.
    """
    rows = conn.execute(select(t.action).order_by(t.action.c.seq)).mappings()
    walk = Walk()
    problems = [problem for row in rows for problem in walk.step(dict(row))]
    head = conn.execute(_HEAD).one_or_none()
    if head is None or (head.seq, head.hash) != (walk.seq, walk.hash):
        told = f"action {head.seq}" if head else "nothing"
        problems.append(f"the chain ends at action {walk.seq}, and its head names {told}; restore them from a backup")
    return problems


class Walk:
    """Goes along a chain from its first action, one by one."""

    def __init__(self) -> None:
        self.seq, self.hash = 0, FIRST
        """Of the last action that was seen."""

    def step(self, row: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the next action."""
        problems, number, expected = [], row["seq"], self.seq + 1
        if number > expected:
            problems.append(f"action {expected} to {number - 1}: missing; restore them from a backup")
        elif number < expected:
            problems.append(f"action {number}: stands behind action {self.seq}; the two changed places")
        elif row["previous_hash"] != self.hash:
            problems.append(f"action {number}: does not follow the one before it; one of the two was replaced")
        if fingerprint(row) != row["hash"]:
            problems.append(f"action {number}: was changed after it was written; compare it with a backup")
        self.seq, self.hash = number, row["hash"]
        return problems
