"""What somebody who is confined to a part of the retailer may read of each table: one condition a table, the same on both databases.

`in_reach(kind, name)` holds the names that are in sight in this transaction (`rules.reach.Sight.lists`); without any, nothing is.
On PostgreSQL the conditions are policies of row-level security, which bind the role `ROLE` and nobody who owns the tables
(migration 0020); on SQLite they are temporary views in front of the tables, on connections of their own. A subquery on
another table sees only what is in sight of that, on either.
"""
# ruff: noqa: S608 - nothing of the text comes from outside

from __future__ import annotations

from collections.abc import Mapping

ROLE = "trueup_web"
"""PostgreSQL: the role that reads for confined people."""
SETTING = "trueup.in_reach"
"""PostgreSQL: the names in sight, as a JSON object of lists, for one transaction."""


def _names(kind: str, column: str) -> str:
    return f"{column} IN (SELECT name FROM in_reach WHERE kind = '{kind}')"


def _open(kind: str, column: str) -> str:
    """Of a name that may be open altogether. No subquery leans on the row, so that each is asked once."""
    return f"(EXISTS (SELECT 1 FROM in_reach WHERE kind = '{kind}' AND name = '*') OR {_names(kind, column)})"


def _domain(name: str) -> str:
    return _open("domain", f"'{name}'")


def _policy(table: str) -> str:
    return _names("policy", f"{table}.kind || '/' || {table}.name")


def _clean(column: str, quote: str = '"') -> str:
    """Nothing that is out of sight is named in a text: of JSON as a whole value, elsewhere anywhere."""
    found = f"{{find}}(CAST({column} AS TEXT), '{quote}' || name || '{quote}') > 0"
    return f"NOT EXISTS (SELECT 1 FROM in_reach WHERE kind = 'hidden' AND {found})"


def _mentions(column: str, *kinds: str) -> str:
    told = ", ".join(f"'{kind}'" for kind in kinds)
    return f"EXISTS (SELECT 1 FROM in_reach WHERE kind IN ({told}) AND {{find}}(CAST({column} AS TEXT), '\"' || name || '\"') > 0)"


def _of(table: str, key: str, column: str) -> str:
    """A row that hangs on a row of another table is in sight with that."""
    return f"EXISTS (SELECT 1 FROM {table} AS whose WHERE whose.{key} = {column})"


def _if_any(table: str, key: str, column: str) -> str:
    return f"({column} IS NULL OR {_of(table, key, column)})"


