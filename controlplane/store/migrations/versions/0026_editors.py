"""Change requests know everybody who wrote on their document, not only who did so last: none of them counts as an approver."""

import json

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Json

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
WRITERS = (
    "SELECT r.id, r.author AS writer FROM change_request r UNION SELECT r.id, r.last_editor FROM change_request r "
    "UNION SELECT r.id, a.actor FROM change_request r JOIN action a ON a.subject = 'change_request/' || r.id "
    "AND a.action = 'change_request.edit' ORDER BY 1, 2"
)


def upgrade() -> None:
    """Apply. Of a request that is there already, all whom the action log has edit it count."""
    with op.batch_alter_table("change_request") as batch:
        batch.add_column(sa.Column("editors", Json(), server_default="[]", nullable=False))
    with op.batch_alter_table("change_request") as batch:
        batch.alter_column("editors", server_default=None)
    connection, writers = op.get_bind(), dict[str, list[str]]()
    for request, writer in connection.execute(sa.text(WRITERS)):
        writers.setdefault(request, []).append(writer)
    cast = "CAST(:editors AS jsonb)" if connection.dialect.name == "postgresql" else ":editors"
    for request, names in writers.items():
        told = {"id": request, "editors": json.dumps(names, ensure_ascii=False)}
        connection.execute(sa.text(f"UPDATE change_request SET editors = {cast} WHERE id = :id"), told)  # noqa: S608
