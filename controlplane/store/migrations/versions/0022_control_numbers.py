"""Numbers that what is sent to a system bears, each once: EDI control numbers."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Instant

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    name = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    op.create_table(
        "control_number",
        sa.Column("system", name, nullable=False),
        sa.Column("series", name, nullable=False),
        sa.Column("key", name, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", Instant(), nullable=False),
        sa.Column("used_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("system", "series", "key", name=op.f("pk_control_number")),
        sa.UniqueConstraint("system", "series", "number", name=op.f("uq_control_number_system_series_number")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE control_number ENABLE ROW LEVEL SECURITY")
        op.execute("CREATE POLICY in_sight ON control_number FOR SELECT USING (1 = 0)")
        op.execute("COMMENT ON POLICY in_sight ON control_number IS '1 = 0'")
