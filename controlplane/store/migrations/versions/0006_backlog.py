"""An index by which what is owed is counted by target and flow without looking into the rows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UNFINISHED = "finished_at IS NULL"


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "ix_delivery_unfinished", "delivery", ["target", "flow", "created_at"],
        sqlite_where=sa.text(UNFINISHED), postgresql_where=sa.text(UNFINISHED),
    )  # fmt: skip
