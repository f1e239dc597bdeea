"""Reading backs that found nothing are found by themselves: what was written again after one is looked up once more, long after."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
ABSENT = sa.text("outcome = 'absent'")


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_attempt_absent", "attempt", ["finished_at"], sqlite_where=ABSENT, postgresql_where=ABSENT)
