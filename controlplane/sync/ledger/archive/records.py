"""The table `archive`: what became of rows whose retention was over. A part is begun here before a file is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from controlplane.clock import Clock
from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from controlplane.sync.ledger.archive.part import Manifest
from rules.ids import new_id

a = t.archive.c


def begin(connection: Connection, clock: Clock, **values: Any) -> Row[Any]:
    """Note that a part is being written: none of its rows is deleted yet. The same part again keeps its row."""
    now = clock.now()
    known = find(connection, values["uri"]) if values["uri"] else None
    row = values | {"at": now, "done_at": None, "sha256": None}
    if known is None:
        made = insert(t.archive).values(id=new_id(now), **row).returning(*t.archive.columns)
        return connection.execute(made).one()
    again = update(t.archive).where(a.id == known.id).values(**row).returning(*t.archive.columns)
    return connection.execute(again).one()


def find(connection: Connection, uri: str) -> Row[Any] | None:
    """Return the row of a part."""
    return connection.execute(select(t.archive).where(a.uri == uri)).one_or_none()


def written(connection: Connection, archive_id: str, manifest: Manifest, sha256: str) -> None:
    """Note that a part was read back and is whole: from now on its rows may be deleted."""
    tables = manifest.tables
    change(connection, archive_id, state="written", sha256=sha256, tables=tables, rows=sum(tables.values()))


def done(connection: Connection, clock: Clock, archive_id: str) -> None:
    """Note that the rows of a part are deleted."""
    change(connection, archive_id, state="done", done_at=clock.now())


def change(connection: Connection, archive_id: str, **values: Any) -> None:
    """Change a part's row."""
    connection.execute(update(t.archive).where(a.id == archive_id).values(**values))


def drop(connection: Connection, archive_id: str) -> None:
    """Forget a part of which no whole file is there."""
    connection.execute(delete(t.archive).where(a.id == archive_id))


def one(connection: Connection, archive_id: str) -> dict[str, Any]:
    """Return the row of a part, for people. Raises NotFoundError."""
    found = connection.execute(select(t.archive).where(a.id == archive_id)).mappings().one_or_none()
    if found is None:
        raise NotFoundError(f"no part '{archive_id}' of the archive; they are listed by `trueup ledger parts`")
    return dict(found)


def unfinished(connection: Connection) -> list[Row[Any]]:
    """Return the parts that were begun and are not done, oldest first."""
    return list(connection.execute(select(t.archive).where(a.state.in_(("writing", "written"))).order_by(a.id)))


def expire(connection: Connection, now: datetime) -> int:
    """Let the rows go again that were put back until now; return of how many parts. They are in the archive still."""
    over = update(t.archive).where(a.restored_until <= now, a.restore.is_(None), a.state == "done")
    return int(connection.execute(over.values(restored_until=None, state="written")).rowcount)


def adopted(manifest: Manifest, uri: str) -> dict[str, Any]:
    """Return the row of a part that was written by a plane that this store knows nothing of."""
    return {
        "kind": manifest.kind, "domain": manifest.domain, "from_id": manifest.from_id, "to_id": manifest.to_id,
        "rows": sum(manifest.tables.values()), "tables": manifest.tables, "uri": uri,
        "cutoff": manifest.cutoff, "state": "done",
    }  # fmt: skip


def asked(connection: Connection) -> list[Row[Any]]:
    """Return the parts of which something is to be put back; messages first, by which other rows' subjects are told."""
    found = connection.execute(select(t.archive).where(a.restore.is_not(None)).order_by(a.id))
    return sorted(found, key=lambda row: row.kind != "messages")


def parts(connection: Connection, limit: int) -> list[Mapping[str, Any]]:
    """Return the newest rows, for people."""
    query = select(t.archive).order_by(a.id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]
