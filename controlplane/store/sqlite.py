"""How a connection to SQLite is set up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SQLITE_CONNECT: Mapping[str, Any] = {"check_same_thread": False, "isolation_level": None, "cached_statements": 512}
SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=10000",
    "temp_store=MEMORY",
    "cache_size=-65536",  # KiB: the pages that a batch touches in a ledger of millions
)


def prepare(connection: Any, _record: Any) -> None:
    """Set the pragmas of a fresh connection."""
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
