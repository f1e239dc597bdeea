"""What several probes ask of flows: which targets they owe, and how far their source is known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, func, select

from controlplane.registry import Snapshot
from controlplane.store import tables as t
from rules.policy.kinds import Flow

SILENCE = timedelta(minutes=15)
"""A source that is neither polled nor compared has to be heard of this often."""
MISSED = 3
"""A watermark is stale when so many polls or comparisons in a row have not moved it."""


def counted(conn: Connection, query: Select[Any]) -> dict[str, int]:
    """Run a query for (name, count) and return it as a dictionary."""
    return {str(name): int(count) for name, count in conn.execute(query)}


def pairs(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return every (target, flow) that something can be owed by."""
    return sorted({(target.system, flow.name) for flow in snapshot.flows.values() for target in flow.spec.targets})


def carrying(snapshot: Snapshot, message_type: str) -> list[Flow]:
    """Return the flows that carry a type of message."""
    return [flow for flow in snapshot.flows.values() if message_type in flow.spec.message_types]


def watermark(conn: Connection, snapshot: Snapshot, flow: Flow, now: datetime) -> datetime | None:
    """Return until when the flow's source is known: its last event, complete read or complete comparison."""
    source = flow.spec.source
    if source == "plane":
        return now
    heard = conn.scalar(select(func.max(t.intake.c.received_at)).where(t.intake.c.system == source))
    cursor = t.source_cursor.c
    read = conn.scalar(select(cursor.read_at).where(cursor.system == source, cursor.entity == (flow.spec.read or "")))
    run = t.comparison_run.c
    compared = [
        conn.scalar(select(func.max(run.finished_at)).where(run.comparison == name, run.state == "complete"))
        for name in _comparisons(snapshot, source)
    ]
    return max((at for at in (heard, read, *compared) if at is not None), default=None)


def is_fresh(snapshot: Snapshot, flow: Flow, known_until: datetime | None, now: datetime) -> bool:
    """Say whether the watermark is recent enough for silence to mean that nothing happened."""
    return known_until is not None and now - known_until <= patience(snapshot, flow)


def patience(snapshot: Snapshot, flow: Flow) -> timedelta:
    """Return how old a flow's watermark may be."""
    rhythms = [snapshot.comparisons[name].spec.every for name in _comparisons(snapshot, flow.spec.source)]
    if flow.spec.poll_every:
        rhythms.append(flow.spec.poll_every)
    return MISSED * min(rhythms) if rhythms else SILENCE


def _comparisons(snapshot: Snapshot, system: str) -> list[str]:
    return [
        name
        for name, comparison in snapshot.comparisons.items()
        if any(side.system == system for side in comparison.spec.sides)
    ]
