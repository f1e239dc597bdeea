"""The statements of the hot path, once for each database: a whole batch in one round trip.

On PostgreSQL a batch goes as one JSON parameter, which is the fastest way there is short of COPY (see the benchmarks);
on SQLite many rows go by one INSERT, updates as `executemany`. The conditions of the partial indexes are written out as the
indexes say them.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from controlplane.store import direct

COLUMNS = (
    "id", "message_id", "flow", "entity", "subject", "order_key", "idempotency_key", "attempts", "fence",
    "created_at", "deadline_at", "pause_base", "retry_revision", "trace_id",
)  # fmt: skip
READY = "head AND state IN ('pending', 'unknown')"
IN_COMPANY = frozenset({None, "unavailable", "throttled", "rejected"})
"""Last outcomes of what waits to be sent after which it may share a request: it was never tried, or an answer says why not.
After any other it was read back, for nobody knew what became of it, and it goes alone."""


def _read(of: str) -> str:
    """The columns of a claim; of a corrected delivery the key that it is sent under."""
    sent = f"coalesce({of}sent_key, {of}idempotency_key)"
    return ", ".join(sent if name == "idempotency_key" else f"{of}{name}" for name in COLUMNS)


# --- look ---
# Each flow is looked up by itself in the index of what is ready, however much waits in it.
_STANDING = f"""
SELECT (SELECT max(version) FROM registry_version), s.paused_at, s.blocked_until, s.release_at, (
  SELECT min(o.due_at) FROM (
    SELECT (SELECT min(d.due_at) FROM delivery d WHERE d.target = {{target}} AND d.flow = f.flow AND {READY}) AS due_at
    FROM {{flows}} AS f
    WHERE NOT EXISTS (SELECT 1 FROM flow_state p WHERE p.flow = f.flow AND p.paused_at IS NOT NULL)) AS o)
FROM (SELECT 1 AS one) AS once LEFT JOIN system_state s ON s.system = {{target}}"""  # noqa: S608
_STANDING_SQLITE = _STANDING.format(target=":target", flows="(SELECT value AS flow FROM json_each(:flows))")
_STANDING_POSTGRESQL = _STANDING.format(
    target="%(target)s", flows='(SELECT k COLLATE "C" AS flow FROM jsonb_array_elements_text(%(flows)s::jsonb) AS k)'
)


class Standing(NamedTuple):
    """What decides whether something may be claimed for a target; instants in microseconds since 1970."""

    version: int
    """Of the registry."""
    paused_at: int | None
    blocked_until: int | None
    release_at: int | None
    due: int | None
    """When the next delivery of a flow that is not paused falls due."""


def standing(connection: Connection, target: str, flows: Sequence[str]) -> Standing:
    """Return how a target stands, in one statement."""
    query = _STANDING_POSTGRESQL if connection.dialect.name == "postgresql" else _STANDING_SQLITE
    [row] = direct.fetch(connection, query, {"target": target, "flows": orjson.dumps(flows).decode()})
    return Standing(row[0] or 0, *row[1:])


# --- claim ---
_DUE_SQLITE = f"""
SELECT {_read("")}, payload, state, outcome FROM delivery
WHERE target = ? AND flow = ? AND {READY} AND due_at <= ? ORDER BY due_at LIMIT ?"""  # noqa: S608
_TAKE_SQLITE = """
UPDATE delivery SET state = 'sending', lease_owner = ?, lease_until = ?, fence = fence + 1, attempts = attempts + 1
WHERE id = ?"""
_CLAIM_POSTGRESQL = f"""
WITH due AS MATERIALIZED (
  SELECT id, state, outcome, entity, due_at FROM delivery WHERE target = %(target)s AND flow = %(flow)s AND {READY} AND due_at <= %(now)s
  ORDER BY due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED){{chosen}}
UPDATE delivery d SET state = 'sending', lease_owner = %(owner)s, lease_until = %(until)s,
  fence = d.fence + 1, attempts = d.attempts + 1
