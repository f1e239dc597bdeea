"""Take records in: once each, as they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from controlplane.clock import Clock
from controlplane.connectors.contract import Connector, Inbound, Record
from controlplane.sealing import Shield
from controlplane.store import facts, signals
from controlplane.store import tables as t
from controlplane.store.locks import lock_sources
from controlplane.store.text import dumps, kept
from controlplane.store.upsert import insert_new
from controlplane.telemetry.facts import Received
from controlplane.telemetry.tracing import HEADER, Caller, caller
from rules.ids import bounded, fingerprint, new_id

CHUNK = 200


@dataclass(frozen=True, slots=True)
class Arrival:
    """Records of one system that came together, ready to be written."""

    system: str
    channel: str
    rows: list[dict[str, Any]]
    """Rows of `intake`."""
    repeats_within: timedelta | None
    """Within which the same content without an event key is the same event."""
    parent: str
    """The caller's span, if it told one."""

    @property
    def size(self) -> int:
        """Bytes of the records."""
        return sum(len(row["body"]) + len(row["sealed"] or b"") for row in self.rows)


def arrived(
    clock: Clock,
    system: str,
    channel: str,
    records: Sequence[Record],
    shield: Shield,
    repeats_within: float | None = None,
    told: Caller | None = None,
) -> Arrival:
    """Make records ready, what is personal in them sealed. `told`: the trace that they belong to.

    Raises what a record that cannot be written raises, and KeyMissingError when there is something to seal and no key.

    A record without an event key is an event of its own, unless its vendor repeats without an id (`repeats_within`
    seconds): then the same content within that time is the same event.
    """
    now = clock.now()
    within = None if repeats_within is None else timedelta(seconds=repeats_within)
    rows = [_row(now, system, channel, record, shield, told) for record in records]
    return Arrival(system, channel, rows, within, told.span_id if told else "")


def webhook(clock: Clock, connector: Connector, inbound: Inbound, shield: Shield) -> Arrival:
    """Verify a webhook and make it ready. Raises SignatureError, KeyMissingError before anything is stored."""
    record = connector.receive(inbound)
    within, told = connector.manifest.repeats_within, caller(inbound.headers.get(HEADER))
    return arrived(clock, connector.context.system, "webhook", [record], shield, within, told)


def keep(connection: Connection, arrivals: Sequence[Arrival]) -> list[frozenset[str]]:
    """Keep the records that were not known yet; return the ids of those for each arrival.

    The caller's commit is the acknowledgement. Call it before anything else that locks rows.
    """
    lock_sources(connection, {one.system for one in arrivals if one.repeats_within is not None})
    told: set[str] = set()
    rows = [row for one in arrivals for row in _untold(connection, one, told)]
    rows.sort(key=lambda row: (row["system"], row["event_key"]))  # who waits for whom goes in one direction
    new: set[str] = set()
    for start in range(0, len(rows), CHUNK):
        new.update(insert_new(connection, t.intake, rows[start : start + CHUNK]))
    if new:
        signals.note(connection, signals.INTAKE)
    return [_noted(connection, one, new) for one in arrivals]


def take(
    connection: Connection,
    clock: Clock,
    system: str,
    channel: str,
    records: Sequence[Record],
    shield: Shield,
    repeats_within: float | None = None,
) -> int:
    """Keep records of one system (`arrived`, `keep`); return how many were new."""
    [new] = keep(connection, [arrived(clock, system, channel, records, shield, repeats_within)])
    return len(new)


def _row(
    now: datetime, system: str, channel: str, record: Record, shield: Shield, told: Caller | None
) -> dict[str, Any]:
    identity, headers = new_id(now), dict(record.headers)
    dumps(headers)  # what cannot be written fails here, alone
    body, sealed = shield.body(label(identity), record.body)
    return {
        "id": identity, "system": system, "channel": channel, "topic": bounded(kept(record.topic)),
        "event_key": bounded(kept(record.event_key)) or f"{_content(record)}:{identity}", "headers": headers,
        "body": bytes(body), "sealed": sealed, "received_at": now, "state": "new",
        "trace_id": told.trace_id if told else identity.replace("-", ""),
    }  # fmt: skip


def label(intake_id: str) -> str:
    """Return what the envelope of a row is bound to."""
    return f"intake/{intake_id}"


def _content(record: Record) -> str:
    return f"content:{fingerprint(record.topic, record.body.hex()).hex()}"


def _noted(connection: Connection, arrival: Arrival, new: set[str]) -> frozenset[str]:
    fresh = [row for row in arrival.rows if row["id"] in new]
    if fresh:
        facts.note(connection, Received(arrival.system, arrival.channel, fresh, arrival.parent))
    return frozenset(row["id"] for row in fresh)


# --- what is told again without a key ---


def _untold(connection: Connection, arrival: Arrival, told: set[str]) -> list[dict[str, Any]]:
    """The rows whose content was not told within the time. `told`: what comes with them, added to."""
    if arrival.repeats_within is None:
        return arrival.rows
    found = []
    for row in arrival.rows:
        head = _head(row["event_key"])
        if head and (f"{row['system']}/{head}" in told or _known(connection, row, head, arrival.repeats_within)):
            continue
        told.add(f"{row['system']}/{head}")
        found.append(row)
    return found


def _head(event_key: str) -> str:
    """What the keys of the same content begin with; empty where the vendor gave a key, and the record is told by that."""
    kind, _, rest = event_key.partition(":")
    return f"content:{rest.partition(':')[0]}:" if kind == "content" else ""


def _known(connection: Connection, row: dict[str, Any], head: str, within: timedelta) -> bool:
    i = t.intake.c
    same = (
        i.system == row["system"],
        i.event_key > head,
        i.event_key < f"{head}~",
        i.received_at > row["received_at"] - within,
        i.received_at < row["received_at"] + within,  # not what came before the clock was put back
    )
    return connection.execute(select(i.id).where(*same).limit(1)).first() is not None
