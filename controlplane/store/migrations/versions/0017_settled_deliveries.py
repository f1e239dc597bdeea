"""The keys of documents whose deliveries retention has deleted: told again they are not owed again."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "delivery_seen",
        sa.Column("fingerprint", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_delivery_seen")),
        sqlite_with_rowid=False,
    )
