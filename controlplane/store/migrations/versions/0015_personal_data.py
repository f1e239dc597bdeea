"""What is personal in a record lies sealed beside what people may see of it; rows from before stay as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("intake", sa.Column("sealed", sa.LargeBinary(), nullable=True))
    op.add_column("quarantine", sa.Column("record_sealed", sa.LargeBinary(), nullable=True))
    op.add_column("quarantine", sa.Column("corrected_sealed", sa.LargeBinary(), nullable=True))
