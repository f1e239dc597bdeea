"""A service token may be confined to some rights of its account, and says when it was used last."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Instant, Json

revision = "0018"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("service_token", sa.Column("scopes", Json(), nullable=True))
    op.add_column("service_token", sa.Column("last_used_at", Instant(), nullable=True))
