"""Sync at speed: indexes of what is open only, ids compared byte by byte, heads of lines, shared limits, replays, leases."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.tables import OPEN, UNSETTLED
from controlplane.store.types import BigKey, Instant, Json
from rules.ids import fingerprint

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHUNK = 500


def upgrade() -> None:
    """Apply."""
    _bytewise()
    _new_tables()
    _intake()
    _message()
    _delivery()
    _attempt_and_quarantine()
    _systems()


def _bytewise() -> None:
    """PostgreSQL compares text by the locale unless told otherwise, which costs most of an index look-up."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    inspector = sa.inspect(connection)
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            kind = column["type"]
            if isinstance(kind, sa.String) and kind.length in (36, 200) and table != "alembic_version":
                name, length = column["name"], kind.length
                op.execute(sa.text(f'ALTER TABLE "{table}" ALTER COLUMN "{name}" TYPE VARCHAR({length}) COLLATE "C"'))


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _new_tables() -> None:
    op.create_table(
        "flow_state",
        sa.Column("flow", _text(200), nullable=False),
        sa.Column("paused_at", Instant(), nullable=True),
        sa.Column("paused_for", BigKey, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("flow", name=op.f("pk_flow_state")),
    )
    op.create_table(
        "lease",
        sa.Column("name", _text(200), nullable=False),
        sa.Column("owner", _text(200), nullable=False),
        sa.Column("until", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "replay",
        sa.Column("id", _text(36), nullable=False),
        sa.Column("flow", _text(200), nullable=False),
        sa.Column("subject", _text(200), nullable=True),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("until", Instant(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("cursor", _text(36), nullable=True),
        sa.Column("counts", Json(), nullable=False),
        sa.Column("asked_by", _text(200), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replay")),
    )
    op.create_index(op.f("ix_replay_state"), "replay", ["state"])


def _intake() -> None:
    op.drop_index("ix_intake_state_id", table_name="intake")
    _partial("ix_intake_new", "intake", ["id"], "state IN ('new')")


def _message() -> None:
    with op.batch_alter_table("message") as batch:
        batch.add_column(sa.Column("intake_line", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("fingerprint", sa.LargeBinary(length=16), nullable=True))
        batch.drop_constraint("fk_message_intake_id_intake", type_="foreignkey")
        batch.drop_constraint("uq_message_source_dedupe_key", type_="unique")
        for name in ("ix_message_intake_id", "ix_message_trace_id", "ix_message_accepted_at", "ix_message_state_id"):
            batch.drop_index(name)
    _fingerprints()
    with op.batch_alter_table("message") as batch:
        batch.alter_column("fingerprint", existing_type=sa.LargeBinary(length=16), nullable=False)
        batch.create_unique_constraint("uq_message_fingerprint", ["fingerprint"])
    _partial("ix_message_accepted", "message", ["id"], "state IN ('accepted')")
    _partial("ix_message_intake_id", "message", ["intake_id"], "intake_id IS NOT NULL")
    _partial("ix_message_causation_id", "message", ["causation_id"], "causation_id IS NOT NULL")


def _fingerprints() -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, source, dedupe_key FROM message")).all()
    made = [{"i": row.id, "f": fingerprint(row.source, row.dedupe_key)} for row in rows]
    for start in range(0, len(made), CHUNK):
        connection.execute(sa.text("UPDATE message SET fingerprint = :f WHERE id = :i"), made[start : start + CHUNK])


def _delivery() -> None:
    with op.batch_alter_table("delivery") as batch:
        batch.add_column(sa.Column("head", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch.add_column(sa.Column("pause_base", BigKey, server_default="0", nullable=False))
        batch.add_column(sa.Column("trace_id", sa.String(length=32), server_default="", nullable=False))
        batch.drop_constraint("fk_delivery_message_id_message", type_="foreignkey")
        for name in ("claim", "order_key", "state_finished_at", "flow"):
            batch.drop_index(f"ix_delivery_{name}")
    connection = op.get_bind()
    d, m = (
        sa.table("delivery", *map(sa.column, ("id", "message_id", "trace_id", "head", "target", "order_key"))),
        sa.table("message", sa.column("id"), sa.column("trace_id")),
    )
    trace = sa.select(m.c.trace_id).where(m.c.id == d.c.message_id).scalar_subquery()
    connection.execute(sa.update(d).values(trace_id=sa.func.coalesce(trace, "")))
    first = sa.select(sa.func.min(d.c.id)).where(sa.text(OPEN)).group_by(d.c.target, d.c.order_key)
    connection.execute(sa.update(d).where(d.c.id.in_(first)).values(head=sa.true()))
    with op.batch_alter_table("delivery") as batch:
        for name in ("head", "pause_base", "trace_id"):
            batch.alter_column(name, server_default=None)
    _partial("ix_delivery_due", "delivery", ["target", "flow", "due_at"], "head AND state IN ('pending', 'unknown')")
    _partial("ix_delivery_sending", "delivery", ["target", "lease_until"], "state IN ('sending')")
    _partial("ix_delivery_open", "delivery", ["target", "order_key", "id"], OPEN)
    _partial("ix_delivery_states", "delivery", ["target", "order_key", "id"], "coalesce")
    _partial("ix_delivery_unsettled", "delivery", ["target", "order_key", "id"], UNSETTLED)
    _partial("ix_delivery_finished_at", "delivery", ["finished_at"], "finished_at IS NOT NULL")


def _attempt_and_quarantine() -> None:
    with op.batch_alter_table("attempt") as batch:
        batch.drop_constraint("fk_attempt_delivery_id_delivery", type_="foreignkey")
    with op.batch_alter_table("quarantine") as batch:
        for name in ("intake", "message", "delivery"):
            batch.drop_constraint(f"fk_quarantine_{name}_id_{name}", type_="foreignkey")
            batch.create_index(f"ix_quarantine_{name}_id", [f"{name}_id"])


def _systems() -> None:
    with op.batch_alter_table("product") as batch:
        batch.add_column(sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False))
    with op.batch_alter_table("system_state") as batch:
        batch.add_column(sa.Column("tokens", sa.Float(), nullable=True))
        batch.add_column(sa.Column("tokens_at", Instant(), nullable=True))
        batch.add_column(sa.Column("learned_rate", sa.Float(), nullable=True))
        batch.add_column(sa.Column("learned_at", Instant(), nullable=True))
        batch.add_column(sa.Column("release_at", Instant(), nullable=True))
        batch.add_column(sa.Column("paused_for", BigKey, server_default="0", nullable=False))
