"""What came of putting a part of the archive back stands with the part."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Json

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("archive", sa.Column("restored", Json(), nullable=True))
