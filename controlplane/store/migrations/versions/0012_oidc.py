"""Accounts of people who sign in at an OpenID provider; of each session, when, how well and by what means it was proved who it is."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Instant, Json

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. A session that there is began with a password."""
    with op.batch_alter_table("account") as batch:
        batch.add_column(sa.Column("issuer", sa.String(500), nullable=True))
        batch.add_column(sa.Column("subject", sa.String(255), nullable=True))
    op.create_index("ix_account_issuer_subject", "account", ["issuer", "subject"], unique=True)
    with op.batch_alter_table("login_session") as batch:
        batch.add_column(sa.Column("auth_time", Instant(), nullable=True))
        batch.add_column(sa.Column("acr", sa.String(255), nullable=True))
        batch.add_column(sa.Column("amr", Json(), nullable=True))
    op.execute("UPDATE login_session SET auth_time = created_at")