_SET = "EXISTS (SELECT 1 FROM in_reach)"
_ALL_TYPES = "EXISTS (SELECT 1 FROM in_reach WHERE kind = 'type' AND name = '*')"
_OWED = (
    f"EXISTS (SELECT 1 FROM {{owed}} AS owed WHERE {_names('system', 'owed.target')} AND {_names('flow', 'owed.flow')})"
)
"""Of what the plane made of itself, and not of a message: it is owed to somebody who is in sight, in a flow that is."""
CONDITIONS: Mapping[str, str] = {
    # registry
    "policy_revision": f"{_policy('policy_revision')} AND {_clean('policy_revision.document')}",
    "registry_version": "1 = 1",
    "change_request": (
        f"({_policy('change_request')} OR {_mentions('change_request.document', 'whole')}) "
        f"AND {_clean('change_request.document')}"
    ),
    "change_vote": _of("change_request", "id", "change_vote.change_request_id"),
    "simulation": f"{_of('change_request', 'id', 'simulation.change_request_id')} AND {_clean('simulation.impact')}",
    "action": (
        "action.subject LIKE 'change_request/%' "
        f"AND {_of('change_request', 'id', 'substr(action.subject, 16)')} "
        f"AND {_clean('action.before')} AND {_clean('action.after')} AND {_clean('action.reason', '')}"
    ),
    # connectors
    "source_cursor": _names("system", "source_cursor.system"),
    "system_state": _names("system", "system_state.system"),
    "flow_state": _names("flow", "flow_state.flow"),
    # intake, ledger
    "intake": (
        f"intake.topic <> 'messages/batch' AND {_names('system', 'intake.system')} "
        f"AND ({_ALL_TYPES} OR {_of('message', 'intake_id', 'intake.id')})"
    ),
    "message": (
        f"{_open('type', 'message.type')} AND ({_names('system', 'message.source')} OR (message.source = 'plane' "
        f"AND {_clean('message.data')} AND ({_names('system', '{cause}')} OR ({{cause}} IS NULL AND {_OWED}))))"
    ),
    # processes
    "product": f"{_domain('products')} AND {_of('message', 'id', 'product.message_id')}",
    "stock_position": f"{_domain('inventory')} AND {_names('system', 'stock_position.source')}",
    "stock_change": f"{_domain('inventory')} AND {_of('message', 'id', 'stock_change.message_id')}",
    "order_state": f"{_domain('orders')} AND {_names('system', 'order_state.source')}",
    "order_line": _of("order_state", "ref", "order_line.order_ref"),
    "posting": f"{_domain('finance')} AND {_of('message', 'id', 'posting.message_id')}",
    # delivery
    "delivery": (
        f"{_names('system', 'delivery.target')} AND {_names('flow', 'delivery.flow')} AND {_of('message', 'id', 'delivery.message_id')}"
    ),
    "attempt": _of("delivery", "id", "attempt.delivery_id"),
    "target_level": f"{_domain('inventory')} AND {_names('system', 'target_level.system')}",
    "target_effect": f"{_domain('inventory')} AND {_names('system', 'target_effect.system')}",
    # quarantine, replay
    "quarantine": (
        f"{_names('system', 'quarantine.system')} AND ({_names('flow', 'quarantine.flow')} OR (quarantine.flow = '' AND {_ALL_TYPES})) "
        f"AND {_if_any('message', 'id', 'quarantine.message_id')} AND {_if_any('delivery', 'id', 'quarantine.delivery_id')} "
        f"AND {_if_any('intake', 'id', 'quarantine.intake_id')}"
    ),
    "quarantine_event": _of("quarantine", "id", "quarantine_event.case_id"),
    "replay": (
        f"{_names('flow', 'replay.flow')} AND (replay.target IS NULL OR {_names('system', 'replay.target')}) AND {_clean('replay.counts')}"
    ),
    # health
    "sample": "{about}",
    "rollup": "{about}",
    "comparison_run": _names("comparison", "comparison_run.comparison"),
    "finding": f"{_names('comparison', 'finding.comparison')} AND {_names('system', 'finding.side')}",
    "finding_event": _of("finding", "id", "finding_event.finding_id"),
    "heal": _of("finding", "id", "heal.finding_id"),
    "verdict": _names("policy", "'ServiceLevel/' || verdict.service_level"),
    "incident": (
        f"{_mentions('incident.labels', 'system', 'flow', 'comparison')} AND {_clean('incident.labels')} "
        f"AND {_clean('incident.title', '')} AND {_clean('incident.cause', '')}"
    ),
    "incident_event": f"{_of('incident', 'id', 'incident_event.incident_id')} AND {_clean('incident_event.note', '')}",
}  # fmt: skip
"""Table -> which of its rows are in sight."""
CLOSED: Mapping[str, str] = {
    "audit_head": "the chain is one over everything",
    "audit_checkpoint": "the chain is one over everything",
    "account": "accounts are looked after by admins whose reach is everything",
    "login_session": "only the gate reads it, before it knows who asks",
    "service_token": "only the gate reads it, before it knows who asks",
    "request_key": "only the plane itself reads it",
    "message_seen": "fingerprints that name no system",
    "delivery_seen": "fingerprints that name no system",
    "archive": "a part of the archive holds the rows of every system",
    "control_number": "only the connector that counts by it reads it",
    "run": "the plane's own jobs",
    "lease": "the plane's own jobs",
}
"""Table -> why nothing of it is in sight of whoever is confined."""
VEILED: Mapping[str, tuple[str, ...]] = {"registry_version": ("reason",)}
"""Table -> columns that are not told: they may name anything."""
_ABOUT = "SELECT name FROM in_reach WHERE kind IN ('system', 'flow', 'comparison')"
_PARTS = "SELECT 1 FROM unnest(string_to_array(series, ',')) AS part WHERE split_part(part, '=', 2)"
_PART = "instr(',' || series || ',', '=' || name || ',') > 0"
_DIALECTS = {
    "postgresql": {
        "find": "strpos",
        "cause": "trueup_cause(message.id)",
        "owed": "trueup_owed(message.id)",
        "about": f"EXISTS ({_PARTS} IN ({_ABOUT})) AND NOT EXISTS ({_PARTS} IN (SELECT name FROM in_reach WHERE kind = 'hidden'))",
    },
    "sqlite": {
        "find": "instr",
        "about": f"EXISTS ({_ABOUT} AND {_PART}) AND NOT EXISTS (SELECT 1 FROM in_reach WHERE kind = 'hidden' AND {_PART})",
        "owed": "(SELECT d.flow, d.target FROM main.delivery AS d WHERE d.message_id = message.id)",
        "cause": (
            "(WITH RECURSIVE up(source, cause, depth) AS (SELECT message.source, message.causation_id, 0 UNION ALL "
            "SELECT m.source, m.causation_id, up.depth + 1 FROM main.message AS m JOIN up ON m.id = up.cause "
            "WHERE up.source = 'plane' AND up.depth < 32) SELECT source FROM up WHERE source <> 'plane' LIMIT 1)"
        ),
    },
}


def condition(table: str, dialect: str) -> str:
    """Return the condition of a table in the words of a database; of a closed one, one that nothing meets."""
    if table not in CONDITIONS:
        return "1 = 0"
    return f"{_SET} AND " + CONDITIONS[table].format(**_DIALECTS[dialect])
