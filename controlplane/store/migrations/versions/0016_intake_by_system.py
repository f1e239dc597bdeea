"""New records are found by their system, so that those of one that does not answer need not be looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
NEW = sa.text("state IN ('new')")


def upgrade() -> None:
    """Apply."""
    op.drop_index("ix_intake_new", table_name="intake")
    op.create_index("ix_intake_new", "intake", ["system", "id"], sqlite_where=NEW, postgresql_where=NEW)
