"""What took effect at the depot, one row per effect, and what it held against the requests that it refused.

An *inlet* is a way in with one guarantee; a *reference* is the business's name for a document or a stock key.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

DOCUMENTS = ("keyed", "readable", "none")
"""Inlets of documents: each effect is one more."""
CONDITIONAL = ("conditional", "offers")
"""Inlets of levels that take a level only on top of what it was computed from."""
LEVELS = (*CONDITIONAL, "state")
"""Inlets of levels: the last effect is what is shown."""
INLETS = (*DOCUMENTS, *LEVELS)
SHOWN = ("readable", *LEVELS)
"""Inlets at which a reference can be looked up."""

Verdict = Literal["effect", "duplicate", "stale", "conflict", "malformed"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS effect (
  number INTEGER PRIMARY KEY, inlet TEXT NOT NULL, ref TEXT NOT NULL, idempotency_key TEXT NOT NULL,
  payload TEXT NOT NULL, value INTEGER, version INTEGER, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS effect_ref ON effect (inlet, ref, number);
CREATE INDEX IF NOT EXISTS effect_key ON effect (inlet, idempotency_key);
CREATE TABLE IF NOT EXISTS request (
  number INTEGER PRIMARY KEY, method TEXT NOT NULL, inlet TEXT NOT NULL, ref TEXT NOT NULL,
  idempotency_key TEXT NOT NULL, fault TEXT NOT NULL, status INTEGER, verdict TEXT NOT NULL,
  started REAL NOT NULL, ended REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody asks the depot to take in."""

    inlet: str
    ref: str
    key: str
    """The idempotency key; may be empty where the inlet does not need one."""
    payload: dict[str, Any]
    value: int | None = None
    version: int | None = None
    """Of a level: its place in the source's own order; a conditional inlet takes only what is newer."""
    expected: int | None = None
    """Of a level: what the writer believes to be shown; a conditional inlet takes nothing else."""
    compares: bool = False
    """Whether `expected` was given."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One row of the journal. `at` is in seconds since the epoch, by the depot's clock."""

    number: int
    inlet: str
    ref: str
    key: str
    payload: dict[str, Any]
    value: int | None
    version: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it ended. `status` is None when nothing was answered; times are in seconds since the epoch."""

    method: str
    inlet: str
    ref: str
    key: str
    fault: str
    status: int | None
    verdict: str
    started: float
    ended: float


class Journal:
    """The file. One process writes; others may read at the same time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # a killed depot loses nothing by this; only a machine without power would
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # --- what the inlets guarantee ---

    def take(self, entry: Entry, at: float) -> tuple[Verdict, Effect | None]:
        """Let an entry take effect if its inlet allows; return the verdict, and the effect that stands behind it.

        With `duplicate` that is the first effect of the same key, with `stale` what is shown, with `conflict` what the
        key was used for before.
        """
        with self._written():
            verdict, behind = self._judge(entry)
            if verdict == "effect":
                behind = self._append(entry, at)
            return verdict, behind

    def _judge(self, entry: Entry) -> tuple[Verdict, Effect | None]:
        if entry.inlet == "keyed":
            return self._keyed(entry)
        if entry.inlet in CONDITIONAL:
            return self._conditional(entry)
        return "effect", None

    def _keyed(self, entry: Entry) -> tuple[Verdict, Effect | None]:
        if not entry.key:
            return "malformed", None
        before = self._one("inlet = ? AND idempotency_key = ?", entry.inlet, entry.key)
        if before is None:
            return "effect", None
        same = (before.ref, before.payload) == (entry.ref, entry.payload)
        return ("duplicate" if same else "conflict"), before

    def _conditional(self, entry: Entry) -> tuple[Verdict, Effect | None]:
        before = self._one("inlet = ? AND idempotency_key = ?", entry.inlet, entry.key) if entry.key else None
        if before is not None:
            return "duplicate", before
        shown = self._one("inlet = ? AND ref = ?", entry.inlet, entry.ref)
        if entry.compares:
            fits = entry.expected == (shown.value if shown else 0)
        elif entry.version is not None:
            fits = shown is None or (shown.version or 0) < entry.version
        else:
            return "malformed", None
        return ("effect" if fits else "stale"), shown

    def _append(self, entry: Entry, at: float) -> Effect:
        values = (entry.inlet, entry.ref, entry.key, json.dumps(entry.payload), entry.value, entry.version, at)
        columns = "inlet, ref, idempotency_key, payload, value, version, at"
        cursor = self._db.execute(f"INSERT INTO effect ({columns}) VALUES (?,?,?,?,?,?,?)", values)  # noqa: S608
        number = cursor.lastrowid or 0
        return Effect(number, entry.inlet, entry.ref, entry.key, entry.payload, entry.value, entry.version, at)

    def _one(self, where: str, *values: Any) -> Effect | None:
        rows = _effects(self._db, f"{where} ORDER BY number DESC LIMIT 1", values)
        return rows[0] if rows else None

    def shown(self, inlet: str, ref: str) -> list[Effect]:
        """Return what is there under a reference, oldest first."""
        with self._turn:
            return _effects(self._db, "inlet = ? AND ref = ? ORDER BY number", (inlet, ref))

    def note(self, request: Request) -> None:
        """Write a request down when it is over."""
        with self._written():
            values = (
                request.method, request.inlet, request.ref, request.key, request.fault, request.status, request.verdict,
                request.started, request.ended,
            )  # fmt: skip
            columns = "method, inlet, ref, idempotency_key, fault, status, verdict, started, ended"
            self._db.execute(f"INSERT INTO request ({columns}) VALUES (?,?,?,?,?,?,?,?,?)", values)  # noqa: S608


class Reading:
    """The journal as others read it, while the depot runs or afterwards."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, isolation_level=None)
        try:
            yield db
        finally:
            db.close()

    def effects(self, inlet: str | None = None) -> list[Effect]:
        """Return all effects of an inlet, or of all, in their order."""
        with self._opened() as db:
            return _effects(db, "? IS NULL OR inlet = ? ORDER BY number", (inlet, inlet))

    def after(self, number: int, inlet: str) -> list[tuple[int, str]]:
        """Return number and reference of the effects after one, in their order."""
        query = "SELECT number, ref FROM effect WHERE number > ? AND inlet = ? ORDER BY number"
        with self._opened() as db:
            return db.execute(query, (number, inlet)).fetchall()

    def requests(self, inlet: str | None = None) -> list[Request]:
        """Return all requests that are over, in the order of their end."""
        columns = "method, inlet, ref, idempotency_key, fault, status, verdict, started, ended"
        query = f"SELECT {columns} FROM request WHERE ? IS NULL OR inlet = ? ORDER BY number"  # noqa: S608
        with self._opened() as db:
            return [Request(*row) for row in db.execute(query, (inlet, inlet))]


class Arrivals:
    """Counts the references that have taken effect at an inlet; each call reads only what is new."""

    def __init__(self, journal: Reading, inlet: str) -> None:
        self._journal, self._inlet = journal, inlet
        self._lock, self._seen, self._last = threading.Lock(), set[str](), 0

    def __call__(self) -> int:
        with self._lock:
            for number, ref in self._journal.after(self._last, self._inlet):
                self._last = number  # effects are written in turn, so none appears below one that was read
                self._seen.add(ref)
            return len(self._seen)


def _effects(db: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> list[Effect]:
    columns = "number, inlet, ref, idempotency_key, payload, value, version, at"
    rows = db.execute(f"SELECT {columns} FROM effect WHERE {where}", values)  # noqa: S608
    return [Effect(*row[:4], json.loads(row[4]), *row[5:]) for row in rows]
