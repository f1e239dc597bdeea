"""What a drill found, for people and for machines."""

from __future__ import annotations

from typing import Any

from controlplane.drill.run import Drilled
from controlplane.drill.target import Target
from rules.capacity import Step
from rules.policy.kinds import format_duration


def as_row(step: Step) -> dict[str, Any]:
    """Return a step as JSON values: rates in writes a second, latencies in seconds from the intended instant."""
    return {
        "rate": step.rate, "seconds": step.seconds, "sent": step.sent, "taken": step.taken, "throttled": step.throttled,
        "failed": step.failed, "outcomes": {str(result): count for result, count in sorted(step.counts.items())},
        "taken_per_second": step.taken / step.seconds, "p50": step.p50, "p95": step.p95, "p99": step.p99,
        "in_flight": step.in_flight, "lag": step.lag, "sustained": step.sustained,
        "retry_after": {"least": min(step.retry_after), "most": max(step.retry_after)} if step.retry_after else None,
    }  # fmt: skip


def as_json(target: Target, drilled: Drilled, files: list[str]) -> dict[str, Any]:
    """Return the whole drill as JSON values."""
    proposal = drilled.proposal
    proposed = proposal and {
        "rate": proposal.rate,
        "concurrency": proposal.concurrency,
        "timeout": format_duration(proposal.timeout),
        "retry": proposal.retry.model_dump(mode="json"),
        "reasons": list(proposal.reasons),
    }
    return {
        "system": target.system.name,
        "flow": target.flow.name,
        "entity": target.entity,
        "mark": drilled.mark,
        "started_at": drilled.started_at.isoformat(),
        "writes": drilled.writes,
        "requests_per_write": round(drilled.requests_per_write, 3),
        "unloaded": drilled.unloaded,
        "steps": [as_row(step) for step in drilled.steps],
        "knee": {"rate": drilled.knee.rate, "bound": drilled.knee.bound, "reasons": list(drilled.knee.reasons)},
        "proposal": proposed,
        "stopped": drilled.stopped or None,
        "trouble": drilled.trouble or None,
        "left": list(drilled.left),
        "files": files,
    }


COLUMNS = ("offered/s", "sent", "taken/s", "throttled", "failed", "p50 s", "p95 s", "p99 s", "at once")


def title(target: Target, drilled: Drilled) -> str:
    """Return what was drilled, and by which mark its documents are found."""
    return f"{target.system.name}, {target.flow.name} ({target.entity}); references begin with {drilled.mark}"


def rows(drilled: Drilled) -> list[tuple[str, ...]]:
    """Return the cells of each row, in the order of COLUMNS; the first row is of the writes that were sent alone."""
    alone = ("alone", "", "", "", "", _seconds(drilled.unloaded), "", "", "1")
    return [alone, *map(_cells, drilled.steps)]


def _cells(step: Step) -> tuple[str, ...]:
    return (
        f"{step.rate:g}", str(step.sent), f"{step.taken / step.seconds:.1f}", str(step.throttled), str(step.failed),
        _seconds(step.p50), _seconds(step.p95), _seconds(step.p99), str(step.in_flight),
    )  # fmt: skip


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def in_words(drilled: Drilled) -> list[str]:
    """Return the conclusion, a sentence a line."""
    knee = (
        "not known" if drilled.knee.rate is None else f"{drilled.knee.rate:.4g} writes/s, bound by {drilled.knee.bound}"
    )
    lines = [f"knee: {knee}", *(f"  {reason}" for reason in drilled.knee.reasons)]
    if drilled.proposal:
        lines += ["proposed:", *(f"  {reason}" for reason in drilled.proposal.reasons)]
    if drilled.stopped:
        lines.append(f"stopped early: {drilled.stopped}")
    if drilled.trouble:
        lines.append(f"the last that came to nothing: {drilled.trouble}")
    return [*lines, *(f"not put back: {told}" for told in drilled.left)]
