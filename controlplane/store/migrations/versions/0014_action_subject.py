"""An index by which the actions on one thing, the thread of a change request for one, are found without reading the whole log."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_action_subject", "action", ["subject"])
