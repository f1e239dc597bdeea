"""First tables."""

import sqlalchemy as sa
from alembic import op

import controlplane.store.types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "account",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("roles", controlplane.store.types.Json(), nullable=False),
        sa.Column("team", sa.String(length=200), nullable=True),
        sa.Column("created_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("locked_until", controlplane.store.types.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_account")),
    )
    op.create_table(
        "action",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("before", controlplane.store.types.Json(), nullable=True),
        sa.Column("after", controlplane.store.types.Json(), nullable=True),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_action")),
        sa.UniqueConstraint("hash", name=op.f("uq_action_hash")),
    )
    op.create_table(
        "comparison_run",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("comparison", sa.String(length=200), nullable=False),
        sa.Column("started_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("finished_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("trigger", sa.String(length=200), nullable=False),
        sa.Column("keys", sa.Integer(), nullable=True),
        sa.Column("agree", sa.Integer(), nullable=True),
        sa.Column("in_flight", sa.Integer(), nullable=True),
        sa.Column("suspected", sa.Integer(), nullable=True),
        sa.Column("drift", sa.Integer(), nullable=True),
        sa.Column("indeterminate", sa.Integer(), nullable=True),
        sa.Column("unread", controlplane.store.types.Json(), nullable=True),
        sa.Column("registry_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparison_run")),
    )
    with op.batch_alter_table("comparison_run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_comparison_run_comparison"), ["comparison"], unique=False)
        batch_op.create_index("ix_comparison_run_latest", ["comparison", "state", "finished_at"], unique=False)

    op.create_table(
        "incident",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("fingerprint", sa.String(length=200), nullable=False),
        sa.Column("open_key", sa.String(length=200), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=14), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("money_at_risk", controlplane.store.types.Amount(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("opened_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("updated_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("acknowledged_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=200), nullable=True),
        sa.Column("resolved_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("escalation_level", sa.Integer(), nullable=False),
        sa.Column("next_escalation_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("labels", controlplane.store.types.Json(), nullable=False),
        sa.Column("policy_revision", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
        sa.UniqueConstraint("open_key", name=op.f("uq_incident_open_key")),
    )
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_incident_fingerprint"), ["fingerprint"], unique=False)
        batch_op.create_index(batch_op.f("ix_incident_state"), ["state"], unique=False)

    op.create_table(
        "intake",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("system", sa.String(length=200), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("event_key", sa.String(length=200), nullable=False),
        sa.Column("headers", controlplane.store.types.Json(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("translated_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intake")),
        sa.UniqueConstraint("system", "event_key", name=op.f("uq_intake_system_event_key")),
    )
    with op.batch_alter_table("intake", schema=None) as batch_op:
        batch_op.create_index("ix_intake_state_id", ["state", "id"], unique=False)
        batch_op.create_index("ix_intake_system_received_at", ["system", "received_at"], unique=False)

    op.create_table(
        "order_state",
        sa.Column("ref", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("native_id", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("placed_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("value", controlplane.store.types.Amount(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("updated_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_order_state")),
    )
    with op.batch_alter_table("order_state", schema=None) as batch_op:
        batch_op.create_index("ix_order_state_placed_at", ["placed_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_order_state_state"), ["state"], unique=False)

    op.create_table(
        "policy_revision",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("document", controlplane.store.types.Json(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("valid_from", controlplane.store.types.Instant(), nullable=False),
        sa.Column("valid_to", controlplane.store.types.Instant(), nullable=True),
        sa.Column("recorded_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("origin", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_revision")),
        sa.UniqueConstraint("kind", "name", "revision", name=op.f("uq_policy_revision_kind_name_revision")),
    )
    op.create_table(
        "posting",
        sa.Column("posting_key", sa.String(length=200), nullable=False),
        sa.Column("document", sa.String(length=200), nullable=False),
        sa.Column("business_date", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("lines", controlplane.store.types.Json(), nullable=False),
        sa.Column("rule_revision", sa.String(length=36), nullable=False),
        sa.Column("created_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("reverses", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("posting_key", name=op.f("pk_posting")),
    )
    with op.batch_alter_table("posting", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_posting_document"), ["document"], unique=False)

    op.create_table(
        "product",
        sa.Column("sku", sa.String(length=200), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("unit_cost", controlplane.store.types.Amount(), nullable=True),
        sa.Column("unit_price", controlplane.store.types.Amount(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("updated_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_product")),
    )
    op.create_table(
        "registry_version",
        sa.Column("version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("recorded_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_registry_version")),
    )
    op.create_table(
        "rollup",
        sa.Column("indicator", sa.String(length=200), nullable=False),
        sa.Column("series", sa.String(length=200), nullable=False),
        sa.Column("minute", controlplane.store.types.Instant(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("valued", sa.Integer(), nullable=False),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("total_value", sa.Float(), nullable=True),
        sa.Column("last", sa.Float(), nullable=True),
        sa.Column("good", sa.Integer(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("indicator", "series", "minute", name=op.f("pk_rollup")),
    )
    with op.batch_alter_table("rollup", schema=None) as batch_op:
        batch_op.create_index("ix_rollup_minute", ["minute", "indicator"], unique=False)

    op.create_table(
        "run",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("schedule", sa.String(length=200), nullable=False),
        sa.Column("scheduled_for", controlplane.store.types.Instant(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("started_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("finished_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("detail", controlplane.store.types.Json(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("schedule", "scheduled_for", name=op.f("uq_run_schedule_scheduled_for")),
    )
    op.create_table(
        "sample",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("indicator", sa.String(length=200), nullable=False),
        sa.Column("labels", controlplane.store.types.Json(), nullable=False),
        sa.Column("series", sa.String(length=200), nullable=False),
        sa.Column("at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("good", sa.Integer(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sample")),
    )
    with op.batch_alter_table("sample", schema=None) as batch_op:
        batch_op.create_index("ix_sample_at", ["at"], unique=False)
        batch_op.create_index("ix_sample_indicator_at", ["indicator", "at"], unique=False)

    op.create_table(
        "source_cursor",
        sa.Column("system", sa.String(length=200), nullable=False),
        sa.Column("entity", sa.String(length=200), nullable=False),
        sa.Column("value", controlplane.store.types.Json(), nullable=False),
        sa.Column("read_at", controlplane.store.types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("system", "entity", name=op.f("pk_source_cursor")),
    )
    op.create_table(
        "stock_change",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("sku", sa.String(length=200), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("allocated", sa.Integer(), nullable=False),
        sa.Column("available", sa.Integer(), nullable=False),
        sa.Column("in_transit", sa.Integer(), nullable=False),
        sa.Column("source_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("changed_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_change")),
    )
    with op.batch_alter_table("stock_change", schema=None) as batch_op:
        batch_op.create_index("ix_stock_change_key", ["sku", "location", "changed_at"], unique=False)

    op.create_table(
        "stock_position",
        sa.Column("sku", sa.String(length=200), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("allocated", sa.Integer(), nullable=False),
        sa.Column("available", sa.Integer(), nullable=False),
        sa.Column("in_transit", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("source_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("updated_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("sku", "location", name=op.f("pk_stock_position")),
    )
    op.create_table(
        "system_state",
        sa.Column("system", sa.String(length=200), nullable=False),
        sa.Column("blocked_until", controlplane.store.types.Instant(), nullable=True),
        sa.Column("blocked_reason", sa.Text(), nullable=True),
        sa.Column("consecutive_failures", sa.Integer(), nullable=False),
        sa.Column("paused_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("last_ok_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", controlplane.store.types.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("system", name=op.f("pk_system_state")),
    )
    op.create_table(
        "target_effect",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("system", sa.String(length=200), nullable=False),
        sa.Column("field", sa.String(length=200), nullable=False),
        sa.Column("sku", sa.String(length=200), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("earliest", controlplane.store.types.Instant(), nullable=False),
        sa.Column("latest", controlplane.store.types.Instant(), nullable=False),
        sa.Column("cause", sa.String(length=12), nullable=False),
        sa.Column("cause_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_target_effect")),
    )
    with op.batch_alter_table("target_effect", schema=None) as batch_op:
        batch_op.create_index("ix_target_effect_key", ["system", "field", "sku", "location", "latest"], unique=False)

    op.create_table(
        "target_level",
        sa.Column("system", sa.String(length=200), nullable=False),
        sa.Column("field", sa.String(length=200), nullable=False),
        sa.Column("sku", sa.String(length=200), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("as_of", controlplane.store.types.Instant(), nullable=False),
        sa.Column("updated_at", controlplane.store.types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("system", "field", "sku", "location", name=op.f("pk_target_level")),
    )
    op.create_table(
        "verdict",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("service_level", sa.String(length=200), nullable=False),
        sa.Column("at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attainment", sa.Float(), nullable=True),
        sa.Column("budget_left", sa.Float(), nullable=True),
        sa.Column("coverage", sa.Float(), nullable=False),
        sa.Column("tiers", controlplane.store.types.Json(), nullable=False),
        sa.Column("policy_revision", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdict")),
    )
    with op.batch_alter_table("verdict", schema=None) as batch_op:
        batch_op.create_index("ix_verdict_service_level_at", ["service_level", "at"], unique=False)

    op.create_table(
        "change_request",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("base_revision", sa.Integer(), nullable=True),
        sa.Column("document", controlplane.store.types.Json(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("last_editor", sa.String(length=200), nullable=False),
        sa.Column("created_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("updated_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("effective_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("applied_revision", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["applied_revision"],
            ["policy_revision.id"],
            name=op.f("fk_change_request_applied_revision_policy_revision"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_request")),
    )
    with op.batch_alter_table("change_request", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_change_request_state"), ["state"], unique=False)

    op.create_table(
        "finding",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("comparison", sa.String(length=200), nullable=False),
        sa.Column("sku", sa.String(length=200), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("side", sa.String(length=200), nullable=False),
        sa.Column("cause", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("first_seen_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("confirmed_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("closed_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("expected", controlplane.store.types.Json(), nullable=False),
        sa.Column("actual", sa.Integer(), nullable=True),
        sa.Column("money", controlplane.store.types.Amount(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("evidence", controlplane.store.types.Json(), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=True),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("registry_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["comparison_run.id"], name=op.f("fk_finding_run_id_comparison_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
    )
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.create_index("ix_finding_key", ["comparison", "sku", "location", "side"], unique=False)
        batch_op.create_index(batch_op.f("ix_finding_state"), ["state"], unique=False)

    op.create_table(
        "incident_event",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("incident_id", sa.String(length=36), nullable=False),
        sa.Column("at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_incident_event_incident_id_incident")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_event")),
    )
    with op.batch_alter_table("incident_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_incident_event_incident_id"), ["incident_id"], unique=False)

    op.create_table(
        "login_session",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("csrf_token", sa.String(length=64), nullable=False),
        sa.Column("created_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("last_seen_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("revoked_at", controlplane.store.types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["account.name"], name=op.f("fk_login_session_account_account")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_login_session")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("source_version", sa.String(length=200), nullable=True),
        sa.Column("dedupe_key", sa.String(length=200), nullable=False),
        sa.Column("occurred_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("accepted_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("causation_id", sa.String(length=36), nullable=True),
        sa.Column("intake_id", sa.String(length=36), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("data", controlplane.store.types.Json(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("processed_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("registry_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["intake_id"], ["intake.id"], name=op.f("fk_message_intake_id_intake")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("source", "dedupe_key", name=op.f("uq_message_source_dedupe_key")),
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_message_accepted_at"), ["accepted_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_intake_id"), ["intake_id"], unique=False)
        batch_op.create_index("ix_message_state_id", ["state", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_subject"), ["subject"], unique=False)
        batch_op.create_index(batch_op.f("ix_message_trace_id"), ["trace_id"], unique=False)
        batch_op.create_index("ix_message_type_accepted_at", ["type", "accepted_at"], unique=False)

    op.create_table(
        "order_line",
        sa.Column("order_ref", sa.String(length=200), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String(length=200), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("shipped", sa.Integer(), nullable=False),
        sa.Column("returned", sa.Integer(), nullable=False),
        sa.Column("unit_price", controlplane.store.types.Amount(), nullable=False),
        sa.Column("warehouse_at", controlplane.store.types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["order_ref"], ["order_state.ref"], name=op.f("fk_order_line_order_ref_order_state")),
        sa.PrimaryKeyConstraint("order_ref", "line", name=op.f("pk_order_line")),
    )
    with op.batch_alter_table("order_line", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_order_line_sku"), ["sku"], unique=False)

    op.create_table(
        "service_token",
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("purpose", sa.String(length=200), nullable=False),
        sa.Column("created_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("expires_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("revoked_at", controlplane.store.types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["account.name"], name=op.f("fk_service_token_account_account")),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_service_token")),
    )
    op.create_table(
        "change_vote",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("change_request_id", sa.String(length=36), nullable=False),
        sa.Column("voter", sa.String(length=200), nullable=False),
        sa.Column("decision", sa.String(length=10), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("voided_at", controlplane.store.types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["change_request_id"], ["change_request.id"], name=op.f("fk_change_vote_change_request_id_change_request")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_vote")),
    )
    with op.batch_alter_table("change_vote", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_change_vote_change_request_id"), ["change_request_id"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("flow", sa.String(length=200), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("entity", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("order_key", sa.String(length=200), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=False),
        sa.Column("coalesce", sa.Boolean(), nullable=False),
        sa.Column("payload", controlplane.store.types.Json(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("due_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("deadline_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("promise_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=200), nullable=True),
        sa.Column("lease_until", controlplane.store.types.Instant(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("created_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("finished_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("retry_revision", sa.String(length=36), nullable=False),
        sa.Column("registry_version", sa.Integer(), nullable=False),
        sa.Column("money", controlplane.store.types.Amount(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_delivery_message_id_message")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_delivery_idempotency_key")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index("ix_delivery_claim", ["target", "state", "due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_delivery_flow"), ["flow"], unique=False)
        batch_op.create_index(batch_op.f("ix_delivery_message_id"), ["message_id"], unique=False)
        batch_op.create_index("ix_delivery_order_key", ["target", "order_key", "id"], unique=False)
        batch_op.create_index("ix_delivery_state_finished_at", ["state", "finished_at"], unique=False)

    op.create_table(
        "attempt",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("delivery_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("system", sa.String(length=200), nullable=False),
        sa.Column("flow", sa.String(length=200), nullable=False),
        sa.Column("started_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("finished_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("evidence", controlplane.store.types.Json(), nullable=True),
        sa.Column("retry_revision", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_attempt_delivery_id_delivery")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attempt_delivery_id"), ["delivery_id"], unique=False)
        batch_op.create_index("ix_attempt_finished_at", ["finished_at"], unique=False)

    op.create_table(
        "quarantine",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("stage", sa.String(length=10), nullable=False),
        sa.Column("system", sa.String(length=200), nullable=False),
        sa.Column("flow", sa.String(length=200), nullable=False),
        sa.Column("reason_code", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("record", controlplane.store.types.Json(), nullable=False),
        sa.Column("corrected", controlplane.store.types.Json(), nullable=True),
        sa.Column("intake_id", sa.String(length=36), nullable=True),
        sa.Column("message_id", sa.String(length=36), nullable=True),
        sa.Column("delivery_id", sa.String(length=36), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("opened_at", controlplane.store.types.Instant(), nullable=False),
        sa.Column("closed_at", controlplane.store.types.Instant(), nullable=True),
        sa.Column("closed_by", sa.String(length=200), nullable=True),
        sa.Column("replayed_as", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_quarantine_delivery_id_delivery")),
        sa.ForeignKeyConstraint(["intake_id"], ["intake.id"], name=op.f("fk_quarantine_intake_id_intake")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_quarantine_message_id_message")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_quarantine_state"), ["state"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_quarantine_state"))

    op.drop_table("quarantine")
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.drop_index("ix_attempt_finished_at")
        batch_op.drop_index(batch_op.f("ix_attempt_delivery_id"))

    op.drop_table("attempt")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index("ix_delivery_state_finished_at")
        batch_op.drop_index("ix_delivery_order_key")
        batch_op.drop_index(batch_op.f("ix_delivery_message_id"))
        batch_op.drop_index(batch_op.f("ix_delivery_flow"))
        batch_op.drop_index("ix_delivery_claim")

    op.drop_table("delivery")
    with op.batch_alter_table("change_vote", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_change_vote_change_request_id"))

    op.drop_table("change_vote")
    op.drop_table("service_token")
    with op.batch_alter_table("order_line", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_order_line_sku"))

    op.drop_table("order_line")
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index("ix_message_type_accepted_at")
        batch_op.drop_index(batch_op.f("ix_message_trace_id"))
        batch_op.drop_index(batch_op.f("ix_message_subject"))
        batch_op.drop_index("ix_message_state_id")
        batch_op.drop_index(batch_op.f("ix_message_intake_id"))
        batch_op.drop_index(batch_op.f("ix_message_accepted_at"))

    op.drop_table("message")
    op.drop_table("login_session")
    with op.batch_alter_table("incident_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_incident_event_incident_id"))

    op.drop_table("incident_event")
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_finding_state"))
        batch_op.drop_index("ix_finding_key")

    op.drop_table("finding")
    with op.batch_alter_table("change_request", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_change_request_state"))

    op.drop_table("change_request")
    with op.batch_alter_table("verdict", schema=None) as batch_op:
        batch_op.drop_index("ix_verdict_service_level_at")

    op.drop_table("verdict")
    op.drop_table("target_level")
    with op.batch_alter_table("target_effect", schema=None) as batch_op:
        batch_op.drop_index("ix_target_effect_key")

    op.drop_table("target_effect")
    op.drop_table("system_state")
    op.drop_table("stock_position")
    with op.batch_alter_table("stock_change", schema=None) as batch_op:
        batch_op.drop_index("ix_stock_change_key")

    op.drop_table("stock_change")
    op.drop_table("source_cursor")
    with op.batch_alter_table("sample", schema=None) as batch_op:
        batch_op.drop_index("ix_sample_indicator_at")
        batch_op.drop_index("ix_sample_at")

    op.drop_table("sample")
    op.drop_table("run")
    with op.batch_alter_table("rollup", schema=None) as batch_op:
        batch_op.drop_index("ix_rollup_minute")

    op.drop_table("rollup")
    op.drop_table("registry_version")
    op.drop_table("product")
    with op.batch_alter_table("posting", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_posting_document"))

    op.drop_table("posting")
    op.drop_table("policy_revision")
    with op.batch_alter_table("order_state", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_order_state_state"))
        batch_op.drop_index("ix_order_state_placed_at")

    op.drop_table("order_state")
    with op.batch_alter_table("intake", schema=None) as batch_op:
        batch_op.drop_index("ix_intake_system_received_at")
        batch_op.drop_index("ix_intake_state_id")

    op.drop_table("intake")
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_incident_state"))
        batch_op.drop_index(batch_op.f("ix_incident_fingerprint"))

    op.drop_table("incident")
    with op.batch_alter_table("comparison_run", schema=None) as batch_op:
        batch_op.drop_index("ix_comparison_run_latest")
        batch_op.drop_index(batch_op.f("ix_comparison_run_comparison"))

    op.drop_table("comparison_run")
    op.drop_table("action")
    op.drop_table("account")
