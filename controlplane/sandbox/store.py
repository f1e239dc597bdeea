"""What the sandbox keeps on disk: shelves of records held in memory and written together, and the journal's rows."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

RowT = TypeVar("RowT", bound=BaseModel)

_TABLES = """
CREATE TABLE IF NOT EXISTS record (
  shelf TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (shelf, key)
);
CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY, body TEXT NOT NULL);
"""


class Shelf(Generic[RowT]):
    """Records of one kind by key, in order of arrival; what was `put` or dropped is written at the next commit."""

    def __init__(self, name: str, model: type[RowT]) -> None:
        self.name, self.model = name, model
        self._rows: dict[str, RowT] = {}
        self._dirty: dict[str, None] = {}

    def put(self, key: str, row: RowT) -> RowT:
        """Keep `row` under `key`; call it again after changing a row."""
        self._rows[key] = row
        self._dirty[key] = None
        return row

    def drop(self, key: str) -> None:
        """Forget the row under `key`."""
        if self._rows.pop(key, None) is not None:
            self._dirty[key] = None

    def get(self, key: str) -> RowT | None:
        """The row under `key`, or None."""
        return self._rows.get(key)

    def __getitem__(self, key: str) -> RowT:
        return self._rows[key]

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[RowT]:
        return iter(self._rows.values())

    def load(self, rows: list[tuple[str, str]]) -> None:
        """Fill the shelf from stored (key, JSON) pairs."""
        self._rows = {key: self.model.model_validate_json(body) for key, body in rows}

    def changes(self) -> list[tuple[str, str | None]]:
        """What changed since the last call: (key, JSON), None for a dropped row."""
        found = [(key, self._rows[key].model_dump_json() if key in self._rows else None) for key in self._dirty]
        self._dirty.clear()
        return found


class Store:
    """One SQLite file in the sandbox's home. A commit survives `kill -9`.

    Stepped worlds (`fresh`) begin anew each time, so nothing of them is read back: they are written when they are closed.
    """

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self._fresh = fresh
        if fresh:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={'OFF' if fresh else 'NORMAL'}")
        self._db.executescript(_TABLES)
        self._shelves: list[Shelf[Any]] = []
        self._events: list[tuple[int, str]] = []

    def shelf(self, name: str, model: type[RowT]) -> Shelf[RowT]:
        """A shelf filled with what was stored under its name."""
        made: Shelf[RowT] = Shelf(name, model)
        made.load(self._db.execute("SELECT key, body FROM record WHERE shelf=? ORDER BY rowid", (name,)).fetchall())
        self._shelves.append(made)
        return made

    def append(self, seq: int, body: dict[str, Any]) -> None:
        """Add a journal row at the next commit."""
        self._events.append((seq, json.dumps(body, separators=(",", ":"), default=str)))

    def commit(self) -> None:
        """Write everything that changed, in one transaction; nothing is done when nothing changed, or in a fresh world."""
        if not self._fresh:
            self._write()

    def _write(self) -> None:
        changed = [(s.name, key, body) for s in self._shelves for key, body in s.changes()]
        if not changed and not self._events:
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            "INSERT INTO record VALUES (?,?,?) ON CONFLICT DO UPDATE SET body=excluded.body",
            [row for row in changed if row[2] is not None],
        )
        gone = [(name, key) for name, key, body in changed if body is None]
        self._db.executemany("DELETE FROM record WHERE shelf=? AND key=?", gone)
        self._db.executemany("INSERT INTO journal VALUES (?,?)", self._events)
        self._db.execute("COMMIT")
        self._events.clear()

    def events(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Committed journal rows with `seq` beyond `after`, in order, at most `limit`."""
        if self._fresh:
            self._write()
        rows = self._db.execute("SELECT body FROM journal WHERE seq>? ORDER BY seq LIMIT ?", (after, limit))
        return [json.loads(body) for (body,) in rows]

    def last_seq(self) -> int:
        """The `seq` of the last committed journal row, 0 when there is none."""
        (last,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
        return int(last)

    def close(self) -> None:
        """Commit and let go of the file."""
        self._write()
        self._db.close()
