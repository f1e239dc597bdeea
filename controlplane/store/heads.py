"""Order at a target: of one order key only the first open delivery, its head, may be claimed."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from sqlalchemy import Connection, false, select, update

from controlplane.store import direct
from controlplane.store import tables as t
from controlplane.store.tables import OPEN

_PROMOTE_SQLITE = f"""
UPDATE delivery SET head = 1 WHERE id IN (
  SELECT min(d.id) FROM json_each(?) k CROSS JOIN delivery d ON d.target = ? AND d.order_key = k.value AND d.{OPEN}
  GROUP BY d.order_key) AND NOT head"""  # noqa: S608
_PROMOTE_POSTGRESQL = f"""
UPDATE delivery SET head = true WHERE id IN (
  SELECT o.id FROM jsonb_array_elements_text(%(keys)s::jsonb) k CROSS JOIN LATERAL (
    SELECT d.id FROM delivery d WHERE d.target = %(target)s AND d.order_key = k.value COLLATE "C" AND d.{OPEN}
    ORDER BY d.id LIMIT 1) o) AND NOT head"""  # noqa: S608


def promote(connection: Connection, target: str, order_keys: Iterable[str]) -> None:
    """Let the first open delivery of each key be claimed. Whoever ends a delivery calls it.

    Take `locks.lock_targets` before, so that nothing is added to a key while something ends on it.
    """
    keys = orjson.dumps(sorted(set(order_keys))).decode()
    if connection.dialect.name == "postgresql":
        direct.later(connection, _PROMOTE_POSTGRESQL, {"keys": keys, "target": target})
    else:
        direct.later(connection, _PROMOTE_SQLITE, (keys, target))


def line_up(connection: Connection, target: str, order_keys: Iterable[str]) -> None:
    """Put the lines of the keys in order after a delivery was opened again: it may be older than the present head.

    Where one is being sent the line stands still; whoever records it promotes the next. Take `locks.lock_targets` before.
    """
    keys, d = sorted(set(order_keys)), t.delivery.c
    mine = (d.target == target, d.order_key.in_(keys), t.is_open)
    behind = update(t.delivery).where(*mine, d.state != "sending", d.head)
    connection.execute(behind.values(head=false()))
    busy = set(connection.execute(select(d.order_key).where(*mine, d.state == "sending")).scalars())
    promote(connection, target, [key for key in keys if key not in busy])
