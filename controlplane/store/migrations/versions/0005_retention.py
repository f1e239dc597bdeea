"""Retention: what was archived or deleted, and the fingerprints of documents that are not here any more."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Instant, Json

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "message_seen",
        sa.Column("fingerprint", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", _text(36), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_message_seen")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "archive",
        sa.Column("id", _text(36), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("domain", _text(200), nullable=False),
        sa.Column("from_id", _text(36), nullable=False),
        sa.Column("to_id", _text(36), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("tables", Json(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("cutoff", Instant(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("done_at", Instant(), nullable=True),
        sa.Column("restored_until", Instant(), nullable=True),
        sa.Column("restore", Json(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive")),
    )
