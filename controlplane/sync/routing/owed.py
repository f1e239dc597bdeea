"""Write what is owed, a whole batch in a fixed number of statements: superseded states closed, heads of lines known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import Connection, delete

from controlplane.store import direct, facts, signals
from controlplane.store import tables as t
from controlplane.store.heads import promote
from controlplane.store.locks import lock_targets
from controlplane.store.tables import OPEN
from controlplane.store.types import micros
from controlplane.sync import quarantine
from controlplane.sync.ledger import settled
from controlplane.telemetry.facts import Superseded

COLUMNS = (
    "id", "message_id", "flow", "target", "entity", "subject", "order_key", "idempotency_key", "coalesce", "payload",
    "state", "head", "due_at", "deadline_at", "pause_base", "promise_at", "attempts", "fence", "created_at",
    "finished_at", "retry_revision", "registry_version", "money", "currency", "trace_id",
)  # fmt: skip
_CELLS = itemgetter(*COLUMNS)
_TYPES = {
    "coalesce": "boolean", "payload": "jsonb", "head": "boolean", "due_at": "bigint", "deadline_at": "bigint",
    "pause_base": "bigint", "promise_at": "bigint", "attempts": "int", "fence": "int", "created_at": "bigint",
    "finished_at": "bigint", "registry_version": "int",
}  # fmt: skip
_INSERT_SQLITE = f"INSERT OR IGNORE INTO delivery ({', '.join(COLUMNS)})"
_OPEN_BEFORE = f"""(SELECT true FROM delivery d WHERE d.target = r.target COLLATE "C" AND d.order_key = r.order_key COLLATE "C"
  AND d.{OPEN} LIMIT 1)"""  # noqa: S608
"""Whether something of the row's line is open already; a sub-query with LIMIT is looked up for each row by itself."""
_GIVEN = ", ".join(f"r.head AND {_OPEN_BEFORE} IS NULL" if name == "head" else f"r.{name}" for name in COLUMNS)
_INSERT_POSTGRESQL = f"""
INSERT INTO delivery ({", ".join(COLUMNS)})
SELECT {_GIVEN} FROM jsonb_to_recordset(%(rows)s::jsonb)
AS r({", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS)})
ON CONFLICT (idempotency_key) DO NOTHING RETURNING true"""  # noqa: S608
# Each key is looked up by itself in the index of what is open. PostgreSQL is kept from reading all that waits at a target and
# joining it, which it would think cheap until the tables are analysed: a lateral sub-query with OFFSET 0 is not rearranged.
_UNBEGUN = "state IN ('pending', 'quarantined')"
"""Said again of the row that is changed: on PostgreSQL what a sub-query found may have been claimed before it is locked."""
_SUPERSEDED = f"d.{OPEN} AND d.entity = {{entity}} AND d.coalesce AND d.state IN ('pending', 'quarantined')"
_SUPERSEDE_SQLITE = f"""
UPDATE delivery SET state = 'superseded', finished_at = ? WHERE id IN (
  SELECT d.id FROM json_each(?) k CROSS JOIN delivery d ON d.target = ? AND d.order_key = k.value
  AND {_SUPERSEDED.format(entity="?")}) AND {_UNBEGUN} RETURNING id"""  # noqa: S608
_SUPERSEDE_POSTGRESQL = f"""
UPDATE delivery SET state = 'superseded', finished_at = %(now)s WHERE id IN (
  SELECT o.id FROM jsonb_array_elements_text(%(keys)s::jsonb) k CROSS JOIN LATERAL (
    SELECT d.id FROM delivery d WHERE d.target = %(target)s AND d.order_key = k.value COLLATE "C"
    AND {_SUPERSEDED.format(entity="%(entity)s")} OFFSET 0) o) AND {_UNBEGUN} RETURNING id"""  # noqa: S608
_OPEN_KEYS = f"""
SELECT DISTINCT d.order_key FROM json_each(?) k CROSS JOIN delivery d
ON d.target = ? AND d.order_key = k.value AND d.{OPEN}"""  # noqa: S608


@dataclass(slots=True)
class Owed:
    """A delivery that is about to be written; times in microseconds since 1970."""

    row: dict[str, Any]
    order: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.order = (self.row["target"], self.row["order_key"])


