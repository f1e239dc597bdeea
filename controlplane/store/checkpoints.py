"""SQLite's write-ahead log is carried into the file beside the commits, not within them: no commit waits for its pages.

Each commit writes to the log; a checkpoint copies the newest pages from there into the file, all over it once the ledger is
large, and waits for the disk. By default that is done by whichever commit finds a thousand pages in the log.
"""

from __future__ import annotations

import threading

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger()
ROWS = 1000
"""Changed rows after which a checkpoint is due: some thousand pages."""
BACKSTOP = 8192
"""Pages of the log (32 MB) at which a commit does it after all, so that the log stays bounded whatever the thread does."""


class Checkpoints:
    """Makes checkpoints in a thread of its own, from `start` to `stop`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._due, self._stop = threading.Event(), threading.Event()
        self._rows = 0
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def changed(self, rows: int) -> None:
        """Take note of how many rows the writing connection has changed in all."""
        if not 0 <= rows - self._rows < ROWS:
            self._rows = rows
            self._due.set()

    def _run(self) -> None:
        while self._due.wait() and not self._stop.is_set():
            self._due.clear()
            try:
                with self._engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
            except SQLAlchemyError as error:
                log.warning("no checkpoint; a commit makes one when the log is long", error=str(error))

    def stop(self) -> None:
        """End after the one that is under way."""
        self._stop.set()
        self._due.set()
        self._thread.join(timeout=10)
