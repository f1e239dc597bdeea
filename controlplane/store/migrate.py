"""Bring a database to the present schema; the only way tables come to be."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from controlplane.store.engine import Store

SCRIPTS = Path(__file__).parent / "migrations"


def _config(store: Store) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["engine"] = store.engine
    return config


def migrate(store: Store) -> None:
    """Upgrade to the newest schema. Repeatable; costs one query when there is nothing to do."""
    with store.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    config = _config(store)
    if current != ScriptDirectory.from_config(config).get_current_head():
        command.upgrade(config, "head")


def new_revision(store: Store, message: str) -> None:
    """Write the next migration from the difference between the tables and the database (for developers)."""
    command.revision(_config(store), message=message, autogenerate=True)