FROM {{which}} WHERE d.id = due.id
RETURNING {_read("d.")}, d.payload::text, due.state, due.outcome"""  # noqa: S608
_ALONE = """(entity <> ALL(%(together)s) OR state = 'unknown'
  OR coalesce(outcome, 'unavailable') NOT IN ('unavailable', 'throttled', 'rejected'))"""
_ALIKE = f""", alike AS (
  SELECT id, state, outcome FROM (
    SELECT *, {_ALONE} AS alone, first_value({_ALONE}) OVER (ORDER BY due_at, id) AS first_alone,
      row_number() OVER (PARTITION BY {_ALONE} ORDER BY due_at, id) AS place FROM due) AS placed
  WHERE alone = first_alone AND (NOT alone OR place <= %(alone)s))"""  # noqa: S608
_CLAIM_ALL = _CLAIM_POSTGRESQL.format(chosen="", which="due")
_CLAIM_ALIKE = _CLAIM_POSTGRESQL.format(chosen=_ALIKE, which="alike AS due")


def claim(
    connection: Connection,
    *,
    target: str,
    flow: str,
    now: int,
    limit: int,
    owner: str,
    until: int,
    alone: int | None = None,
    together: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """Claim up to `limit` due deliveries of a flow, the longest due first; times in microseconds since 1970.

    `alone`: claim only what is sent as the longest due is: in company (of the entities `together`), or each alone, and of
    those so many at most (`goes_alone`). Return COLUMNS as they stand after the claim, the payload as JSON text, and state
    and outcome before it.
    """
    if connection.dialect.name == "postgresql":
        values = {"target": target, "flow": flow, "now": now, "limit": limit, "owner": owner, "until": until}
        query = _CLAIM_ALL if alone is None else _CLAIM_ALIKE
        # by id: the order in which they came to be
        return sorted(
            direct.fetch(connection, query, values | {"alone": alone, "together": list(together)}), key=itemgetter(0)
        )
    found = direct.fetch(connection, _DUE_SQLITE, (target, flow, now, limit))
    if alone is not None:
        found = _alike(found, alone, together)
    if found:
        direct.change_each(connection, _TAKE_SQLITE, [(owner, until, row[0]) for row in found])
    return [(*row[:7], row[7] + 1, row[8] + 1, *row[9:]) for row in found]


def goes_alone(row: tuple[Any, ...], together: Sequence[str]) -> bool:
    """Say whether a row of `claim` is sent in a request of its own. `together`: the entities of which one carries several."""
    before, outcome = row[-2:]
    return row[3] not in together or before == "unknown" or outcome not in IN_COMPANY


def _alike(rows: list[tuple[Any, ...]], alone: int, together: Sequence[str]) -> list[tuple[Any, ...]]:
    if rows and goes_alone(rows[0], together):
        return [row for row in rows if goes_alone(row, together)][:alone]
    return [row for row in rows if not goes_alone(row, together)]


# --- finish ---
ATTEMPT = (
    "id", "delivery_id", "number", "kind", "system", "flow", "started_at", "finished_at", "outcome", "detail",
    "evidence", "retry_revision",
)  # fmt: skip
_TYPES = {"number": "int", "started_at": "bigint", "finished_at": "bigint", "evidence": "jsonb"}
_ATTEMPTS_POSTGRESQL = f"""
INSERT INTO attempt ({", ".join(ATTEMPT)})
SELECT {", ".join(ATTEMPT)} FROM jsonb_to_recordset(%(rows)s::jsonb)
AS r({", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in ATTEMPT)})"""  # noqa: S608
_ATTEMPTS_SQLITE = f"INSERT INTO attempt ({', '.join(ATTEMPT)})"
FINISH = ("state", "due_at", "outcome", "detail", "finished_at", "payload", "id", "fence")
_FINISH_SQLITE = """
UPDATE delivery SET state = ?, due_at = coalesce(?, due_at), outcome = ?, detail = ?, finished_at = ?,
  payload = coalesce(?, payload), lease_owner = NULL, lease_until = NULL
WHERE id = ? AND fence = ? AND state = 'sending'"""
_OURS_SQLITE = """
SELECT d.id FROM json_each(?) k CROSS JOIN delivery d ON d.id = json_extract(k.value, '$[0]')
WHERE d.fence = json_extract(k.value, '$[1]') AND d.state = 'sending'"""
_FINISH_POSTGRESQL = """
UPDATE delivery d SET state = r.state, due_at = coalesce(r.due_at, d.due_at), outcome = r.outcome, detail = r.detail,
  finished_at = r.finished_at, payload = coalesce(r.payload, d.payload), lease_owner = NULL, lease_until = NULL
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(state text, due_at bigint, outcome text, detail text, finished_at bigint,
  payload jsonb, id text COLLATE "C", fence int)
WHERE d.id = r.id AND d.fence = r.fence AND d.state = 'sending' RETURNING d.id"""


_OVERTAKE = """
UPDATE delivery SET state = 'superseded', finished_at = {now} WHERE id = {id} AND coalesce AND EXISTS (
  SELECT 1 FROM delivery n WHERE n.target = delivery.target AND n.order_key = delivery.order_key
  AND n.state IN ('pending', 'sending', 'unknown', 'quarantined') AND n.entity = delivery.entity
  AND n.coalesce AND n.id > delivery.id AND n.state <> 'quarantined')"""


def overtake(connection: Connection, delivery_id: str, now: int) -> int:
    """Close a state-like delivery that a later one of its key waits behind; return 1 if there is one, else 0."""
    if connection.dialect.name == "postgresql":
        query = _OVERTAKE.format(now="%(now)s", id="%(id)s")
        return direct.change(connection, query, {"now": now, "id": delivery_id})
    return direct.change(connection, _OVERTAKE.format(now="?", id="?"), (now, delivery_id))


def add_attempts(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write attempts (ATTEMPT); evidence as JSON text or None."""
    if connection.dialect.name == "postgresql":
        direct.later(connection, _ATTEMPTS_POSTGRESQL, {"rows": _records(ATTEMPT, rows, "evidence")})
    else:
        direct.insert_rows(connection, _ATTEMPTS_SQLITE, rows)


def finish(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> set[str]:
    """Write what became of claimed deliveries (FINISH); return the ids of those that were still ours to decide."""
    if connection.dialect.name == "postgresql":
        return set(direct.fetch_column(connection, _FINISH_POSTGRESQL, {"rows": _records(FINISH, rows, "payload")}))
    claims = orjson.dumps([(row[6], row[7]) for row in rows]).decode()
    ours = set(direct.fetch_column(connection, _OURS_SQLITE, (claims,)))
    kept = [row for row in rows if row[6] in ours]
    if kept:
        direct.change_each(connection, _FINISH_SQLITE, kept)
    return ours


def _records(names: Sequence[str], rows: Sequence[tuple[Any, ...]], json: str) -> str:
    """Return rows as one JSON text; the column `json` is JSON text already."""
    place = names.index(json)
    found = [
        {**dict(zip(names, row, strict=True)), json: None if row[place] is None else orjson.Fragment(row[place])}
        for row in rows
    ]
    return orjson.dumps(found).decode()
