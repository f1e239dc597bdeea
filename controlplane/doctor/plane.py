"""The plane as it runs, and what its tables tell of how it does: ticker, work, systems, the clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import Column, Row, func, select

from controlplane.doctor.answers import Answer, ok, softened, warning, wrong
from controlplane.doctor.subject import Subject
from controlplane.health.readiness import broken_rules, last_judging, ready
from controlplane.store import tables as t
from rules.policy.kinds import Breaker

SLACK = timedelta(minutes=1)
"""A row may be so far ahead of this machine's clock: workers' clocks are never quite the same."""
WRITTEN = (
    t.intake.c.received_at, t.message.c.accepted_at, t.attempt.c.finished_at, t.run.c.started_at, t.sample.c.at,
    t.registry_version.c.recorded_at,
)  # fmt: skip
"""Columns that are written with the present instant; none of them is ever in the future."""


def plane(subject: Subject) -> Iterator[Answer]:
    """Ask whether a plane runs, and whether it can do its work."""
    found, where = subject.health, subject.plane_url
    if found is None:
        yield warning(
            "plane", f"nothing listens at {where}", "start it: `trueup up`; or correct TRUEUP_HOST and TRUEUP_PORT"
        )
    elif isinstance(found, httpx.HTTPError):
        remedy = "look at plane.log and at the machine's load; restart it: it goes on where it was"
        yield wrong("plane", f"what listens at {where} does not answer ({type(found).__name__})", remedy)
    elif not subject.plane_runs:
        remedy = "stop what listens there, or correct TRUEUP_HOST and TRUEUP_PORT"
        yield wrong("plane", f"what answers at {where} is no plane (/healthz: {found.status_code})", remedy)
    else:
        yield _readiness(subject)


def _readiness(subject: Subject) -> Answer:
    answer = subject.ask("/readyz")
    if answer is None or answer.is_success:
        return ok("plane", f"runs at {subject.plane_url} and is ready")
    checks: dict[str, dict[str, Any]] = answer.json().get("checks", {})
    failed = "; ".join(f"{name}: {check['detail']}" for name, check in checks.items() if not check["ok"])
    return wrong("plane", f"runs at {subject.plane_url} and is not ready: {failed}", "see the answers below")


def progress(subject: Subject) -> Iterator[Answer]:
    """See that the ticker beats and that nothing is overdue. While no plane runs, neither can be, and it is a warning."""
    _, checks = ready(subject.store, subject.clock, subject.snapshot)
    remedies = {
        "ticker": "restart the plane; look at plane.log if it stops again",
        "work": "see which system it is owed to (`trueup doctor` names those that are held back); start workers",
    }
    for name, remedy in remedies.items():
        check = checks[name]
        answer = ok(name, check["detail"]) if check["ok"] else wrong(name, check["detail"], remedy)
        yield answer if subject.plane_runs else softened(answer)


def judging(subject: Subject) -> Iterator[Answer]:
    """See that service levels and alert rules are judged, and name those that could not be."""
    with subject.reading() as connection:
        last = last_judging(connection)
    if last is None:
        yield ok("judging", "nothing was judged yet")
    elif last.state == "failed":
        told = (last.detail or {}).get("error", "no reason noted")
        yield wrong("judging", f"no rule is judged, so nobody is told of anything: {told}", "see plane.log")
    else:
        for rule in broken_rules(last):
            remedy = "mend its policy (by a change request); plane.log has the error, under `rule not judged`"
            yield wrong("judging", "it could not be judged, and is unknown", remedy, rule)
        if not broken_rules(last):
            yield ok("judging", "every service level and alert rule was judged")


def systems(subject: Subject) -> Iterator[Answer]:
    """Name the systems that a person paused, that ask to wait, or that fail."""
    with subject.reading() as connection:
        rows = connection.execute(select(t.system_state).order_by(t.system_state.c.system)).all()
    promised = subject.snapshot.systems
    breakers = {row.system: promised[row.system].spec.breaker if row.system in promised else Breaker() for row in rows}
    held = [answer for row in rows if (answer := _held(row, breakers[row.system].after, subject.clock.now()))]
    yield from held
    if not held:
        yield ok("systems", "none is paused, asks to wait or fails")


def _held(row: Row[Any], breaks_after: int, now: datetime) -> Answer | None:
    if row.paused_at:
        detail = f"deliveries are paused since {row.paused_at:%Y-%m-%d %H:%M} UTC"
        return warning(
            "systems", detail, "resume it when its owner agrees; a pause stops the clock of retries", row.system
        )
    if row.blocked_until and row.blocked_until > now:
        detail = f"gets nothing until {row.blocked_until:%H:%M:%S} UTC: {row.blocked_reason or 'no reason noted'}"
        return warning("systems", detail, "nothing: deliveries wait, and go out in order afterwards", row.system)
    if row.consecutive_failures >= breaks_after:
        detail = f"failed {row.consecutive_failures} times in a row: {row.last_error or 'no reason noted'}"
        return warning("systems", detail, "look at the reason; the vendor's status page", row.system)
    return None


def future(subject: Subject) -> Iterator[Answer]:
    """See that nothing was written in the future: then the clock was set back, or a worker's runs ahead."""
    now = subject.clock.now()
    with subject.reading() as connection:
        newest = {column: connection.scalar(select(func.max(column))) for column in WRITTEN}
    ahead = {column: at for column, at in newest.items() if at is not None and at > now + SLACK}
    for column, at in ahead.items():
        yield _ahead(column, at, now)
    if not ahead:
        yield ok("clock", f"no row is from the future; it is {now:%Y-%m-%d %H:%M:%S} UTC here")


def _ahead(column: Column[Any], at: datetime, now: datetime) -> Answer:
    detail = f"{column.table}.{column.name} goes to {at:%Y-%m-%d %H:%M:%S} UTC, {_span(at - now)} ahead of this machine's clock"
    remedy = "set the clock right (chrony, systemd-timesyncd) here and on the workers; what is timed from that row waits as long"
    return wrong("clock", detail, remedy, f"{column.table}.{column.name}")


def _span(ahead: timedelta) -> str:
    seconds = ahead.total_seconds()
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds:.0f} s"
