"""Runs know the process that runs them, and those that somebody asked for are found without a look at all."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    name = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    with op.batch_alter_table("run") as batch:
        batch.add_column(sa.Column("owner", name, nullable=True))
    asked = sa.text("state IN ('requested')")
    op.create_index("ix_run_requested", "run", ["id"], sqlite_where=asked, postgresql_where=asked)
