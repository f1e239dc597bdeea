"""Healing, as far as it is known and decided: limits, what was healed today, what people asked for and agreed to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from controlplane.clock import Clock
from controlplane.errors import ConflictError, ForbiddenError, NotFoundError
from controlplane.health.observations import findings
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from rules.accounting import business_date
from rules.comparison.explain import Cause
from rules.comparison.healing import HEALABLE, Candidate, Decision, Spent, overwrites_the_record, plan
from rules.comparison.value import distance
from rules.ids import new_id
from rules.policy.kinds import CalendarSpec, Comparison

BY_ITSELF = "comparison"
LONGEST_DAY = timedelta(hours=50)


def preview(connection: Connection, clock: Clock, snapshot: Snapshot, name: str) -> list[dict[str, Any]]:
    """Say of each open finding what healing would do now, and why not; nothing is changed. Raises NotFoundError."""
    if name not in snapshot.comparisons:
        known = ", ".join(snapshot.comparisons) or "none"
        raise NotFoundError(f"no comparison '{name}' in the registry; there are: {known}")
    rows = {row.id: row for row in open_findings(connection, name)}
    decisions = decide(connection, clock, snapshot, snapshot.comparisons[name], list(rows.values()))
    return [_foretold(rows[one.candidate.id], one) for one in decisions]


def _foretold(row: Row[Any], decision: Decision) -> dict[str, Any]:
    one = decision.candidate
    return {
        "finding": row.id, "subject": row.subject, "side": row.side, "cause": row.cause, "from": row.actual,
        "to": row.expected, "units": one.units, "money": None if one.money is None else str(one.money),
        "currency": row.currency, "heals": not decision.why, "why": decision.why,
    }  # fmt: skip


def decide(
    connection: Connection, clock: Clock, snapshot: Snapshot, policy: Comparison, rows: Sequence[Row[Any]]
) -> list[Decision]:
    """Decide of open findings what may be healed now."""
    h = t.heal.c
    approved = select(h.finding_id).where(h.comparison == policy.name, h.state == "approved")
    agreed = set(connection.execute(approved).scalars())
    candidates = [
        Candidate(row.id, _units(row), row.money, remedied(row), row.id in agreed, _against(snapshot, policy, row))
        for row in rows
    ]
    calendar = _calendar(snapshot, policy)
    now = clock.now()
    return plan(policy.spec.heal, candidates, _spent(connection, policy.name, calendar, now), _frozen(calendar, now))


def ask(connection: Connection, clock: Clock, snapshot: Snapshot, finding_id: str, actor: str, reason: str) -> str:
    """Ask for healing that is beyond the policy's limits; return its id. Another person agrees.

    Raises NotFoundError, ConflictError.
    """
    row = findings.get(connection, finding_id)
    policy = snapshot.comparisons.get(row.comparison)
    why = _refusal(row, None if policy is None else _against(snapshot, policy, row))
    if why:
        raise ConflictError(f"finding '{finding_id}' cannot be healed: {why}")
    if _waiting(connection, finding_id, ("waiting", "approved")) is not None:
        raise ConflictError(f"healing of finding '{finding_id}' has been asked for; another person agrees to it")
    now = clock.now()
    made = {
        "id": new_id(now), "finding_id": finding_id, "comparison": row.comparison, "state": "waiting",
        "units": _units(row), "money": row.money, "currency": row.currency, "asked_at": now, "asked_by": actor,
        "reason": reason,
    }  # fmt: skip
    connection.execute(insert(t.heal).values(**made))
    return str(made["id"])


def _refusal(row: Row[Any], against: str | None) -> str:
    if row.state != "open":
        return f"it is {row.state}, and only what is open is healed"
    if remedied(row) not in HEALABLE:
        return f"what is {row.cause.replace('_', ' ')} is not mended by driving the flow again"
    return "its comparison is not in the registry any more" if against is None else against


def approve(connection: Connection, finding_id: str, actor: str) -> Row[Any]:
    """Agree to healing that somebody else asked for; return the finding, to be read again and healed.

    Raises NotFoundError, ConflictError, and ForbiddenError for whoever asked for it.
    """
    row = findings.get(connection, finding_id)
    waits = _waiting(connection, finding_id, ("waiting",))
    if waits is None:
        raise ConflictError(f"nobody has asked for the healing of finding '{finding_id}'; ask for it first")
    if waits.asked_by == actor:
        raise ForbiddenError(f"{actor} asked for this healing; it takes another person to agree to it")
    values = {"state": "approved", "approved_by": actor}
    connection.execute(update(t.heal).where(t.heal.c.id == waits.id).values(**values))
    return row


def note(connection: Connection, clock: Clock, row: Row[Any]) -> None:
    """Write down that a finding is being healed, by itself or because people said so."""
    now = clock.now()
    connection.execute(update(t.finding).where(t.finding.c.id == row.id).values(state="healing"))
    waits = _waiting(connection, row.id, ("approved",))
    who = BY_ITSELF if waits is None else f"{waits.asked_by}, {waits.approved_by}"
    if waits is not None:
        connection.execute(update(t.heal).where(t.heal.c.id == waits.id).values(state="done", done_at=now))
    else:
        made = {
            "id": new_id(now), "finding_id": row.id, "comparison": row.comparison, "state": "done",
            "units": _units(row), "money": row.money, "currency": row.currency, "asked_at": now,
            "asked_by": BY_ITSELF, "done_at": now,
        }  # fmt: skip
        connection.execute(insert(t.heal).values(**made))
    findings.tell(connection, clock, row.id, "healing", who)


def _waiting(connection: Connection, finding_id: str, states: Sequence[str]) -> Row[Any] | None:
    h = t.heal.c
    query = select(t.heal).where(h.finding_id == finding_id, h.state.in_(states)).order_by(h.id.desc()).limit(1)
    return connection.execute(query).one_or_none()


def open_findings(connection: Connection, comparison: str) -> Sequence[Row[Any]]:
    """Return the open findings of a comparison."""
    c = t.finding.c
    mine = select(t.finding).where(c.comparison == comparison, c.state == "open").order_by(c.id)
    return connection.execute(mine).all()


# --- what policy says ---


def _calendar(snapshot: Snapshot, policy: Comparison) -> CalendarSpec:
    found = snapshot.calendars.get(policy.spec.heal.calendar or "")
    return found.spec if found else CalendarSpec()


def _frozen(calendar: CalendarSpec, now: datetime) -> str:
    for since, until in calendar.freezes:
        if datetime.fromisoformat(since) <= now < datetime.fromisoformat(until):
            return f"the calendar freezes healing until {until}"
    return ""


def _spent(connection: Connection, comparison: str, calendar: CalendarSpec, now: datetime) -> Spent:
    """Return what was healed by itself on this business day."""
    h = t.heal.c
    query = select(h.done_at, h.units, h.money).where(
        h.comparison == comparison, h.done_at > now - LONGEST_DAY, h.asked_by == BY_ITSELF
    )
    today = business_date(now, calendar.zone, calendar.day_starts)
    mine = [
        row for row in connection.execute(query)
        if business_date(row.done_at, calendar.zone, calendar.day_starts) == today
    ]  # fmt: skip
    worth = sum((row.money or Decimal(0) for row in mine), Decimal(0))
    return Spent(len(mine), sum(row.units for row in mine), worth)


def _against(snapshot: Snapshot, policy: Comparison, row: Row[Any]) -> str:
    """Why the side that drifted is not overwritten. Reading the source again overwrites nothing."""
    location = row.subject.rpartition("@")[2]
    if row.side == policy.spec.source_of(location):
        return ""
    side = next((side for side in policy.spec.sides if side.system == row.side), None)
    if side is None:
        return f"{row.side} is no side of the comparison any more"
    domain = snapshot.domains.get(policy.spec.domain)
    ownership = domain.spec.entities.get("stock") if domain else None
    return overwrites_the_record(ownership, row.side, side.field, location)


def remedied(row: Row[Any]) -> Cause:
    """The cause as healing sees it: late with nothing on its way needs a delivery, as if it had never been received."""
    return Cause.NEVER_RECEIVED if row.cause == Cause.LATE and row.message_id is None else Cause(row.cause)


def _units(row: Row[Any]) -> int:
    found = distance(row.actual, row.expected)
    return 0 if found is None else int(found)
