"""Bring a database to the present schema; the only way tables come to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from controlplane.store import webrole
from controlplane.store.engine import Store
from controlplane.store.locks import SCHEMA

SCRIPTS = Path(__file__).parent / "migrations"


def _config(store: Store) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["engine"] = store.engine
    return config


def migrate(store: Store, to: str = "head") -> None:
    """Upgrade to the newest schema, or to a revision before it. Repeatable; costs one query when there is nothing to do."""
    with store.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    config = _config(store)
    if current != ScriptDirectory.from_config(config).get_current_head():
        with _alone(store):
            command.upgrade(config, to)
    if not store.is_sqlite and to == "head":
        webrole.prepare(store.engine)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Keep another plane, started at the same time on the same PostgreSQL, waiting until this one is done."""
    with store.engine.connect() as connection:
        if not store.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (SCHEMA,))
        try:
            yield
        finally:
            connection.invalidate()  # the lock goes with the session, which is closed and not kept in the pool


def new_revision(store: Store, message: str) -> None:
    """Write the next migration from the difference between the tables and the database (for developers)."""
    command.revision(_config(store), message=message, autogenerate=True)
