"""Accounts and tokens may be confined to brands, regions and domains; on PostgreSQL row-level security binds whoever reads for them."""

import sqlalchemy as sa
from alembic import op

from controlplane.store.types import Json

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
SET = "EXISTS (SELECT 1 FROM in_reach)"
FUNCTIONS = ("trueup_cause", "trueup_owed")
IN_REACH = """
CREATE VIEW in_reach AS SELECT told.key AS kind, names.name
FROM jsonb_each(coalesce(nullif(current_setting('trueup.in_reach', true), ''), '{}')::jsonb) AS told,
jsonb_array_elements_text(told.value) AS names(name)"""
CAUSE = """
CREATE FUNCTION trueup_cause(message_id text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
WITH RECURSIVE up(source, cause, depth) AS (
  SELECT m.source, m.causation_id, 0 FROM message AS m WHERE m.id = message_id COLLATE "C"
  UNION ALL SELECT m.source, m.causation_id, up.depth + 1 FROM message AS m JOIN up ON m.id = up.cause
  WHERE up.source = 'plane' AND up.depth < 32)
SELECT source FROM up WHERE source <> 'plane' LIMIT 1 $$"""
OWED = """
CREATE FUNCTION trueup_owed(message_id text) RETURNS TABLE(flow text, target text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
SELECT d.flow::text, d.target::text FROM delivery AS d WHERE d.message_id = $1 COLLATE "C" $$"""
CLOSED = (
    "audit_head",
    "audit_checkpoint",
    "account",
    "login_session",
    "service_token",
    "request_key",
    "message_seen",
    "delivery_seen",
    "archive",
    "run",
    "lease",
)
CONDITIONS = {
    "policy_revision": (
        "policy_revision.kind || '/' || policy_revision.name IN (SELECT name FROM in_reach WHERE kind = "
        "'policy') AND NOT EXISTS (SELECT 1 FROM in_reach WHERE kind = 'hidden' AND "
        "strpos(CAST(policy_revision.document AS TEXT), '\"' || name || '\"') > 0)"
    ),
    "registry_version": "1 = 1",
    "change_request": (
        "(change_request.kind || '/' || change_request.name IN (SELECT name FROM in_reach WHERE kind = "
        "'policy') OR EXISTS (SELECT 1 FROM in_reach WHERE kind IN ('whole') AND "
        "strpos(CAST(change_request.document AS TEXT), '\"' || name || '\"') > 0)) AND NOT EXISTS (SELECT 1 "
        "FROM in_reach WHERE kind = 'hidden' AND strpos(CAST(change_request.document AS TEXT), '\"' || name || "
        "'\"') > 0)"
    ),
    "change_vote": "EXISTS (SELECT 1 FROM change_request AS whose WHERE whose.id = change_vote.change_request_id)",
    "simulation": (
        "EXISTS (SELECT 1 FROM change_request AS whose WHERE whose.id = simulation.change_request_id) AND NOT "
        "EXISTS (SELECT 1 FROM in_reach WHERE kind = 'hidden' AND strpos(CAST(simulation.impact AS TEXT), '\"' "
        "|| name || '\"') > 0)"
    ),
    "action": (
        "action.subject LIKE 'change_request/%' AND EXISTS (SELECT 1 FROM change_request AS whose WHERE "
        "whose.id = substr(action.subject, 16)) AND NOT EXISTS (SELECT 1 FROM in_reach WHERE kind = 'hidden' "
        "AND strpos(CAST(action.before AS TEXT), '\"' || name || '\"') > 0) AND NOT EXISTS (SELECT 1 FROM "
        "in_reach WHERE kind = 'hidden' AND strpos(CAST(action.after AS TEXT), '\"' || name || '\"') > 0) AND "
        "NOT EXISTS (SELECT 1 FROM in_reach WHERE kind = 'hidden' AND strpos(CAST(action.reason AS TEXT), '' "
        "|| name || '') > 0)"
    ),
    "source_cursor": "source_cursor.system IN (SELECT name FROM in_reach WHERE kind = 'system')",
    "system_state": "system_state.system IN (SELECT name FROM in_reach WHERE kind = 'system')",
    "flow_state": "flow_state.flow IN (SELECT name FROM in_reach WHERE kind = 'flow')",
    "intake": (
        "intake.topic <> 'messages/batch' AND intake.system IN (SELECT name FROM in_reach WHERE kind = "
        "'system') AND (EXISTS (SELECT 1 FROM in_reach WHERE kind = 'type' AND name = '*') OR EXISTS (SELECT "
        "1 FROM message AS whose WHERE whose.intake_id = intake.id))"
    ),
    "message": (
        "(EXISTS (SELECT 1 FROM in_reach WHERE kind = 'type' AND name = '*') OR message.type IN (SELECT name "
        "FROM in_reach WHERE kind = 'type')) AND (message.source IN (SELECT name FROM in_reach WHERE kind = "
        "'system') OR (message.source = 'plane' AND NOT EXISTS (SELECT 1 FROM in_reach WHERE kind = 'hidden' "
        "AND strpos(CAST(message.data AS TEXT), '\"' || name || '\"') > 0) AND (trueup_cause(message.id) IN "
        "(SELECT name FROM in_reach WHERE kind = 'system') OR (trueup_cause(message.id) IS NULL AND EXISTS "
        "(SELECT 1 FROM trueup_owed(message.id) AS owed WHERE owed.target IN (SELECT name FROM in_reach WHERE "
        "kind = 'system') AND owed.flow IN (SELECT name FROM in_reach WHERE kind = 'flow'))))))"
    ),
    "product": (
        "(EXISTS (SELECT 1 FROM in_reach WHERE kind = 'domain' AND name = '*') OR 'products' IN (SELECT name "
        "FROM in_reach WHERE kind = 'domain')) AND EXISTS (SELECT 1 FROM message AS whose WHERE whose.id = "
        "product.message_id)"
    ),
    "stock_position": (
        "(EXISTS (SELECT 1 FROM in_reach WHERE kind = 'domain' AND name = '*') OR 'inventory' IN (SELECT name "
        "FROM in_reach WHERE kind = 'domain')) AND stock_position.source IN (SELECT name FROM in_reach WHERE "
        "kind = 'system')"
    ),
    "stock_change": (
        "(EXISTS (SELECT 1 FROM in_reach WHERE kind = 'domain' AND name = '*') OR 'inventory' IN (SELECT name "
        "FROM in_reach WHERE kind = 'domain')) AND EXISTS (SELECT 1 FROM message AS whose WHERE whose.id = "
        "stock_change.message_id)"
    ),
    "order_state": (
        "(EXISTS (SELECT 1 FROM in_reach WHERE kind = 'domain' AND name = '*') OR 'orders' IN (SELECT name "
        "FROM in_reach WHERE kind = 'domain')) AND order_state.source IN (SELECT name FROM in_reach WHERE "
        "kind = 'system')"
    ),
    "order_line": "EXISTS (SELECT 1 FROM order_state AS whose WHERE whose.ref = order_line.order_ref)",
    "posting": (
        "(EXISTS (SELECT 1 FROM in_reach WHERE kind = 'domain' AND name = '*') OR 'finance' IN (SELECT name "
        "FROM in_reach WHERE kind = 'domain')) AND EXISTS (SELECT 1 FROM message AS whose WHERE whose.id = "
        "posting.message_id)"
    ),
    "delivery": (
        "delivery.target IN (SELECT name FROM in_reach WHERE kind = 'system') AND delivery.flow IN (SELECT "
        "name FROM in_reach WHERE kind = 'flow') AND EXISTS (SELECT 1 FROM message AS whose WHERE whose.id = "
        "delivery.message_id)"
    ),
    "attempt": "EXISTS (SELECT 1 FROM delivery AS whose WHERE whose.id = attempt.delivery_id)",
    "target_level": (
        "(EXISTS (SELECT 1 FROM in_reach WHERE kind = 'domain' AND name = '*') OR 'inventory' IN (SELECT name "
        "FROM in_reach WHERE kind = 'domain')) AND target_level.system IN (SELECT name FROM in_reach WHERE "
        "kind = 'system')"
    ),
    "target_effect": (
        "(EXISTS (SELECT 1 FROM in_reach WHERE kind = 'domain' AND name = '*') OR 'inventory' IN (SELECT name "
        "FROM in_reach WHERE kind = 'domain')) AND target_effect.system IN (SELECT name FROM in_reach WHERE "
        "kind = 'system')"
    ),
    "quarantine": (
        "quarantine.system IN (SELECT name FROM in_reach WHERE kind = 'system') AND (quarantine.flow IN "
        "(SELECT name FROM in_reach WHERE kind = 'flow') OR (quarantine.flow = '' AND EXISTS (SELECT 1 FROM "
        "in_reach WHERE kind = 'type' AND name = '*'))) AND (quarantine.message_id IS NULL OR EXISTS (SELECT "
        "1 FROM message AS whose WHERE whose.id = quarantine.message_id)) AND (quarantine.delivery_id IS NULL "
        "OR EXISTS (SELECT 1 FROM delivery AS whose WHERE whose.id = quarantine.delivery_id)) AND "
        "(quarantine.intake_id IS NULL OR EXISTS (SELECT 1 FROM intake AS whose WHERE whose.id = "
        "quarantine.intake_id))"
    ),
    "quarantine_event": "EXISTS (SELECT 1 FROM quarantine AS whose WHERE whose.id = quarantine_event.case_id)",
    "replay": (
        "replay.flow IN (SELECT name FROM in_reach WHERE kind = 'flow') AND (replay.target IS NULL OR "
        "replay.target IN (SELECT name FROM in_reach WHERE kind = 'system')) AND NOT EXISTS (SELECT 1 FROM "
        "in_reach WHERE kind = 'hidden' AND strpos(CAST(replay.counts AS TEXT), '\"' || name || '\"') > 0)"
    ),
    "sample": (
        "EXISTS (SELECT 1 FROM unnest(string_to_array(series, ',')) AS part WHERE split_part(part, '=', 2) IN "
        "(SELECT name FROM in_reach WHERE kind IN ('system', 'flow', 'comparison'))) AND NOT EXISTS (SELECT 1 "
        "FROM unnest(string_to_array(series, ',')) AS part WHERE split_part(part, '=', 2) IN (SELECT name "
        "FROM in_reach WHERE kind = 'hidden'))"
    ),
    "rollup": (
        "EXISTS (SELECT 1 FROM unnest(string_to_array(series, ',')) AS part WHERE split_part(part, '=', 2) IN "
        "(SELECT name FROM in_reach WHERE kind IN ('system', 'flow', 'comparison'))) AND NOT EXISTS (SELECT 1 "
        "FROM unnest(string_to_array(series, ',')) AS part WHERE split_part(part, '=', 2) IN (SELECT name "
        "FROM in_reach WHERE kind = 'hidden'))"
    ),
    "comparison_run": "comparison_run.comparison IN (SELECT name FROM in_reach WHERE kind = 'comparison')",
    "finding": (
        "finding.comparison IN (SELECT name FROM in_reach WHERE kind = 'comparison') AND finding.side IN "
        "(SELECT name FROM in_reach WHERE kind = 'system')"
    ),
    "verdict": "'ServiceLevel/' || verdict.service_level IN (SELECT name FROM in_reach WHERE kind = 'policy')",
    "incident": (
        "EXISTS (SELECT 1 FROM in_reach WHERE kind IN ('system', 'flow', 'comparison') AND "
        "strpos(CAST(incident.labels AS TEXT), '\"' || name || '\"') > 0) AND NOT EXISTS (SELECT 1 FROM "
        "in_reach WHERE kind = 'hidden' AND strpos(CAST(incident.labels AS TEXT), '\"' || name || '\"') > 0) "
        "AND NOT EXISTS (SELECT 1 FROM in_reach WHERE kind = 'hidden' AND strpos(CAST(incident.title AS "
        "TEXT), '' || name || '') > 0) AND NOT EXISTS (SELECT 1 FROM in_reach WHERE kind = 'hidden' AND "
        "strpos(CAST(incident.cause AS TEXT), '' || name || '') > 0)"
    ),
    "incident_event": (
        "EXISTS (SELECT 1 FROM incident AS whose WHERE whose.id = incident_event.incident_id) AND NOT EXISTS "
        "(SELECT 1 FROM in_reach WHERE kind = 'hidden' AND strpos(CAST(incident_event.note AS TEXT), '' || "
        "name || '') > 0)"
    ),
}  # fmt: skip


def upgrade() -> None:
    """Apply."""
    for table in ("account", "service_token"):
        op.add_column(table, sa.Column("reach", Json(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        for statement in (
            IN_REACH,
            CAUSE,
            OWED,
            *(f"REVOKE EXECUTE ON FUNCTION {name}(text) FROM PUBLIC" for name in FUNCTIONS),
        ):
            op.execute(sa.text(statement.replace(":", "\\:")))
        for table in (*CONDITIONS, *CLOSED):
            _bind(table, f"{SET} AND {CONDITIONS[table]}" if table in CONDITIONS else "1 = 0")


def _bind(table: str, condition: str) -> None:
    """Let whoever does not own a table see the rows that meet the condition, which is kept beside it as it was written."""
    told = condition.replace("'", "''")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY in_sight ON {table} FOR SELECT USING ({condition})")
    op.execute(f"COMMENT ON POLICY in_sight ON {table} IS '{told}'")
