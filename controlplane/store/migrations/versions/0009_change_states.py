"""Change requests are scheduled, put in force without approval for a while, reviewed afterwards, and rolled back."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Instant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    name = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    with op.batch_alter_table("change_request") as batch:
        batch.add_column(sa.Column("scheduled_for", Instant(), nullable=True))
        batch.add_column(sa.Column("scheduled_by", name, nullable=True))
        batch.add_column(sa.Column("rolls_back", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("break_glass", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch.add_column(sa.Column("reverts_at", Instant(), nullable=True))
        batch.add_column(sa.Column("reviewed_by", name, nullable=True))
        batch.add_column(sa.Column("reviewed_at", Instant(), nullable=True))
        batch.add_column(sa.Column("note", sa.Text(), server_default="", nullable=False))
    with op.batch_alter_table("change_request") as batch:
        for column in ("break_glass", "note"):
            batch.alter_column(column, server_default=None)
    op.execute(
        "UPDATE change_request SET state = 'superseded' WHERE state = 'effective' AND applied_revision IN "
        "(SELECT id FROM policy_revision WHERE valid_to IS NOT NULL)"
    )