def write(connection: Connection, owed: Sequence[Owed], now: datetime) -> int:
    """Write deliveries in the order given; return how many were new. A document that is owed already is not owed twice.

    Of state-like ones for one key only the last is to be sent: earlier ones that nobody has begun with are superseded.
    """
    if not owed:
        return 0
    targets = sorted({one.row["target"] for one in owed})
    lock_targets(connection, targets, alone=True)
    _supersede(connection, owed, now)
    _line_up(connection, owed)
    new = _insert_unsettled(connection, owed)
    if new < len(owed):  # one that was not new may have been taken for the head of its line
        for target in targets:
            promote(connection, target, [one.row["order_key"] for one in owed if one.row["target"] == target])
    for target in targets:
        signals.note(connection, signals.deliveries(target))
    return new


def _supersede(connection: Connection, owed: Sequence[Owed], now: datetime) -> None:
    latest: dict[tuple[str, str, str], Owed] = {}
    gone: Counter[str] = Counter()
    for one in owed:
        if one.row["coalesce"]:
            place = (one.row["target"], one.row["entity"], one.row["order_key"])
            if place in latest:
                latest[place].row |= {"state": "superseded", "finished_at": micros(now)}
                gone[one.row["target"]] += 1
            latest[place] = one
    by_kind: dict[tuple[str, str], list[str]] = defaultdict(list)
    for target, entity, key in latest:
        by_kind[target, entity].append(key)
    ids: list[str] = []
    for (target, entity), keys in by_kind.items():
        found = _superseded(connection, target, entity, keys, now)
        gone[target] += len(found)
        ids += found
    for target, count in (+gone).items():
        facts.note(connection, Superseded(target, count))
    if ids:
        quarantine.overtaken(connection, now, ids)


def _superseded(connection: Connection, target: str, entity: str, keys: Iterable[str], now: datetime) -> list[str]:
    listed = orjson.dumps(list(keys)).decode()
    if connection.dialect.name == "postgresql":
        values = {"keys": listed, "target": target, "entity": entity, "now": micros(now)}
        return direct.fetch_column(connection, _SUPERSEDE_POSTGRESQL, values)
    return direct.fetch_column(connection, _SUPERSEDE_SQLITE, (micros(now), listed, target, entity))


def _line_up(connection: Connection, owed: Sequence[Owed]) -> None:
    """Say of each whether it is the first of its target and order key that is open; on PostgreSQL, whether it is of these, and
    the rest is found out as they are inserted: one round trip less while the target is locked.
    """
    taken = set() if connection.dialect.name == "postgresql" else _open_lines(connection, owed)
    for one in owed:
        if one.row["state"] != "superseded":
            one.row["head"] = one.order not in taken
            taken.add(one.order)


def _open_lines(connection: Connection, owed: Sequence[Owed]) -> set[tuple[str, str]]:
    by_target: dict[str, set[str]] = defaultdict(set)
    for target, key in (one.order for one in owed):
        by_target[target].add(key)
    return {
        (target, key)
        for target, keys in by_target.items()
        for key in direct.fetch_column(connection, _OPEN_KEYS, (orjson.dumps(list(keys)).decode(), target))
    }


def _insert_unsettled(connection: Connection, owed: Sequence[Owed]) -> int:
    """Insert what is new; documents are taken out again whose deliveries retention has deleted. Return how many were new."""
    inserted = _insert(connection, [one.row for one in owed])
    documents = {one.row["idempotency_key"]: one.row["id"] for one in reversed(owed) if not one.row["coalesce"]}
    known = settled.asked(connection, list(documents))
    new, ids = inserted(), [documents[key] for key in known()]
    if ids:
        new -= connection.execute(delete(t.delivery).where(t.delivery.c.id.in_(ids))).rowcount
    return new


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> Callable[[], int]:
    """Insert; return what gives how many were new."""
    if connection.dialect.name == "postgresql":
        given = [{**row, "payload": orjson.Fragment(row["payload"])} for row in rows]
        asked = direct.Asked(connection, _INSERT_POSTGRESQL, {"rows": orjson.dumps(given).decode()})
        return lambda: len(asked.rows())
    new = direct.insert_rows(connection, _INSERT_SQLITE, [_CELLS(row) for row in rows])
    return lambda: new
