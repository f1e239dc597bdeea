"""Findings about any business key and value, what became of each, and what was healed."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Amount, Instant, Json

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    name = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    ident = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
    postgresql = op.get_bind().dialect.name == "postgresql"
    with op.batch_alter_table("comparison_run") as batch:
        batch.add_column(sa.Column("subjects", Json(), nullable=True))
        batch.add_column(sa.Column("accepted", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("skipped", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("said", Json(), nullable=True))
    _generalise(name, postgresql)
    op.create_table(
        "finding_event",
        sa.Column("id", ident, nullable=False),
        sa.Column("finding_id", ident, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("actor", name, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_finding_event_finding_id_finding")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding_event")),
    )
    op.create_index(op.f("ix_finding_event_finding_id"), "finding_event", ["finding_id"])
    op.create_table(
        "heal",
        sa.Column("id", ident, nullable=False),
        sa.Column("finding_id", ident, nullable=False),
        sa.Column("comparison", name, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("money", Amount(), nullable=True),
        sa.Column("currency", sa.String(3), nullable=True),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("asked_by", name, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("done_at", Instant(), nullable=True),
        sa.Column("approved_by", name, nullable=True),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_heal_finding_id_finding")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heal")),
    )
    op.create_index(op.f("ix_heal_finding_id"), "heal", ["finding_id"])
    op.create_index("ix_heal_done", "heal", ["comparison", "done_at"])
    if postgresql:
        for table in ("finding_event", "heal"):
            seen = f"EXISTS (SELECT 1 FROM in_reach) AND EXISTS (SELECT 1 FROM finding AS whose WHERE whose.id = {table}.finding_id)"  # noqa: S608
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY in_sight ON {table} FOR SELECT USING ({seen})")
            op.execute(f"COMMENT ON POLICY in_sight ON {table} IS '{seen}'")


def _generalise(name: sa.types.TypeEngine[str], postgresql: bool) -> None:
    op.drop_index("ix_finding_key", "finding")
    with op.batch_alter_table("finding") as batch:
        batch.add_column(sa.Column("subject", name, nullable=True))
        batch.add_column(sa.Column("field", name, nullable=True))
        batch.add_column(sa.Column("shown", Json(), nullable=True))
        batch.add_column(sa.Column("changed_at", Instant(), nullable=True))
        batch.add_column(sa.Column("accepted_by", name, nullable=True))
        batch.add_column(sa.Column("note", sa.Text(), nullable=True))
    shown = "to_jsonb(actual)" if postgresql else "CAST(actual AS TEXT)"
    op.execute(f"UPDATE finding SET subject = sku || '@' || location, field = '', shown = {shown}")  # noqa: S608
    with op.batch_alter_table("finding") as batch:
        batch.drop_column("actual")
        batch.drop_column("sku")
        batch.drop_column("location")
        batch.alter_column("subject", existing_type=name, nullable=False)
        batch.alter_column("field", existing_type=name, nullable=False)
        batch.create_index("ix_finding_key", ["comparison", "subject", "side"])
    op.execute("ALTER TABLE finding RENAME COLUMN shown TO actual")
