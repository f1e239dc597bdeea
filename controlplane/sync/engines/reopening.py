"""Open deliveries again that waited in quarantine or were dropped: under their key, behind the same limits, each in its line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, bindparam, select, update

from controlplane.store import signals
from controlplane.store import tables as t
from controlplane.store.heads import line_up
from controlplane.store.types import instant
from controlplane.sync import quarantine
from controlplane.sync.processes.contract import Work
from controlplane.sync.routing.owed import Owed
from rules.outcomes import DeliveryState

SAME = ("state", "pause_base", "retry_revision", "registry_version")
"""Columns that are as if the delivery were owed now."""
TIMES = ("due_at", "deadline_at")


@dataclass(frozen=True, slots=True)
class Again:
    """A delivery as it was found, and as it would be owed now."""

    delivery: Row[Any]
    owed: Owed


def reopen(work: Work, again: Sequence[Again], actor: str, replay_id: str) -> set[str]:
    """Open the deliveries again and close their cases; return the ids of those that nobody else had moved on meanwhile.

    Needs the books and the targets locked (`store.locks`). What was tried keeps its payload, for its key stands for that.
    """
    opened = _untouched(work.connection, again) if again else []
    tried = [one for one in opened if one.delivery.fence]
    _write(work.connection, tried, with_payload=False)
    _write(work.connection, [one for one in opened if not one.delivery.fence], with_payload=True)
    keys: dict[str, list[str]] = defaultdict(list)
    for one in opened:
        keys[one.delivery.target].append(one.delivery.order_key)
    for target, lines in sorted(keys.items()):
        line_up(work.connection, target, lines)
        signals.note(work.connection, signals.deliveries(target))
    ids = [one.delivery.id for one in opened]
    if ids:
        quarantine.mark_reopened(work.connection, work.clock, ids, actor, replay_id)
    return set(ids)


def _untouched(connection: Connection, again: Sequence[Again]) -> list[Again]:
    """Those that are as they were found, held so until the transaction ends.

    A case that a person has in hand at this moment is left to that person, and not waited for: who drops a record holds its
    case while waiting for the target that we hold.
    """
    d, q = t.delivery.c, t.quarantine.c
    ids = [one.delivery.id for one in again]
    query = select(d.id, d.state, d.fence).where(d.id.in_(ids)).order_by(d.id).with_for_update()
    now = {row.id: (row.state, row.fence) for row in connection.execute(query)}
    cases = select(q.delivery_id).where(q.delivery_id.in_(ids), q.state == "waiting").with_for_update(skip_locked=True)
    free = set(connection.execute(cases).scalars())
    return [
        one
        for one in again
        if now.get(one.delivery.id) == (one.delivery.state, one.delivery.fence)
        and (one.delivery.state != DeliveryState.QUARANTINED or one.delivery.id in free)
    ]


def _write(connection: Connection, opened: Sequence[Again], *, with_payload: bool) -> None:
    if not opened:
        return
    names = [*SAME, *TIMES, *(["payload"] if with_payload else [])]
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    fixed = {"attempts": 0, "finished_at": None, "lease_owner": None, "lease_until": None}
    query = update(t.delivery).where(t.delivery.c.id == bindparam("mine")).values(**values, **fixed)
    connection.execute(query, [_row(one, names) for one in opened])


def _row(one: Again, names: Sequence[str]) -> dict[str, Any]:
    row = _not_before(one.delivery.due_at, one.owed.row)
    values = row | {name: instant(row[name]) for name in TIMES} | {"payload": orjson.loads(row["payload"])}
    return {"mine": one.delivery.id, **{f"new_{name}": values[name] for name in names}}


def _not_before(due: int, row: dict[str, Any]) -> dict[str, Any]:
    """What is read back waits until what was sent cannot take effect any more, and its budget begins then. In microseconds."""
    later = max(0, due - row["due_at"]) if row["state"] == DeliveryState.UNKNOWN else 0
    return row | {name: row[name] + later for name in TIMES}
