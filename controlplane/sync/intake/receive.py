"""Take records in: once each, as they came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from controlplane.clock import Clock
from controlplane.connectors.contract import Connector, Inbound, Record
from controlplane.sealing import Shield
from controlplane.store import Store, facts, signals
from controlplane.store import tables as t
from controlplane.store.text import kept
from controlplane.store.upsert import insert_new
from controlplane.telemetry.facts import Received
from controlplane.telemetry.tracing import HEADER, Caller, caller
from rules.ids import bounded, fingerprint, new_id

CHUNK = 200


def take(
    connection: Connection,
    clock: Clock,
    system: str,
    channel: str,
    records: Sequence[Record],
    shield: Shield,
    repeats_within: float | None = None,
    told: Caller | None = None,
) -> int:
    """Keep the records that were not known yet, what is personal in them sealed; return how many. The caller's commit is the
    acknowledgement.

    A record without an event key is an event of its own, unless its vendor repeats without an id (`repeats_within`
    seconds): then the same content within that time is the same event. `told`: the trace that the records belong to.
    Raises KeyMissingError when there is something to seal and no key.
    """
    now = clock.now()
    taken = 0
    for start in range(0, len(records), CHUNK):
        rows = [_row(now, system, channel, record, shield, told) for record in records[start : start + CHUNK]]
        if repeats_within is not None:
            rows = [row for row in rows if _is_new(connection, row, timedelta(seconds=repeats_within))]
        new = set(insert_new(connection, t.intake, rows))
        if new:
            fresh = [row for row in rows if row["id"] in new]
            facts.note(connection, Received(system, channel, fresh, told.span_id if told else ""))
        taken += len(new)
    if taken:
        signals.note(connection, signals.INTAKE)
    return taken


def _row(
    now: datetime, system: str, channel: str, record: Record, shield: Shield, told: Caller | None
) -> dict[str, Any]:
    identity = new_id(now)
    body, sealed = shield.body(label(identity), record.body)
    return {
        "id": identity, "system": system, "channel": channel, "topic": bounded(kept(record.topic)),
        "event_key": bounded(kept(record.event_key)) or f"{_content(record)}:{identity}", "headers": dict(record.headers),
        "body": body, "sealed": sealed, "received_at": now, "state": "new",
        "trace_id": told.trace_id if told else identity.replace("-", ""),
    }  # fmt: skip


def label(intake_id: str) -> str:
    """Return what the envelope of a row is bound to."""
    return f"intake/{intake_id}"


def _content(record: Record) -> str:
    return f"content:{fingerprint(record.topic, record.body.hex()).hex()}"


def _is_new(connection: Connection, row: dict[str, Any], within: timedelta) -> bool:
    """Say whether the same content did not come within the time; a record with a key of the vendor's is told by that."""
    kind, _, rest = str(row["event_key"]).partition(":")
    if kind != "content":
        return True
    head = f"content:{rest.partition(':')[0]}:"
    i = t.intake.c
    same = (
        i.system == row["system"],
        i.event_key > head,
        i.event_key < f"{head}~",
        i.received_at > row["received_at"] - within,
        i.received_at < row["received_at"] + within,  # not what came before the clock was put back
    )
    return connection.execute(select(i.id).where(*same).limit(1)).first() is None


def take_webhook(store: Store, clock: Clock, connector: Connector, inbound: Inbound, shield: Shield) -> bool:
    """Verify a webhook and commit it; say whether it was new. Raises SignatureError, KeyMissingError before anything is stored."""
    record = connector.receive(inbound)
    within, told = connector.manifest.repeats_within, caller(inbound.headers.get(HEADER))
    with store.write() as connection:
        return take(connection, clock, connector.context.system, "webhook", [record], shield, within, told) == 1
