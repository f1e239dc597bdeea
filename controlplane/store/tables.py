"""Every table, in the order of the rooms that write it. A row here is how one room hands over to the next."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
    true,
)

from controlplane.store.types import Amount, BigKey, Instant, Json
from rules.ids import fact

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Name = String(200).with_variant(String(200, collation="C"), "postgresql")
Id = String(36).with_variant(String(36, collation="C"), "postgresql")
"""Compared byte by byte on both databases: ids sort by their time, and no locale slows the indexes down."""


def among(column: Column[str], *states: str) -> ColumnElement[bool]:
    """Return a condition with its values written out: a partial index serves only a query that says what the index says."""
    return column.in_([literal_column(f"'{state}'") for state in states])


def partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index of the rows that a condition holds for: it stays as small as the work that is open."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


# --- audit: who did what ------------------------------------------------------------------------------------------
action = Table(
    "action",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False, doc="gapless position in the chain, from 1"),
    Column("at", Instant, nullable=False),
    Column("actor", Name, nullable=False),
    Column("action", Name, nullable=False, doc="dotted verb, e.g. change_request.approve"),
    Column("subject", Name, nullable=False, index=True, doc="kind/name or kind/id of what was acted on"),
    Column("reason", Text, nullable=False, default=""),
    Column("before", Json),
    Column("after", Json),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
)
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, doc="1: there is one chain"),
    Column("installation", String(32), nullable=False, doc="tells the checkpoints of this chain from another's"),
    Column("seq", Integer, nullable=False, doc="position of the newest action; who appends locks this row"),
    Column("hash", String(64), nullable=False),
)
audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False, doc="the action up to which it vouches"),
    Column("at", Instant, nullable=False),
    Column("body", Text, nullable=False, doc="the signed checkpoint, as it is written outside"),
    Column("written_to", Text, nullable=False, default="", doc="the places that have it; empty: none has yet"),
)

# --- access: who you are ------------------------------------------------------------------------------------------
account = Table(
    "account",
    metadata,
    Column("name", Name, primary_key=True),
    Column("display_name", Name, nullable=False),
    Column("password_hash", Text, nullable=False, doc="empty: signs in at the provider, and has no password here"),
    Column("roles", Json, nullable=False, doc="list of viewer, operator, editor, approver, admin, auditor, privacy"),
    Column("team", Name),
    Column("created_at", Instant, nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("failed_logins", Integer, nullable=False, default=0),
    Column("locked_until", Instant),
    Column("issuer", String(500), doc="of OpenID Connect; with `subject` it says who it is, whatever the name"),
    Column("subject", String(255)),
    Column("reach", Json, doc="brands, regions and domains that it is confined to; NULL: everything"),
    Index("ix_account_issuer_subject", "issuer", "subject", unique=True),
)
login_session = Table(
    "login_session",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("account", Name, ForeignKey("account.name"), nullable=False),
    Column("csrf_token", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("auth_time", Instant, doc="when its owner proved who it is; empty: the provider did not say"),
    Column("acr", String(255), doc="how well, in the provider's words"),
    Column("amr", Json, doc="by what means: list of pwd, otp, mfa …"),
)
service_token = Table(
    "service_token",
    metadata,
    Column("prefix", String(16), primary_key=True),
    Column("token_hash", String(64), nullable=False),
    Column("account", Name, ForeignKey("account.name"), nullable=False),
    Column("purpose", Name, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("scopes", Json, doc="list of rights that it is confined to; NULL: all that its account has"),
    Column("last_used_at", Instant, doc="to the minute"),
    Column(
        "reach",
        Json,
        doc="brands, regions and domains that it is confined to, within its account's; NULL: no more than that",
    ),
)

# --- api: what was answered under an idempotency key ---------------------------------------------------------------
request_key = Table(
    "request_key",
    metadata,
    Column("id", String(64), primary_key=True, doc="SHA-256 of actor, method, path and key"),
    Column("actor", Name, nullable=False),
    Column("route", Text, nullable=False, doc="method and path"),
    Column("key", Name, nullable=False),
    Column(
        "body",
        String(64),
        nullable=False,
        doc="hash under the key of the installation: the same key with another body is refused",
    ),
    Column(
        "claim", Id, nullable=False, doc="the request that works on it; one that was overtaken may not commit any more"
    ),
    Column("state", String(10), nullable=False, doc="claimed, effective (something is committed) or answered"),
    Column("at", Instant, nullable=False, index=True),
    Column("status", Integer),
    Column("headers", Json),
    Column("answer", LargeBinary),
)

# --- registry: what was promised ----------------------------------------------------------------------------------
policy_revision = Table(
    "policy_revision",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("revision", Integer, nullable=False, doc="1, 2, 3 … per kind and name"),
    Column("document", Json, nullable=False),
    Column("hash", String(64), nullable=False, doc="SHA-256 of the canonical document"),
    Column("valid_from", Instant, nullable=False),
    Column("valid_to", Instant, doc="NULL while in force"),
    Column("recorded_at", Instant, nullable=False),
    Column("author", Name, nullable=False),
    Column("origin", Name, nullable=False, doc="genesis, or change_request/<id>"),
    UniqueConstraint("kind", "name", "revision"),
)
registry_version = Table(
    "registry_version",
    metadata,
    Column("version", BigKey, primary_key=True, autoincrement=True),
    Column("recorded_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
)
change_request = Table(
    "change_request",
    metadata,
    Column("id", Id, primary_key=True),
    Column("title", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("kind", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("base_revision", Integer, doc="revision that the author started from; NULL for a new document"),
    Column("document", Json, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("author", Name, nullable=False),
    Column("last_editor", Name, nullable=False),
    Column(
        "editors", Json, nullable=False, default=list, doc="everybody who wrote on the document, the author included"
    ),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("effective_at", Instant),
    Column("applied_revision", Id, ForeignKey("policy_revision.id")),
    Column("scheduled_for", Instant, doc="when it is to be put in force by itself"),
    Column("scheduled_by", Name, doc="who scheduled it, or put it in force by break-glass"),
    Column("rolls_back", Integer, doc="the revision that it goes back to; NULL for what is no rollback"),
    Column("break_glass", Boolean, nullable=False, default=False, doc="was put in force without approval"),
    Column("reverts_at", Instant, doc="when what was put in force without approval ends by itself"),
    Column("reviewed_by", Name, doc="who looked afterwards at what was put in force without approval"),
    Column("reviewed_at", Instant, doc="NULL: after break-glass, the review is owed still"),
    Column("note", Text, nullable=False, default="", doc="what kept the plane from going on; what the review said"),
)
change_vote = Table(
    "change_vote",
    metadata,
    Column("id", Id, primary_key=True),
    Column("change_request_id", Id, ForeignKey("change_request.id"), nullable=False, index=True),
    Column("voter", Name, nullable=False),
    Column("decision", String(10), nullable=False, doc="approve or reject"),
    Column("hash", String(64), nullable=False, doc="what was approved; a vote on another hash counts for nothing"),
    Column("comment", Text, nullable=False, default=""),
    Column("at", Instant, nullable=False),
    Column("voided_at", Instant, doc="the request was edited after the vote, which counts for nothing since"),
    Column("simulation", String(64), doc="hash of the simulation that it was approved on; NULL: its kind has none"),
)
simulation = Table(
    "simulation",
    metadata,
    Column("id", Id, primary_key=True),
    Column("change_request_id", Id, ForeignKey("change_request.id"), nullable=False, index=True),
    Column("hash", String(64), nullable=False, doc="of the result: what an approval is bound to"),
    Column("document_hash", String(64), nullable=False),
    Column("inputs", String(64), nullable=False, doc="hash of the document, its base and the policies looked at"),
    Column("at", Instant, nullable=False),
    Column("since", Instant, nullable=False, doc="where the history begins that was replayed"),
    Column("until", Instant, nullable=False),
    Column("impact", Json, nullable=False, doc="figures, rows and what was not simulated"),
)

# --- connectors: how the outside stands ---------------------------------------------------------------------------
source_cursor = Table(
    "source_cursor",
    metadata,
    Column("system", Name, primary_key=True),
    Column("entity", Name, primary_key=True),
    Column("value", Json, nullable=False, doc="whatever the connector needs to go on; opaque to all others"),
    Column("read_at", Instant, nullable=False, doc="when the last complete read began"),
)
control_number = Table(
    "control_number",
    metadata,
    Column("system", Name, primary_key=True),
    Column("series", Name, primary_key=True),
    Column("key", Name, primary_key=True, doc="what bears the number"),
    Column("number", BigInteger, nullable=False),
    Column("taken_at", Instant, nullable=False),
    Column("used_at", Instant, doc="since when what bears it may have reached the system; NULL: it has not"),
    UniqueConstraint("system", "series", "number"),
)
system_state = Table(
    "system_state",
    metadata,
    Column("system", Name, primary_key=True),
    Column("blocked_until", Instant, doc="no request before this: throttled, or the breaker is open"),
    Column("blocked_reason", Text),
    Column("consecutive_failures", Integer, nullable=False, default=0),
    Column("paused_at", Instant, doc="an operator paused deliveries to this system"),
    Column("last_ok_at", Instant),
    Column("last_error", Text),
    Column("last_error_at", Instant),
    Column("tokens", Float, doc="what is left in the bucket of requests, at tokens_at"),
    Column("tokens_at", Instant),
    Column("learned_rate", Float, doc="requests a second after the system asked to slow down; NULL: as policy says"),
    Column("learned_at", Instant),
    Column(
        "release_at",
        Instant,
        doc="it answers again since: what waits out a pause of its own is due early, batch by batch",
    ),
    Column(
        "paused_for", BigKey, nullable=False, default=0, server_default="0", doc="microseconds of all pauses that ended"
    ),
)
flow_state = Table(
    "flow_state",
    metadata,
    Column("flow", Name, primary_key=True),
    Column("paused_at", Instant, doc="an operator paused the deliveries of this flow"),
    Column(
        "paused_for", BigKey, nullable=False, default=0, server_default="0", doc="microseconds of all pauses that ended"
    ),
)

# --- sync/intake: what arrived, verbatim --------------------------------------------------------------------------
intake = Table(
    "intake",
    metadata,
    Column("id", Id, primary_key=True),
    Column("system", Name, nullable=False),
    Column("channel", String(10), nullable=False, doc="webhook, poll, file, broker, api or read-back"),
    Column("topic", Name, nullable=False),
    Column("event_key", Name, nullable=False, doc="the vendor's event id, or what intake makes where there is none"),
    Column("headers", Json, nullable=False),
    Column(
        "body", LargeBinary, nullable=False, doc="the bytes as they came; where they are sealed, what people may see"
    ),
    Column("sealed", LargeBinary, doc="envelope of the bytes as they came, where something in them is personal"),
    Column("received_at", Instant, nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("state", String(12), nullable=False, doc="new, translated, ignored or quarantined"),
    Column("translated_at", Instant),
    Column("note", Text),
    UniqueConstraint("system", "event_key"),
    partial("ix_intake_new", "system", "id", where="state IN ('new')"),
    Index("ix_intake_system_received_at", "system", "received_at"),
)


# --- sync/ledger: the one account of what happened ----------------------------------------------------------------
def _fingerprint(context: Any) -> bytes:
    row = context.get_current_parameters()
    return fact(row["source"], row["dedupe_key"])


message = Table(
    "message",
    metadata,
    Column("id", Id, primary_key=True),
    Column("type", Name, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("source", Name, nullable=False, doc="the system it speaks of, or 'plane'"),
    Column("subject", Name, nullable=False, index=True, doc="the business key: SKU@LOCATION, order, shipment …"),
    Column("source_version", Name, doc="the source's own version of the subject, where it has one"),
    Column("dedupe_key", Name, nullable=False, doc="the same fact told twice has the same key"),
    Column(
        "fingerprint", LargeBinary(20), nullable=False, unique=True, default=_fingerprint, doc="source and dedupe key"
    ),
    Column("occurred_at", Instant, nullable=False),
    Column("accepted_at", Instant, nullable=False),
    Column("causation_id", Id, doc="the message that caused this one"),
    Column("intake_id", Id, doc="no foreign key: raw bytes are kept for less long than messages"),
    Column("intake_line", Integer, doc="which line of the intake's body, from 1, where it came in a batch"),
    Column("trace_id", String(32), nullable=False),
    Column("data", Json, nullable=False),
    Column("state", String(12), nullable=False, doc="accepted, processed or quarantined"),
    Column("processed_at", Instant),
    Column("registry_version", Integer, nullable=False),
    partial("ix_message_accepted", "id", where="state IN ('accepted')"),
    partial("ix_message_intake_id", "intake_id", where="intake_id IS NOT NULL"),
    partial("ix_message_causation_id", "causation_id", where="causation_id IS NOT NULL"),
    Index("ix_message_type_accepted_at", "type", "accepted_at"),
)
message_seen = Table(
    "message_seen",
    metadata,
    Column("fingerprint", LargeBinary(16), primary_key=True, doc="of a document that retention has deleted"),
    Column("id", Id, nullable=False, doc="what its message was called: told again it is known still"),
    sqlite_with_rowid=False,
)
archive = Table(
    "archive",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(10), nullable=False, doc="raw, attempts, messages or cases: what the rows belong to"),
    Column("domain", Name, nullable=False, doc="whose retention was over"),
    Column("from_id", Id, nullable=False, doc="the first id of the rows that the part is about"),
    Column("to_id", Id, nullable=False, doc="the last of them"),
    Column("rows", BigInteger, nullable=False, doc="of all tables together"),
    Column("tables", Json, nullable=False, doc="table -> rows"),
    Column("uri", Text, nullable=False, doc="folder of the part; empty: nothing was kept of the rows"),
    Column("sha256", String(64), doc="of the part's manifest, once it was read back"),
    Column("cutoff", Instant, nullable=False, doc="all that happened to the rows lies before this"),
    Column("state", String(10), nullable=False, doc="writing, written (its rows are being deleted) or done"),
    Column("at", Instant, nullable=False),
    Column("done_at", Instant),
    Column("restored_until", Instant, doc="its rows were put back, and stay until then"),
    Column("restore", Json, doc="what somebody asked to be put back and is not yet: since, until, subject, asked_by"),
    Column(
        "restored",
        Json,
        doc="what came of it the last time: at, state, rows (table -> put back), there (already), error",
    ),
)

# --- sync/processes: positions, orders, postings ------------------------------------------------------------------
product = Table(
    "product",
    metadata,
    Column("sku", Name, primary_key=True),
    Column("title", Text, nullable=False),
    Column("unit_cost", Amount),
    Column("unit_price", Amount),
    Column("currency", String(3), nullable=False),
    Column("active", Boolean, nullable=False, default=True, server_default=true(), doc="it is sold"),
    Column("updated_at", Instant, nullable=False),
    Column("message_id", Id, nullable=False),
)
stock_position = Table(
    "stock_position",
    metadata,
    Column("sku", Name, primary_key=True),
    Column("location", Name, primary_key=True),
    Column("on_hand", Integer, nullable=False),
    Column("allocated", Integer, nullable=False),
    Column("available", Integer, nullable=False),
    Column("in_transit", Integer, nullable=False),
    Column("source", Name, nullable=False),
    Column("source_at", Instant, nullable=False, doc="the source's clock; an older level never overwrites a newer"),
    Column("updated_at", Instant, nullable=False),
    Column("message_id", Id, nullable=False),
)
stock_change = Table(
    "stock_change",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("sku", Name, nullable=False),
    Column("location", Name, nullable=False),
    Column("on_hand", Integer, nullable=False),
    Column("allocated", Integer, nullable=False),
    Column("available", Integer, nullable=False),
    Column("in_transit", Integer, nullable=False),
    Column("source_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("message_id", Id, nullable=False),
    Index("ix_stock_change_key", "sku", "location", "changed_at"),
)
order_state = Table(
    "order_state",
    metadata,
    Column("ref", Name, primary_key=True, doc="the business reference, e.g. #1001"),
    Column("source", Name, nullable=False),
    Column("native_id", Name, nullable=False, doc="the shop's own id"),
    Column("state", String(24), nullable=False, index=True, doc="canonical order state"),
    Column("location", Name, nullable=False),
    Column("placed_at", Instant, nullable=False),
    Column("value", Amount, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("message_id", Id, nullable=False),
    Index("ix_order_state_placed_at", "placed_at"),
)
order_line = Table(
    "order_line",
    metadata,
    Column("order_ref", Name, ForeignKey("order_state.ref"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("sku", Name, nullable=False, index=True),
    Column("location", Name, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("shipped", Integer, nullable=False, default=0),
    Column("returned", Integer, nullable=False, default=0),
    Column("unit_price", Amount, nullable=False),
    Column("warehouse_at", Instant, doc="the warehouse's clock when it took the order; NULL until then"),
)
posting = Table(
    "posting",
    metadata,
    Column("posting_key", Name, primary_key=True, doc="document/event/rule; one posting a key, ever"),
    Column("document", Name, nullable=False, index=True),
    Column("business_date", String(10), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("lines", Json, nullable=False, doc="list of {account, debit, credit, memo}; amounts as text"),
    Column("rule_revision", Id, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("message_id", Id, nullable=False),
    Column("reverses", Name, doc="posting key that this one reverses"),
)

# --- sync/delivery: what is owed to targets, and what came of it ---------------------------------------------------
OPEN = "state IN ('pending', 'sending', 'unknown', 'quarantined')"
UNSETTLED = "coalesce AND state IN ('pending', 'sending', 'unknown', 'quarantined', 'stale')"
"""State-like deliveries that the target does not show."""
delivery = Table(
    "delivery",
    metadata,
    Column("id", Id, primary_key=True),
    Column("message_id", Id, nullable=False, index=True),
    Column("flow", Name, nullable=False),
    Column("target", Name, nullable=False),
    Column("entity", Name, nullable=False, doc="what is written, as the connector declares it"),
    Column("subject", Name, nullable=False),
    Column("order_key", Name, nullable=False, doc="deliveries of one target and order key go one after another"),
    Column("idempotency_key", Name, nullable=False, unique=True, doc="one thing that is owed, once"),
    Column("sent_key", Name, doc="the key that the target is told instead, since the payload was corrected"),
    Column("coalesce", Boolean, nullable=False, doc="state-like: only the last one matters"),
    Column("payload", Json, nullable=False),
    Column("state", String(12), nullable=False, doc="see rules.outcomes.DeliveryState"),
    Column(
        "head",
        Boolean,
        nullable=False,
        default=True,
        doc="nothing earlier of its target and order key is open: it may be claimed",
    ),
    Column("due_at", Instant, nullable=False),
    Column("deadline_at", Instant, nullable=False, doc="retry budget ends here, and later by every pause since"),
    Column(
        "pause_base",
        BigKey,
        nullable=False,
        default=0,
        doc="microseconds that system and flow had been paused for when it came to be",
    ),
    Column("promise_at", Instant, nullable=False, doc="late after this"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("lease_owner", Name),
    Column("lease_until", Instant),
    Column(
        "fence", Integer, nullable=False, default=0, doc="goes up with each claim; a late worker's write is refused"
    ),
    Column("created_at", Instant, nullable=False),
    Column("finished_at", Instant, doc="set when nothing is owed any more, by whatever ended it"),
    Column("outcome", String(20), doc="the last attempt's named outcome"),
    Column("detail", Text),
    Column("retry_revision", Id, nullable=False),
    Column("registry_version", Integer, nullable=False),
    Column("money", Amount),
    Column("currency", String(3)),
    Column("trace_id", String(32), nullable=False, default=""),
    partial("ix_delivery_due", "target", "flow", "due_at", where="head AND state IN ('pending', 'unknown')"),
    partial("ix_delivery_sending", "target", "lease_until", where="state IN ('sending')"),
    partial("ix_delivery_open", "target", "order_key", "id", where=OPEN),
    partial("ix_delivery_states", "target", "order_key", "id", where="coalesce"),
    partial("ix_delivery_unsettled", "target", "order_key", "id", where=UNSETTLED),
    partial("ix_delivery_finished_at", "finished_at", where="finished_at IS NOT NULL"),
    partial("ix_delivery_unfinished", "target", "flow", "created_at", where="finished_at IS NULL"),
)
is_open = among(delivery.c.state, "pending", "sending", "unknown", "quarantined")
"""Deliveries of which something is still owed. Put it beside any narrower condition: its index is the small one."""

is_ready = text("delivery.head AND delivery.state IN ('pending', 'unknown')")
"""Deliveries that may be claimed when they fall due, in the words of their index."""

delivery_seen = Table(
    "delivery_seen",
    metadata,
    Column(
        "fingerprint", LargeBinary(16), primary_key=True, doc="of a document's key, whose delivery retention deleted"
    ),
    Column("id", Id, nullable=False, doc="what its delivery was called: told again it is not owed again"),
    sqlite_with_rowid=False,
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", Id, primary_key=True),
    Column("delivery_id", Id, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("kind", String(10), nullable=False, doc="write, read-back, or repeat: a write again that nothing protects"),
    Column("system", Name, nullable=False),
    Column("flow", Name, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Column("evidence", Json, doc="redacted request and answer"),
    Column("retry_revision", Id, nullable=False),
    Index("ix_attempt_finished_at", "finished_at"),
    partial("ix_attempt_absent", "finished_at", where="outcome = 'absent'"),
)
target_level = Table(
    "target_level",
    metadata,
    Column("system", Name, primary_key=True),
    Column("field", Name, primary_key=True, doc="available or on_hand"),
    Column("sku", Name, primary_key=True),
    Column("location", Name, primary_key=True),
    Column("value", Integer, nullable=False, doc="what the ledger says the target shows"),
    Column("as_of", Instant, nullable=False, doc="the target's clock"),
    Column("updated_at", Instant, nullable=False),
)
target_effect = Table(
    "target_effect",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("system", Name, nullable=False),
    Column("field", Name, nullable=False),
    Column("sku", Name, nullable=False),
    Column("location", Name, nullable=False),
    Column("delta", Integer, nullable=False, doc="change of the value"),
    Column("value", Integer, nullable=False, doc="the value after it"),
    Column("earliest", Instant, nullable=False, doc="our clock: not before this"),
    Column("latest", Instant, nullable=False, doc="our clock: not after this"),
    Column("cause", String(12), nullable=False, doc="delivery, event or read"),
    Column("cause_id", Id, nullable=False),
    Index("ix_target_effect_key", "system", "field", "sku", "location", "latest"),
)

# --- sync/quarantine: what waits for a person ---------------------------------------------------------------------
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True),
    Column("stage", String(10), nullable=False, doc="intake, process or delivery"),
    Column("system", Name, nullable=False),
    Column("flow", Name, nullable=False),
    Column("reason_code", Name, nullable=False, doc="unmapped_sku, unmapped_location, schema, rejected, gave_up …"),
    Column("fault", Name, nullable=False, default="", doc="the code or field that is wrong, where there is one"),
    Column("reason", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("subject", Name, nullable=False),
    Column("record", Json, nullable=False, doc="the record as it was refused; where it is sealed, what people may see"),
    Column("record_sealed", LargeBinary, doc="envelope of the whole record, where something in it is personal"),
    Column("corrected", Json, doc="the record as a person corrected it; where it is sealed, what people may see"),
    Column("corrected_sealed", LargeBinary, doc="envelope of the whole of that, bound to the correction"),
    Column("intake_id", Id, index=True),
    Column("message_id", Id, index=True),
    Column("delivery_id", Id, index=True),
    Column("state", String(12), nullable=False, index=True, doc="waiting, corrected, replayed or dropped"),
    Column("owner", Name, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("closed_by", Name),
    Column("replayed_as", Id, index=True, doc="message or delivery that the replay made"),
    Column("previous_id", Id, index=True, doc="the case that this record was in before"),
    Column("money", Amount, doc="what the record is worth, where that is known"),
    Column("currency", String(3)),
    Column("correction_id", Id, doc="the event that made the present correction"),
    Column("needs_approval", Boolean, nullable=False, default=False, doc="of the correction, by a second person"),
    Column("approved_by", Name),
    Column("accepted", Text, doc="why a person lets it pass as it is"),
    Column("replay_at", Instant, doc="when its replay was asked for, if it was"),
    Column("replay_by", Name),
    partial("ix_quarantine_replay_at", "replay_at", where="replay_at IS NOT NULL"),
)
quarantine_event = Table(
    "quarantine_event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("case_id", Id, nullable=False, index=True, doc="no foreign key: cases may be forgotten in batches"),
    Column("at", Instant, nullable=False),
    Column("actor", Name, nullable=False),
    Column(
        "kind",
        String(12),
        nullable=False,
        doc="opened, corrected, accepted, approved, vouched, scheduled, unscheduled, refused, replayed, superseded or dropped",
    ),
    Column("before", Json, doc="the record before a correction, what is personal hashed"),
    Column("after", Json, doc="and after it"),
    Column("note", Text, nullable=False, default=""),
)

# --- sync/replay: what people asked to send again from the ledger -------------------------------------------------
replay = Table(
    "replay",
    metadata,
    Column("id", Id, primary_key=True),
    Column("flow", Name, nullable=False),
    Column("subject", Name, doc="only this business key"),
    Column("target", Name, doc="only to this target"),
    Column("since", Instant, nullable=False, doc="messages accepted from here"),
    Column("until", Instant, nullable=False, doc="to here, not included"),
    Column("rate", Float, nullable=False, doc="deliveries a second that it may add to each target, at most"),
    Column(
        "force",
        Boolean,
        nullable=False,
        default=False,
        doc="people accept that a target that guarantees nothing takes some twice",
    ),
    Column("state", String(10), nullable=False, index=True, doc="running, done or cancelled"),
    Column("cursor", Id, doc="the last message that was looked at"),
    Column("cursor_at", Instant, doc="when that was accepted"),
    Column("paced_until", Instant, doc="the next delivery is due then, or later"),
    Column("counts", Json, nullable=False, doc="target -> what became of the messages (rules.replay) -> how many"),
    Column("asked_by", Name, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("finished_at", Instant),
)

# --- jobs: what is due, and what ran ------------------------------------------------------------------------------
run = Table(
    "run",
    metadata,
    Column("id", Id, primary_key=True),
    Column("schedule", Name, nullable=False),
    Column("scheduled_for", Instant, nullable=False),
    Column("state", String(10), nullable=False, doc="requested, running, done or failed"),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("detail", Json),
    Column("owner", Name, doc="the process that runs it"),
    UniqueConstraint("schedule", "scheduled_for"),
    partial("ix_run_requested", "id", where="state IN ('requested')"),
)
lease = Table(
    "lease",
    metadata,
    Column("name", Name, primary_key=True, doc="what only one process may do at a time"),
    Column("owner", Name, nullable=False),
    Column("until", Instant, nullable=False),
)

# --- health/observations: what is known ---------------------------------------------------------------------------
sample = Table(
    "sample",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("indicator", Name, nullable=False),
    Column("labels", Json, nullable=False),
    Column("series", Name, nullable=False, doc="labels as sorted key=value text"),
    Column("at", Instant, nullable=False),
    Column("value", Float, doc="NULL: unknown, never zero"),
    Column("good", Integer, doc="for ratios: good events since the last sample"),
    Column("total", Integer, doc="for ratios: all events since the last sample"),
    Column("note", Text),
    Index("ix_sample_indicator_at", "indicator", "at"),
    Index("ix_sample_at", "at"),
)
rollup = Table(
    "rollup",
    metadata,
    Column("indicator", Name, primary_key=True),
    Column("series", Name, primary_key=True),
    Column("minute", Instant, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("unknown", Integer, nullable=False, doc="samples that said that nothing is known"),
    Column("valued", Integer, nullable=False, doc="samples with a value: the mean is total_value / valued"),
    Column("low", Float),
    Column("high", Float),
    Column("total_value", Float),
    Column("last", Float),
    Column("good", Integer),
    Column("total", Integer),
    Index("ix_rollup_minute", "minute", "indicator"),
)
comparison_run = Table(
    "comparison_run",
    metadata,
    Column("id", Id, primary_key=True),
    Column("comparison", Name, nullable=False, index=True),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("state", String(12), nullable=False, doc="requested, running, complete, partial, stopped or failed"),
    Column("trigger", Name, nullable=False, doc="schedule, or who asked"),
    Column("subjects", Json, doc="what was asked for, where it was not everything"),
    Column("keys", Integer),
    Column("agree", Integer),
    Column("in_flight", Integer),
    Column("suspected", Integer, doc="keys whose difference a second reading has not confirmed yet"),
    Column("drift", Integer),
    Column("indeterminate", Integer),
    Column("accepted", Integer, doc="keys whose drift people live with"),
    Column("skipped", Integer, doc="keys that were not looked at, because the budget was spent"),
    Column("unread", Json, doc="sides that could not be read, with the reason"),
    Column("said", Json, doc="why it stopped; what it proved of a side as a whole"),
    Column("registry_version", Integer, nullable=False),
    Index("ix_comparison_run_latest", "comparison", "state", "finished_at"),
)
finding = Table(
    "finding",
    metadata,
    Column("id", Id, primary_key=True),
    Column("comparison", Name, nullable=False),
    Column("subject", Name, nullable=False, doc="the business key: SKU@location, the order's reference …"),
    Column("field", Name, nullable=False, default="", doc="of what: on_hand, state, price …"),
    Column("side", Name, nullable=False, doc="the system that is wrong"),
    Column("cause", String(24), nullable=False, doc="see rules.comparison.causes"),
    Column("state", String(12), nullable=False, index=True, doc="suspected, open, healing, healed, closed, accepted"),
    Column("first_seen_at", Instant, nullable=False),
    Column("confirmed_at", Instant),
    Column("closed_at", Instant),
    Column("changed_at", Instant, doc="when its value moved last"),
    Column("accepted_by", Name, doc="who lives with it; until its value moves"),
    Column("note", Text, doc="why"),
    Column("expected", Json, nullable=False, doc="admissible values: numbers, or text (a state, an exact decimal)"),
    Column("actual", Json, doc="what the side shows, the same way; NULL: it does not have the key"),
    Column("money", Amount),
    Column("currency", String(3)),
    Column("explanation", Text, nullable=False),
    Column("evidence", Json, nullable=False, doc="rows, read intervals, messages, deliveries"),
    Column("message_id", Id),
    Column("run_id", Id, ForeignKey("comparison_run.id"), nullable=False),
    Column("registry_version", Integer, nullable=False),
    Index("ix_finding_key", "comparison", "subject", "side"),
)
finding_event = Table(
    "finding_event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("finding_id", Id, ForeignKey("finding.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(12), nullable=False, doc="opened, moved, accepted, reopened, healing, healed or closed"),
    Column("actor", Name, nullable=False),
    Column("note", Text, nullable=False, default=""),
)
heal = Table(
    "heal",
    metadata,
    Column("id", Id, primary_key=True),
    Column("finding_id", Id, ForeignKey("finding.id"), nullable=False, index=True),
    Column("comparison", Name, nullable=False),
    Column("state", String(10), nullable=False, doc="waiting for a second person, done or refused"),
    Column("units", Integer, nullable=False),
    Column("money", Amount),
    Column("currency", String(3)),
    Column("asked_at", Instant, nullable=False),
    Column("asked_by", Name, nullable=False, doc="a person, or the comparison by itself"),
    Column("reason", Text, nullable=False, default=""),
    Column("done_at", Instant),
    Column("approved_by", Name),
    Index("ix_heal_done", "comparison", "done_at"),
)

# --- health/evaluation: what it means -----------------------------------------------------------------------------
verdict = Table(
    "verdict",
    metadata,
    Column("id", Id, primary_key=True),
    Column("service_level", Name, nullable=False),
    Column("at", Instant, nullable=False),
    Column("state", String(12), nullable=False, doc="meeting, at_risk, breached or unknown"),
    Column("attainment", Float, doc="share of good, over the window; NULL when unknown"),
    Column("budget_left", Float, doc="signed share of the error budget"),
    Column("coverage", Float, nullable=False),
    Column("tiers", Json, nullable=False, doc="per tier: long and short burn rate and coverage, firing"),
    Column("policy_revision", Id, nullable=False),
    Index("ix_verdict_service_level_at", "service_level", "at"),
)

# --- health/incidents: what people are told -----------------------------------------------------------------------
incident = Table(
    "incident",
    metadata,
    Column("id", Id, primary_key=True),
    Column("fingerprint", Name, nullable=False, index=True),
    Column("open_key", Name, unique=True, doc="the fingerprint while open, NULL afterwards: one open incident each"),
    Column("title", Text, nullable=False),
    Column("severity", String(10), nullable=False, doc="page or ticket"),
    Column("state", String(14), nullable=False, index=True, doc="open, acknowledged or resolved"),
    Column("rule", Name, nullable=False, doc="what raised it: service_level/NAME or alert_rule/NAME"),
    Column("owner", Name, nullable=False, doc="team"),
    Column("cause", Text, nullable=False),
    Column("money_at_risk", Amount),
    Column("currency", String(3)),
    Column("opened_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("acknowledged_at", Instant),
    Column("acknowledged_by", Name),
    Column("resolved_at", Instant),
    Column("escalation_level", Integer, nullable=False, default=0),
    Column("next_escalation_at", Instant),
    Column("labels", Json, nullable=False),
    Column("policy_revision", Id, nullable=False),
)
incident_event = Table(
    "incident_event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("incident_id", Id, ForeignKey("incident.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(20), nullable=False, doc="opened, updated, notified, acknowledged, escalated, resolved"),
    Column("actor", Name, nullable=False),
    Column("note", Text, nullable=False, default=""),
    Column("message_id", Id, doc="the notification, when one was sent"),
)
