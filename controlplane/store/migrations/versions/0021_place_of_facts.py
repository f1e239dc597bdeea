"""What makes a fact known begins with its place, so that what is told together stands together in the index of a full ledger."""

import sqlalchemy as sa
from alembic import op

from rules.ids import fact

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
CHUNK = 10_000


def upgrade() -> None:
    """Apply."""
    connection = op.get_bind()
    portion = sa.text("SELECT id, source, dedupe_key FROM message WHERE id > :last ORDER BY id LIMIT :chunk")
    last = ""
    while rows := connection.execute(portion, {"last": last, "chunk": CHUNK}).all():
        made = [{"i": row.id, "f": fact(row.source, row.dedupe_key)} for row in rows]
        connection.execute(sa.text("UPDATE message SET fingerprint = :f WHERE id = :i"), made)
        last = rows[-1].id
