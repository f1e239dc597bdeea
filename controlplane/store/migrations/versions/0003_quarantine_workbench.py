"""The quarantine workbench: what is wrong, what it is worth, who corrected and approved it, and every case's history."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Amount, Instant, Json

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("quarantine") as batch:
        batch.add_column(sa.Column("fault", _text(200), server_default="", nullable=False))
        batch.add_column(sa.Column("previous_id", _text(36), nullable=True))
        batch.add_column(sa.Column("money", Amount(), nullable=True))
        batch.add_column(sa.Column("currency", sa.String(length=3), nullable=True))
        batch.add_column(sa.Column("correction_id", _text(36), nullable=True))
        batch.add_column(sa.Column("needs_approval", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch.add_column(sa.Column("approved_by", _text(200), nullable=True))
        batch.add_column(sa.Column("accepted", sa.Text(), nullable=True))
        batch.add_column(sa.Column("replay_at", Instant(), nullable=True))
        batch.add_column(sa.Column("replay_by", _text(200), nullable=True))
        batch.create_index("ix_quarantine_replayed_as", ["replayed_as"])
        batch.create_index("ix_quarantine_previous_id", ["previous_id"])
    with op.batch_alter_table("quarantine") as batch:
        for name in ("fault", "needs_approval"):
            batch.alter_column(name, server_default=None)
    due = sa.text("replay_at IS NOT NULL")
    op.create_index("ix_quarantine_replay_at", "quarantine", ["replay_at"], sqlite_where=due, postgresql_where=due)
    op.create_table(
        "quarantine_event",
        sa.Column("id", _text(36), nullable=False),
        sa.Column("case_id", _text(36), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("before", Json(), nullable=True),
        sa.Column("after", Json(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine_event")),
    )
    op.create_index("ix_quarantine_event_case_id", "quarantine_event", ["case_id"])
