"""What a change would have done is kept with its request, and a vote names the result that it rests on."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Instant, Json

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    identity = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
    op.create_table(
        "simulation",
        sa.Column("id", identity, primary_key=True),
        sa.Column("change_request_id", identity, sa.ForeignKey("change_request.id"), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("document_hash", sa.String(64), nullable=False),
        sa.Column("inputs", sa.String(64), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("until", Instant(), nullable=False),
        sa.Column("impact", Json(), nullable=False),
    )
    op.create_index("ix_simulation_change_request_id", "simulation", ["change_request_id"])
    with op.batch_alter_table("change_vote") as batch:
        batch.add_column(sa.Column("simulation", sa.String(64), nullable=True))
