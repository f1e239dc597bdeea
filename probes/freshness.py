"""How old the oldest thing is that a flow still owes. Nothing owed means fresh only while the source is known."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import tables as t
from controlplane.store.backlog import waiting
from probes.flows import is_fresh, watermark
from rules.policy.kinds import Flow


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return the age per flow: of its oldest record not translated, message not processed, or delivery not finished.

    What waits in quarantine is left out here; `failed_messages` counts it, and a person owns it.
    """
    now = ctx.clock.now()
    with ctx.store.read() as conn:
        owed = _oldest_deliveries(conn)
        accepted = _oldest_accepted(conn)
        arrived = _oldest_arrived(conn)
        return [
            _observe(ctx, conn, flow, _oldest(flow, owed, accepted, arrived), now)
            for flow in ctx.snapshot.flows.values()
        ]


def _observe(ctx: ProbeContext, conn: Connection, flow: Flow, oldest: datetime | None, now: datetime) -> Observation:
    labels = {"flow": flow.name}
    if oldest is not None:
        return Observation("freshness", now, max(0.0, (now - oldest).total_seconds()), labels)
    known_until = watermark(conn, ctx.snapshot, flow, now)
    if is_fresh(ctx.snapshot, flow, known_until, now):
        return Observation("freshness", now, 0.0, labels)
    last = f"last heard of at {known_until:%Y-%m-%d %H:%M:%S} UTC" if known_until else "never heard of"
    return Observation("freshness", now, None, labels, note=f"{flow.spec.source} was {last}")


def _oldest(
    flow: Flow,
    owed: dict[str, datetime],
    accepted: dict[tuple[str, str], datetime],
    arrived: dict[str, datetime],
) -> datetime | None:
    """A record that is not translated yet may be any flow's of its system, so it ages them all."""
    candidates = [owed.get(flow.name), arrived.get(flow.spec.source)]
    candidates += [accepted.get((flow.spec.source, kind)) for kind in flow.spec.message_types]
    return min((at for at in candidates if at is not None), default=None)


def _oldest_deliveries(conn: Connection) -> dict[str, datetime]:
    oldest: dict[str, datetime] = {}
    for (_, flow), owed in waiting(conn).items():
        oldest[flow] = min(owed.oldest, oldest.get(flow, owed.oldest))
    return oldest


def _oldest_accepted(conn: Connection) -> dict[tuple[str, str], datetime]:
    m = t.message.c
    query = (
        select(m.source, m.type, func.min(m.accepted_at)).where(t.among(m.state, "accepted")).group_by(m.source, m.type)
    )
    return {(source, kind): at for source, kind, at in conn.execute(query)}


def _oldest_arrived(conn: Connection) -> dict[str, datetime]:
    i = t.intake.c
    query = select(i.system, func.min(i.received_at)).where(t.among(i.state, "new")).group_by(i.system)
    return _instants(conn, query)


def _instants(conn: Connection, query: Select[Any]) -> dict[str, datetime]:
    return {str(name): at for name, at in conn.execute(query)}
