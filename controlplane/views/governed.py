"""What governed something: the revisions of policies that a message, a delivery, a verdict, a posting … was made under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from controlplane.errors import NotFoundError
from controlplane.registry import revisions
from controlplane.store import tables as t

Policy = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Governed:
    """What was in force for one row."""

    what: str
    id: str
    registry_version: int | None
    """None for what keeps the revision itself, and no version of the whole."""
    policies: list[Policy]
    """Each a whole revision, with `as`: what it was for."""
    deliveries: list[str]
    """Of a message: what was owed for it. Each was made under a version of its own; ask for it by its id."""


def governed(conn: Connection, what: str, identity: str) -> Governed:
    """Return what governed a row. Raises NotFoundError naming the kinds of row, or that there is no such row."""
    if what not in _READERS:
        raise NotFoundError(f"'{what}' is nothing that policies govern; ask for one of: {', '.join(sorted(_READERS))}")
    found = _READERS[what](conn, what, identity)
    if found is None:
        raise NotFoundError(f"there is no {what} '{identity}'; retention may have taken it")
    return found


def _row(conn: Connection, query: Any) -> Any:
    return conn.execute(query).mappings().one_or_none()


def _by_id(conn: Connection, revision: str, role: str) -> Policy:
    return {"as": role, **revisions.by_id(conn, revision)}


def _message(conn: Connection, what: str, identity: str) -> Governed | None:
    row = _row(conn, select(t.message).where(t.message.c.id == identity))
    if row is None:
        return None
    known = revisions.of_version(conn, row["registry_version"])
    flows = [one for one in known if one["kind"] == "Flow" and _carries(one["document"]["spec"], row)]
    wanted = {("System", row["source"]): "source"}
    for flow in flows:
        wanted |= {("Flow", flow["name"]): "flow", ("Domain", flow["document"]["spec"]["domain"]): "blueprint"}
    if row["intake_id"] is not None:
        wanted |= _mappings(known, row["source"])
    policies = [*_chosen(known, wanted), *_rule(conn, row)]
    d = t.delivery.c
    owed = list(conn.execute(select(d.id).where(d.message_id == identity).order_by(d.id)).scalars())
    return Governed(what, identity, row["registry_version"], policies, owed)


def _mappings(known: list[dict[str, Any]], system: str) -> dict[tuple[str, str], str]:
    """The translations of a system's codes: by them what it tells and what it is told becomes ours and theirs."""
    mine = (one for one in known if one["kind"] == "Mapping" and one["document"]["spec"]["system"] == system)
    return {("Mapping", one["name"]): "mapping" for one in mine}


def _rule(conn: Connection, row: Mapping[str, Any]) -> list[Policy]:
    """The rule that the plane made a message by: it stands in the message itself."""
    revision = row["data"].get("rule_revision")
    role = _MADE_BY.get(row["type"])
    if revision is None or role is None:
        return []
    try:
        return [_by_id(conn, revision, role)]
    except NotFoundError:
        return []  # a drill's, which no policy made


def _carries(spec: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    return bool(spec["source"] == message["source"] and message["type"] in spec["message_types"])


def _chosen(known: list[dict[str, Any]], wanted: Mapping[tuple[str, str], str]) -> list[Policy]:
    return [{"as": wanted[one["kind"], one["name"]], **one} for one in known if (one["kind"], one["name"]) in wanted]


def _delivery(conn: Connection, what: str, identity: str) -> Governed | None:
    row = _row(conn, select(t.delivery).where(t.delivery.c.id == identity))
    if row is None:
        return None
    known = revisions.of_version(conn, row["registry_version"])
    wanted = {("Flow", row["flow"]): "flow", ("System", row["target"]): "target", **_mappings(known, row["target"])}
    policies = _chosen(known, wanted)
    policies.append(_by_id(conn, row["retry_revision"], "retry"))
    return Governed(what, identity, row["registry_version"], policies, [])


def _ruled(conn: Connection, what: str, identity: str) -> Governed | None:
    """Of what keeps the revision that it was made under."""
    key, revision, role = _RULED[what]
    found = conn.execute(select(revision).where(key == identity)).scalar_one_or_none()
    return None if found is None else Governed(what, identity, None, [_by_id(conn, found, role)], [])


def _compared(conn: Connection, what: str, identity: str) -> Governed | None:
    c = _COMPARED[what].c
    row = _row(conn, select(c.comparison, c.registry_version).where(c.id == identity))
    if row is None:
        return None
    policies = _chosen(
        revisions.of_version(conn, row["registry_version"]), {("Comparison", row["comparison"]): "comparison"}
    )
    return Governed(what, identity, row["registry_version"], policies, [])


_MADE_BY = {
    "stock.offer": "allocation rule", "posting.made": "accounting rule", "tax.asked": "accounting rule",
}  # fmt: skip
"""Type of message -> what the revision was for that it names."""
_RULED = {
    "attempt": (t.attempt.c.id, t.attempt.c.retry_revision, "retry"),
    "verdict": (t.verdict.c.id, t.verdict.c.policy_revision, "service level"),
    "incident": (t.incident.c.id, t.incident.c.policy_revision, "rule"),
    "posting": (t.posting.c.posting_key, t.posting.c.rule_revision, "accounting rule"),
}
"""Kind of row -> its key, the revision it keeps, what that was for."""
_COMPARED = {"finding": t.finding, "comparison": t.comparison_run}
_READERS: dict[str, Callable[[Connection, str, str], Governed | None]] = {
    "message": _message, "delivery": _delivery, **dict.fromkeys(_RULED, _ruled), **dict.fromkeys(_COMPARED, _compared),
}  # fmt: skip
