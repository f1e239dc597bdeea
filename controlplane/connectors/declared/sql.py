"""A declared database: rows of one SELECT, in a transaction that is read only and rolled back."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from controlplane.connectors.contract import Context
from controlplane.connectors.declared.manifest import Read, SqlRead
from controlplane.connectors.declared.source import Rows, Source
from controlplane.connectors.declared.values import Scope, tree
from controlplane.connectors.http import Answer
from controlplane.connectors.redaction import Redactor
from controlplane.errors import RejectedError, SettingsError, UnavailableError
from rules.personal import without_addresses

PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
PLAIN = str | int | float | bool | None


class SqlSource(Source):
    """A database that SQLAlchemy knows, by the address that the door let through."""

    def __init__(self, context: Context, options: Mapping[str, Any]) -> None:
        super().__init__(context, options)
        password = context.secret("password") if "password" in context.given else None
        self._redactor = Redactor([password] if password else []).beside(context.hidden)
        self._url = _url(context, password)
        self._engine: Engine | None = None

    def ping(self) -> None:
        """Select 1."""
        with self._connected() as connection:
            connection.execute(text("SELECT 1"))

    def pages(self, read: Read, since: str | None) -> Iterator[tuple[Rows, Answer]]:
        """Yield the rows of the query, a page at a time; they are all of one reading."""
        assert isinstance(read, SqlRead)  # noqa: S101  # a manifest of this kind has no others
        scope = Scope({"since": since}, self.context.codes.theirs, self.options)
        given, started = tree(read.params, scope), self.context.clock.now()
        with self._connected() as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=read.size)
            for part in streamed.execute(text(read.query), given).mappings().partitions(read.size):
                answer = Answer(200, {}, b"", started, self.context.clock.now(), wrote=False)
                yield [{str(name): _plain(one) for name, one in row.items()} for row in part], answer

    def close(self) -> None:
        """Close the pool."""
        if self._engine:
            self._engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        self.context.meter()
        try:
            with self._open().connect() as connection:
                readonly = {"postgresql_readonly": True} if self._url.get_backend_name() == "postgresql" else {}
                yield connection.execution_options(**readonly)
                connection.rollback()
        except SQLAlchemyError as error:
            raise self._told(error) from error

    def _open(self) -> Engine:
        """Check the address anew for each engine; an engine connects to checked addresses only."""
        if self._engine is None:
            url, arguments = self._pinned()
            try:
                self._engine = create_engine(
                    url, connect_args=arguments, pool_size=self.context.concurrency, max_overflow=0, pool_timeout=self.context.timeout,
                    pool_recycle=300, hide_parameters=True,
                )  # fmt: skip
            except (ImportError, ArgumentError) as error:
                raise SettingsError(
                    f"System '{self.context.system}': {self._url.drivername}: {error}; install its driver"
                ) from error
        return self._engine

    def _pinned(self) -> tuple[URL, dict[str, Any]]:
        backend, host = self._url.get_backend_name(), str(self._url.host)
        if backend == "sqlite":
            return self._url, {"timeout": self.context.timeout}
        port = self._url.port or PORTS.get(backend, 0)
        try:
            address = self.context.door.addresses(host, port)[0]
        except (socket.gaierror, OSError) as error:
            raise UnavailableError(
                f"{self.context.system}: '{host}' is not known: {error}; nothing was sent"
            ) from error
        if backend != "postgresql":
            return self._url.set(host=str(address), port=port), {}
        seconds = max(1, int(self.context.timeout))
        options = f"-c statement_timeout={seconds * 1000} -c default_transaction_read_only=on"
        return self._url, {"hostaddr": str(address), "connect_timeout": seconds, "options": options}

    def _told(self, error: SQLAlchemyError) -> RejectedError | UnavailableError:
        cause = error.orig if isinstance(error, DBAPIError) else error
        told = f"{self.context.system}: {without_addresses(self._redactor.text(str(cause).strip()))[:500]}"
        if isinstance(error, InterfaceError) or (
            isinstance(error, OperationalError) and not _is_of_the_query(str(cause))
        ):
            return UnavailableError(told)
        if not isinstance(error, DBAPIError):
            return UnavailableError(told)
        return RejectedError(f"{told}; correct the query in the manifest")


def _is_of_the_query(told: str) -> bool:
    """SQLite calls everything an operational error."""
    return any(sign in told for sign in ("no such", "syntax error", "readonly", "read-only", "ambiguous"))


HARMLESS = frozenset(
    {"sslmode", "sslrootcert", "application_name", "charset", "driver", "encrypt", "trustservercertificate"}
)
"""Parameters of an endpoint that say how to connect; all others, `host` and `port` among them, may say where to."""


_DRIVER = re.compile(r"[A-Za-z0-9 ._()+-]{1,100}", re.ASCII)
"""ODBC takes text that the driver's name ends as settings of the connection, the server's among them."""


def strange(url: URL) -> str:
    """Return the first part of a database's URL that is not taken; empty where all are.

    Without a host a client goes where it likes: to a socket of this machine, or to what its environment names.
    """
    if url.get_backend_name() != "sqlite" and not url.host:
        return "lack of a host"
    return next((name for name in sorted(url.query) if not _is_harmless(name, url.query[name])), "")


def _is_harmless(name: str, value: str | tuple[str, ...]) -> bool:
    if name.lower() == "driver":
        return isinstance(value, str) and _DRIVER.fullmatch(value) is not None
    return name.lower() in HARMLESS


def _url(context: Context, password: str | None) -> URL:
    try:
        url = make_url(context.endpoint)
    except (ArgumentError, ValueError) as error:
        raise SettingsError(
            f"System '{context.system}': the endpoint is no database's URL, e.g. postgresql://reader@host/db"
        ) from error
    if odd := strange(url):
        raise SettingsError(
            f"System '{context.system}': the endpoint's '{odd}' could lead past what was checked; write where it is as host and "
            "port, and nothing beside"
        )
    if url.password:
        raise SettingsError(
            f"System '{context.system}': the endpoint holds a password; give it as the secret `password`"
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        return url.set(password=password)
    if not url.database or not Path(url.database).is_file():
        raise UnavailableError(f"{context.system}: the database file '{url.database}' is not there")
    return url.set(database=f"file:{quote(url.database)}", query={"mode": "ro", "uri": "true"})


def _plain(value: Any) -> Any:
    """Return what JSON has for it; exact numbers and times as text, bytes in hexadecimal."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return value if isinstance(value, PLAIN | list | dict) else str(value)
