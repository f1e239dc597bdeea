"""A way into the database that changes nothing: for the doctor, which looks while a plane runs and when none does."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url

from controlplane.store.engine import Store


def open_read_only(url: str, seconds: float = 5.0) -> Store:
    """Open the database at the address for reading only; no table, file or pragma is changed.

    `seconds`: how long connecting, and each statement on PostgreSQL, may take. Nothing is connected before the first use.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return Store(_sqlite(Path(address.database or ""), seconds))
    options: dict[str, Any] = {"connect_args": {"connect_timeout": max(1, round(seconds))}}
    engine = create_engine(address, execution_options={"postgresql_readonly": True}, **options)
    # within the transaction, because a pooler between us and the server passes no settings of a session on
    event.listen(engine, "begin", lambda connection: _limit(connection, seconds))
    return Store(engine)


def _limit(connection: Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(seconds * 1000)}")


def _sqlite(path: Path, seconds: float) -> Engine:
    def connect() -> sqlite3.Connection:
        uri = f"file:{quote(str(path.absolute()))}?{sqlite_mode(path)}"
        return sqlite3.connect(uri, uri=True, timeout=seconds, isolation_level=None, check_same_thread=False)

    return create_engine("sqlite://", creator=connect)


def sqlite_mode(path: Path) -> str:
    """Return how the file is opened: read-only, and as one that nobody changes when nobody has it open.

    Merely reading a database in WAL mode makes `-wal` and `-shm` files beside it, which would stay behind. Whoever has it
    open has made them already; when they are missing, nothing but the file itself has to be read.
    """
    in_use = path.with_name(path.name + "-wal").exists() or not is_wal(path)
    return "mode=ro" if in_use else "mode=ro&immutable=1"


def is_wal(path: Path) -> bool:
    """Say whether a SQLite file is in WAL mode: bytes 18 and 19 of its header are 2 then."""
    try:
        with path.open("rb") as file:
            return file.read(20)[18:20] == b"\x02\x02"
    except OSError:
        return False
