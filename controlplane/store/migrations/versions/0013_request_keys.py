"""What was answered under an idempotency key is kept for a day, and a second request under it gets the same answer."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Instant, Json

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    name = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    identity = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
    op.create_table(
        "request_key",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("actor", name, nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", name, nullable=False),
        sa.Column("body", sa.String(64), nullable=False),
        sa.Column("claim", identity, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", Json(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
    )
    op.create_index("ix_request_key_at", "request_key", ["at"])
