"""Whether the plane can do its work now: each check says what it saw, and what is wrong when something is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from controlplane.clock import Clock
from controlplane.registry import Snapshot
from controlplane.store import Store
from controlplane.store import tables as t

HEARTBEAT = timedelta(seconds=90)
OVERDUE = timedelta(minutes=10)
JUDGING = "evaluate"
"""The schedule that judges service levels and alert rules."""

Checks = dict[str, dict[str, Any]]


def ready(store: Store, clock: Clock, snapshot: Snapshot) -> tuple[bool, Checks]:
    """Return whether all checks are well, and each check as {ok, detail}: database, registry, ticker, work, judging."""
    checks: Checks = {"registry": _registry(snapshot)}
    try:
        with store.read() as conn:
            conn.execute(select(1))
            checks["database"] = _check(True, "answers")
            checks["ticker"] = _ticker(conn, clock)
            checks["work"] = _work(conn, clock)
            checks["judging"] = _judging(conn)
    except SQLAlchemyError as error:
        checks["database"] = _check(False, f"does not answer: {type(error).__name__}; see that it runs and has space")
    return all(check["ok"] for check in checks.values()), checks


def _check(ok: bool, detail: str) -> dict[str, Any]:
    return {"ok": ok, "detail": detail}


def _registry(snapshot: Snapshot) -> dict[str, Any]:
    if not snapshot.version:
        return _check(False, "holds no policies; load a pack")
    return _check(True, f"version {snapshot.version}, {len(snapshot.flows)} flows")


def _ticker(conn: Connection, clock: Clock) -> dict[str, Any]:
    """The newest run is the ticker's heartbeat: probes are due several times a minute."""
    last = conn.scalar(select(t.run.c.started_at).order_by(t.run.c.id.desc()).limit(1))
    if last is None:
        return _check(False, "has run nothing yet")
    age = clock.now() - last
    return _check(age <= HEARTBEAT, f"ran something {age.total_seconds():.0f} s ago")


def _judging(conn: Connection) -> dict[str, Any]:
    """Without judging nobody is told of anything. One rule that breaks is named here, and takes the plane from nobody."""
    last = last_judging(conn)
    if last is None:
        return _check(True, "nothing was judged yet")
    if last.state == "failed":
        return _check(
            False,
            f"service levels and alert rules are not judged: {(last.detail or {}).get('error', 'no reason noted')}",
        )
    broken = broken_rules(last)
    return _check(True, f"all rules but {', '.join(broken)} were judged" if broken else "every rule was judged")


def last_judging(conn: Connection) -> Any:
    """Return state and detail of the newest run that judged, or failed to; None before the first."""
    r = t.run.c
    ended = (r.schedule == JUDGING, r.state.in_(("done", "failed")))
    return conn.execute(select(r.state, r.detail).where(*ended).order_by(r.id.desc()).limit(1)).one_or_none()


def broken_rules(run: Any) -> list[str]:
    """Return which rules, as kind/NAME, a run could not judge."""
    return list(((run.detail or {}).get("result") or {}).get("broken", ()))


def _work(conn: Connection, clock: Clock) -> dict[str, Any]:
    """Work that is due, and that no pause or failing target holds back, has to be taken up."""
    now, d, s = clock.now(), t.delivery.c, t.system_state.c
    held = select(s.system).where(s.paused_at.is_not(None) | (s.blocked_until > now) | (s.consecutive_failures > 0))
    due = select(func.min(d.due_at)).where(t.is_ready, d.target.not_in(held))
    m = t.message.c
    accepted = select(m.accepted_at).where(t.among(m.state, "accepted")).order_by(m.id).limit(1)
    waits = {"due delivery": conn.scalar(due), "message that is not processed": conn.scalar(accepted)}
    ages = {what: now - since for what, since in waits.items() if since is not None and since < now}
    if not ages:
        return _check(True, "nothing is overdue")
    what = max(ages, key=lambda one: ages[one])
    return _check(ages[what] <= OVERDUE, f"the oldest {what} has waited for {ages[what].total_seconds():.0f} s")
