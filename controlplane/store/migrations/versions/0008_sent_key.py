"""A corrected document is sent under a key of its own, and stays known by the first one."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    name = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    with op.batch_alter_table("delivery") as batch:
        batch.add_column(sa.Column("sent_key", name, nullable=True))
