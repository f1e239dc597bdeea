"""Rows of policy_revision: what is in force, what was in force when, and how a new one takes the place of an old one.

Two times: valid_from/valid_to say what governed (half-open), recorded_at says when we knew it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, desc, insert, or_, select, text, update

from controlplane.clock import Clock
from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from rules.canonical import digest
from rules.ids import new_id
from rules.policy.kinds import Document

TABLE = t.policy_revision
ONE = timedelta(microseconds=1)
"""Between two versions at least: what the database tells apart."""
LOCK = 0x7472_7566
"""PostgreSQL's advisory lock that makes changes of the registry take turns; on SQLite they do anyway."""


def dump(document: Document) -> dict[str, Any]:
    """Return the document as it is stored, hashed and approved: JSON values, defaults written out."""
    return document.model_dump(mode="json")


def take_turn(conn: Connection) -> None:
    """Let one change of the registry at a time go on from here until its transaction ends."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def in_force(conn: Connection) -> list[dict[str, Any]]:
    """Return the revisions that govern now, one per kind and name."""
    rows = conn.execute(select(TABLE).where(TABLE.c.valid_to.is_(None)).order_by(TABLE.c.kind, TABLE.c.name))
    return [dict(row) for row in rows.mappings()]


def in_force_at(conn: Connection, instant: datetime) -> list[dict[str, Any]]:
    """Return the revisions that governed at an instant."""
    governed = (TABLE.c.valid_from <= instant) & or_(TABLE.c.valid_to.is_(None), TABLE.c.valid_to > instant)
    rows = conn.execute(select(TABLE).where(governed).order_by(TABLE.c.kind, TABLE.c.name))
    return [dict(row) for row in rows.mappings()]


def of_version(conn: Connection, version: int) -> list[dict[str, Any]]:
    """Return the revisions that a version of the registry held."""
    c = t.registry_version.c
    recorded = conn.execute(select(c.recorded_at).where(c.version == version)).scalar_one()
    return in_force_at(conn, recorded)


def history(conn: Connection, kind: str, name: str) -> list[dict[str, Any]]:
    """Return all revisions of one policy, newest first."""
    mine = select(TABLE).where(TABLE.c.kind == kind, TABLE.c.name == name).order_by(desc(TABLE.c.revision))
    return [dict(row) for row in conn.execute(mine).mappings()]


def current(conn: Connection, kind: str, name: str) -> dict[str, Any] | None:
    """Return the revision of one policy that governs now, or None when there is none."""
    mine = select(TABLE).where(TABLE.c.kind == kind, TABLE.c.name == name, TABLE.c.valid_to.is_(None))
    row = conn.execute(mine).mappings().one_or_none()
    return dict(row) if row else None


def get(conn: Connection, kind: str, name: str, revision: int | None = None) -> dict[str, Any]:
    """Return one revision (default: the one in force). Raises NotFoundError naming what there is."""
    rows = history(conn, kind, name)
    if not rows:
        raise NotFoundError(f"there is no {kind} '{name}' in the registry; see `trueup policy list --kind {kind}`")
    for row in rows:
        if row["revision"] == revision or (revision is None and row["valid_to"] is None):
            return row
    known = ", ".join(str(row["revision"]) for row in reversed(rows))
    raise NotFoundError(f"{kind} '{name}' has no revision {revision}; there are: {known}")


def by_id(conn: Connection, revision_id: str) -> dict[str, Any]:
    """Return the revision that something was decided under. Raises NotFoundError."""
    row = conn.execute(select(TABLE).where(TABLE.c.id == revision_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no policy revision '{revision_id}'")
    return dict(row)


def write(
    conn: Connection, clock: Clock, documents: Sequence[Document], *, author: str, origin: str, reason: str
) -> list[str]:
    """Put the documents in force now, in place of what governed before, as one new version of the registry; return their ids.

    The caller has linted them and taken the turn.
    """
    now = _instant(conn, clock.now())
    rows = []
    for document in documents:
        rows.append(_row(document, now, author, origin, _close(conn, document, now)))
    conn.execute(insert(TABLE), rows)
    conn.execute(insert(t.registry_version).values(recorded_at=now, reason=reason))
    return [row["id"] for row in rows]


def _instant(conn: Connection, now: datetime) -> datetime:
    """Return now, or where a clock stands behind the newest version just after that: versions are told apart by their instants."""
    c = t.registry_version.c
    newest = conn.execute(select(c.recorded_at).order_by(desc(c.version)).limit(1)).scalar()
    return now if newest is None else max(now, newest + ONE)


def _close(conn: Connection, document: Document, now: datetime) -> int:
    """End what governs until now; return the number of the next revision."""
    old = current(conn, document.kind, document.name)
    if old is None:
        return 1
    conn.execute(update(TABLE).where(TABLE.c.id == old["id"]).values(valid_to=now))
    return int(old["revision"]) + 1


def _row(document: Document, now: datetime, author: str, origin: str, revision: int) -> dict[str, Any]:
    content = dump(document)
    return {
        "id": new_id(now),
        "kind": document.kind,
        "name": document.name,
        "revision": revision,
        "document": content,
        "hash": digest(content),
        "valid_from": now,
        "valid_to": None,
        "recorded_at": now,
        "author": author,
        "origin": origin,
    }
