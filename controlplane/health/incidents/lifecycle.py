"""From verdicts to incidents: one open incident per fingerprint, told, escalated, and resolved when the evidence says so.

Every step is one conditional write, so evaluating twice, or in two processes, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select, update

from controlplane import audit
from controlplane.clock import Clock
from controlplane.errors import ConflictError, NotFoundError
from controlplane.health.evaluation import Verdict
from controlplane.health.incidents.cause import explain
from controlplane.health.incidents.escalation import escalate
from controlplane.health.incidents.exposure import money_at_risk
from controlplane.health.incidents.inhibition import inhibited
from controlplane.health.incidents.notify import log, notifications, send
from controlplane.registry import Snapshot
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.upsert import insert_new
from rules.ids import new_id

OPEN = "open"
ACKNOWLEDGED = "acknowledged"
RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an incident now: cause in words, and the upper bound of the money at risk."""

    cause: str
    money: Decimal | None
    currency: str | None


def reconcile(store: Store, snapshot: Snapshot, clock: Clock, verdicts: Sequence[Verdict], url: str) -> None:
    """Open, refresh, notify, escalate and resolve incidents by the verdicts. `url` is where people reach the plane."""
    by_fingerprint = {verdict.fingerprint: verdict for verdict in verdicts}
    with store.read() as conn:
        open_now = {row.fingerprint for row in _open_rows(conn)}
        facts = {
            fingerprint: _facts(conn, verdict, clock.now())
            for fingerprint, verdict in by_fingerprint.items()
            if verdict.firing or (verdict.firing is None and fingerprint in open_now)
        }
    if not facts and not open_now:
        return
    with store.write() as conn:
        for fingerprint in facts.keys() - open_now:
            _open(conn, clock, by_fingerprint[fingerprint], facts[fingerprint])
        rows = _open_rows(conn)
        for row in rows:
            _follow(conn, clock, snapshot, row, by_fingerprint.get(row.fingerprint), facts, url)
        _tell(conn, clock, snapshot, url)


def acknowledge(store: Store, clock: Clock, incident_id: str, actor: str) -> None:
    """Note that somebody has taken the incident on: escalation stops until the acknowledgement expires.

    Raises NotFoundError, and ConflictError when it is not open any more.
    """
    with store.write() as conn:
        i = t.incident.c
        values = {"state": ACKNOWLEDGED, "acknowledged_at": clock.now(), "acknowledged_by": actor}
        changed = conn.execute(
            update(t.incident)
            .where(i.id == incident_id, i.state == OPEN)
            .values(**values, updated_at=clock.now(), next_escalation_at=None)
        )
        if changed.rowcount != 1:
            _refuse(conn, incident_id)
        log(conn, clock, incident_id, "acknowledged", actor=actor)
        audit.record(conn, clock, actor=actor, action="incident.acknowledge", subject=f"incident/{incident_id}")


def count_open(store: Store) -> int:
    """Return how many incidents are open or acknowledged."""
    with store.read() as conn:
        return len(_open_rows(conn))


def _refuse(conn: Connection, incident_id: str) -> None:
    state = conn.scalar(select(t.incident.c.state).where(t.incident.c.id == incident_id))
    if state is None:
        raise NotFoundError(f"no incident '{incident_id}'; list them with GET /api/v1/incidents")
    raise ConflictError(f"incident '{incident_id}' is {state}; only an open one can be acknowledged")


def _open_rows(conn: Connection) -> Sequence[Any]:
    return conn.execute(select(t.incident).where(t.incident.c.open_key.is_not(None)).order_by(t.incident.c.id)).all()


def _facts(conn: Connection, verdict: Verdict, now: datetime) -> Facts:
    risks = money_at_risk(conn, verdict, now)
    cause = explain(conn, verdict, now)
    if not risks:
        return Facts(cause, None, None)
    worth = ", ".join(str(risk) for risk in risks)
    return Facts(f"{cause}. At risk: {worth}", risks[0].high, risks[0].currency)


def _open(conn: Connection, clock: Clock, verdict: Verdict, facts: Facts) -> None:
    now = clock.now()
    row = {
        "id": new_id(now),
        "fingerprint": verdict.fingerprint,
        "open_key": verdict.fingerprint,
        "title": verdict.title,
        "severity": verdict.severity,
        "state": OPEN,
        "rule": verdict.rule,
        "owner": verdict.owner,
        "cause": facts.cause,
        "money_at_risk": facts.money,
        "currency": facts.currency,
        "opened_at": now,
        "updated_at": now,
        "escalation_level": 0,
        "labels": {**verdict.labels, "indicator": verdict.indicator},
        "policy_revision": verdict.policy_revision,
    }
    if verdict.firing and insert_new(conn, t.incident, [row]):
        log(conn, clock, str(row["id"]), "opened", note=facts.cause)


def _follow(
    conn: Connection,
    clock: Clock,
    snapshot: Snapshot,
    row: Any,
    verdict: Verdict | None,
    facts: Mapping[str, Facts],
    url: str,
) -> None:
    if verdict is None:
        if not _still_promised(snapshot, row.rule):
            _resolve(conn, clock, snapshot, row, "the rule is not in the registry any more", url)
    elif verdict.firing is False:
        _resolve(conn, clock, snapshot, row, verdict.reason, url)
    elif row.fingerprint in facts:
        _refresh(conn, clock, row, verdict, facts[row.fingerprint])


def _still_promised(snapshot: Snapshot, rule: str) -> bool:
    kind, name = rule.split("/", 1)
    return name in (snapshot.service_levels if kind == "service_level" else snapshot.alert_rules)


def _refresh(conn: Connection, clock: Clock, row: Any, verdict: Verdict, facts: Facts) -> None:
    """Keep cause and money up to date; only a rise from ticket to page is told anew."""
    risen = verdict.severity == "page" and row.severity == "ticket"
    if facts == Facts(row.cause, row.money_at_risk, row.currency) and not risen:
        return
    values: dict[str, Any] = {"cause": facts.cause, "money_at_risk": facts.money, "currency": facts.currency}
    if risen:
        values |= {"severity": "page", "next_escalation_at": clock.now()}
        log(conn, clock, row.id, "updated", note="from ticket to page")
    conn.execute(update(t.incident).where(t.incident.c.id == row.id).values(**values, updated_at=clock.now()))


def _resolve(conn: Connection, clock: Clock, snapshot: Snapshot, row: Any, why: str, url: str) -> None:
    now = clock.now()
    done = {"state": RESOLVED, "open_key": None, "resolved_at": now, "updated_at": now, "next_escalation_at": None}
    mine = (t.incident.c.id == row.id, t.incident.c.open_key.is_not(None))
    if conn.execute(update(t.incident).where(*mine).values(**done)).rowcount != 1:
        return
    message_id = None
    if notifications(conn, row.id):
        message_id = send(conn, clock, row, "resolve", team=row.owner, url=url, version=snapshot.version)
    log(conn, clock, row.id, "resolved", note=why, message_id=message_id)


def _tell(conn: Connection, clock: Clock, snapshot: Snapshot, url: str) -> None:
    """Send what is owed: the first notification unless inhibited, then whatever the escalation path says."""
    rows = _open_rows(conn)
    for row in rows:
        if inhibited(row, rows):
            continue
        step = escalate(conn, clock, snapshot, row, first=not notifications(conn, row.id))
        if step is not None:
            message_id = send(conn, clock, row, "trigger", team=step.team, url=url, version=snapshot.version)
            log(conn, clock, row.id, step.kind, note=step.note, message_id=message_id)
