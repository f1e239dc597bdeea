"""The idempotency key of a document holds its source; what was owed under a key without it goes on under the one that it was sent by."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None
LONGEST = 190
"""Characters of a key; a longer one is a digest, and stays as it is."""


def upgrade() -> None:
    """Apply."""
    source = "(SELECT m.source FROM message m WHERE m.id = delivery.message_id)"
    head = "substr(idempotency_key, 1, length(idempotency_key) - 9)"
    op.execute(
        sa.text(
            f"UPDATE delivery SET sent_key = coalesce(sent_key, idempotency_key), "  # noqa: S608 - nothing of it is given
            f"idempotency_key = {head} || '\\:' || {source} || '\\:document' "
            f"WHERE idempotency_key LIKE '%_\\:document' AND length(idempotency_key) + length({source}) < {LONGEST}"
        )
    )
