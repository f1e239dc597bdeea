"""Which schema a database has, and whether it is this version's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from controlplane.store.migrate import SCRIPTS


@dataclass(frozen=True, slots=True)
class Standing:
    """The revision that a database has, the one that this version needs, and how many migrations lie between them."""

    current: str | None
    """None: there are no tables."""
    head: str
    behind: int | None
    """0: ours; None: a revision that this version does not know."""

    @property
    def is_ours(self) -> bool:
        """Whether the tables are those of this version."""
        return self.behind == 0


def standing(connection: Connection, scripts: Path = SCRIPTS) -> Standing:
    """Return how the schema of a database stands to the migrations in the folder."""
    current = MigrationContext.configure(connection).get_current_revision()
    newest_first = [script.revision for script in ScriptDirectory(str(scripts)).walk_revisions()]
    if current is None:
        behind: int | None = len(newest_first)
    else:
        behind = newest_first.index(current) if current in newest_first else None
    return Standing(current, newest_first[0], behind)
