"""Bring a database to the present schema; the only way tables come to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from controlplane.errors import SettingsError
from controlplane.store import webrole
from controlplane.store.engine import Store
from controlplane.store.locks import SCHEMA

SCRIPTS = Path(__file__).parent / "migrations"
_MAY = """
SELECT has_schema_privilege(current_schema(), 'CREATE') AND NOT EXISTS (SELECT 1 FROM pg_class
WHERE oid = to_regclass('alembic_version') AND NOT pg_has_role(current_user, relowner, 'USAGE'))"""


def _config(store: Store) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["engine"] = store.engine
    return config


def migrate(store: Store, to: str = "head", plane: str = "") -> None:
    """Upgrade to the newest schema, or to a revision before it. Repeatable; costs one query when there is nothing to do.

    `plane`: the role of PostgreSQL that the plane works by, where it is another than that of `store`.
    Raises SettingsError where there is something to do and the tables are another role's.
    """
    with store.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    config = _config(store)
    if current != ScriptDirectory.from_config(config).get_current_head():
        if not store.is_sqlite:
            _refuse_unowned(store)
        with _alone(store):
            command.upgrade(config, to)
    if not store.is_sqlite and to == "head":
        webrole.prepare(store.engine, plane)


def _refuse_unowned(store: Store) -> None:
    """Raises SettingsError where the tables are another role's, or that role has yet to make them."""
    with store.engine.connect() as connection:
        if connection.exec_driver_sql(_MAY).scalar():
            return
        me = connection.exec_driver_sql("SELECT current_user").scalar_one()
    raise SettingsError(
        f"TRUEUP_DATABASE_URL: the tables are not of this version, and its role '{me}' does not own them; "
        "run `trueup db migrate`, or give TRUEUP_DATABASE_OWNER_URL to the plane"
    )


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
