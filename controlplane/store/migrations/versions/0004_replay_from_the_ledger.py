"""Replay from the ledger: where it has come to, how far ahead it has written, to which target, and who accepts the risk."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    name = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    with op.batch_alter_table("replay") as batch:
        batch.add_column(sa.Column("target", name, nullable=True))
        batch.add_column(sa.Column("force", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch.add_column(sa.Column("cursor_at", Instant(), nullable=True))
        batch.add_column(sa.Column("paced_until", Instant(), nullable=True))
    with op.batch_alter_table("replay") as batch:
        batch.alter_column("force", existing_type=sa.Boolean(), existing_nullable=False, server_default=None)
