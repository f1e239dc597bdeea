"""The action log has a head that is locked to append to it, checkpoints, and on PostgreSQL no right to change what was written."""

import uuid

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FIRST = "0" * 64
_REFUSE = """
CREATE FUNCTION action_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the action log is only ever appended to (%)', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$"""
_WATCH = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON action
FOR EACH STATEMENT EXECUTE FUNCTION action_is_append_only()"""


def upgrade() -> None:
    """Apply."""
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("installation", sa.String(32), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("seq", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("written_to", sa.Text(), nullable=False),
    )
    connection = op.get_bind()
    newest = connection.execute(sa.text("SELECT seq, hash FROM action ORDER BY seq DESC LIMIT 1")).one_or_none()
    seq, known = newest or (0, FIRST)
    op.bulk_insert(head, [{"id": 1, "installation": uuid.uuid4().hex, "seq": seq, "hash": known}])
    if connection.dialect.name == "postgresql":
        op.execute(_REFUSE)
        op.execute(_WATCH)
        op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON action FROM CURRENT_USER, PUBLIC")
