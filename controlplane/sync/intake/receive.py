"""Take records in: once each, as they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, select

from controlplane.clock import Clock
from controlplane.connectors.contract import Connector, Inbound, Record
from controlplane.errors import BadInputError
from controlplane.sealing import Shield
from controlplane.store import facts, signals
from controlplane.store import tables as t
from controlplane.store.locks import lock_sources
from controlplane.store.text import is_kept, kept, plain
from controlplane.store.upsert import insert_new
from controlplane.telemetry.facts import Received
from controlplane.telemetry.tracing import HEADER, Caller, caller
from rules.ids import bounded, fingerprint, new_id

CHUNK = 200
AHEAD = timedelta(seconds=2)
"""By so much may another process's clock, or a commit that was waited for, be ahead."""


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
    seconds): then the same content as the last one of the same thing within that time is the same event. "5, then 3, then 5 again" are
    three.
    """
    now = clock.now()
    within = None if repeats_within is None else timedelta(seconds=repeats_within)
    rows = [_row(now, system, channel, record, shield, told) for record in records]
    return Arrival(system, channel, rows, within, told.span_id if told else "")


def webhook(clock: Clock, connector: Connector, inbound: Inbound, shield: Shield) -> Arrival:
    """Verify a webhook and make it ready. Raises SignatureError, KeyMissingError before anything is stored."""
    try:
        record = connector.receive(inbound)
    except RecursionError:
        raise BadInputError("the body is nested deeper than anything that is read; send it as documented") from None
    if not isinstance(record.topic, str) or not isinstance(
        record.event_key, str
    ):  # of a plugin that trusts what it reads
        raise BadInputError("the record's topic, or what its event is known by, is no text; send it as documented")
    within, told = connector.manifest.repeats_within, caller(inbound.headers.get(HEADER))
    return arrived(clock, connector.context.system, "webhook", [record], shield, within, told)


def keep(connection: Connection, arrivals: Sequence[Arrival]) -> list[frozenset[str]]:
    """Keep the records that were not known yet; return the ids of those for each arrival.

    The caller's commit is the acknowledgement. Call it before anything else that locks rows.
    """
    lock_sources(connection, {one.system for one in arrivals if one.repeats_within is not None})
    told: dict[str, str] = {}
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
    identity, record = new_id(now), _sound(record)
    body, sealed = shield.body(label(identity), record.body)
    return {
        "id": identity, "system": system, "channel": channel, "topic": bounded(kept(record.topic)),
        "event_key": bounded(_kept_key(record.event_key)) or f"{_content(record)}:{identity}", "headers": record.headers,
        "body": bytes(body), "sealed": sealed, "received_at": now, "state": "new",
        "trace_id": told.trace_id if told else identity.replace("-", ""),
    }  # fmt: skip


def _sound(record: Record) -> Record:
    """Return the record of a plugin that trusts what it reads as it can be written: it must not hold up those that came with it."""
    topic, key, about = (
        one if isinstance(one, str) else _text(one) for one in (record.topic, record.event_key, record.about)
    )
    body = record.body if isinstance(record.body, bytes | bytearray | memoryview) else _text(record.body).encode()
    headers = plain(record.headers)
    return Record(topic, key, body, headers if isinstance(headers, dict) else {"told": headers}, about)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def label(intake_id: str) -> str:
    """Return what the envelope of a row is bound to."""
    return f"intake/{intake_id}"


def _kept_key(event_key: str) -> str:
    """Return the key as text that both databases keep; two keys that would look alike then stay two."""
    if is_kept(event_key):
        return event_key
    return f"{kept(event_key)}:{sha256(event_key.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def _content(record: Record) -> str:
    about = fingerprint(record.topic, kept(record.about)).hex()
    return f"content:{about}:{fingerprint(record.topic, record.body.hex()).hex()}"


def _noted(connection: Connection, arrival: Arrival, new: set[str]) -> frozenset[str]:
    fresh = [row for row in arrival.rows if row["id"] in new]
    if fresh:
        facts.note(connection, Received(arrival.system, arrival.channel, fresh, arrival.parent))
    return frozenset(row["id"] for row in fresh)


# --- what is told again without a key ---


def _untold(connection: Connection, arrival: Arrival, told: dict[str, str]) -> list[dict[str, Any]]:
    """The rows whose content was not the last that was told of the same thing within the time. `told`: what comes with them, added to."""
    if arrival.repeats_within is None:
        return arrival.rows
    found = []
    for row in arrival.rows:
        about, content = _parts(row["event_key"])
        if not about:
            found.append(row)
            continue
        place = f"{row['system']}/{about}"
        last = told[place] if place in told else _last(connection, row, about, arrival.repeats_within)
        told[place] = content
        if last != content:
            found.append(row)
    return found


def _parts(event_key: str) -> tuple[str, str]:
    """What a record is about and what it says, as its key tells; empty where the vendor gave a key, and the record is told by that."""
    kind, *parts = event_key.split(":")
    return (parts[0], parts[1]) if kind == "content" and len(parts) == 3 else ("", "")


def _last(connection: Connection, row: dict[str, Any], about: str, within: timedelta) -> str:
    """The content that was told last of the same thing within the time; empty where none was.

    What came ahead of now by more than processes' clocks differ came before the clock was put back: what was told since stands behind
    it, and which of them was the last cannot be told. Taken twice it does less harm than not at all.
    """
    i = t.intake.c
    same = (
        i.system == row["system"],
        i.event_key > f"content:{about}:",
        i.event_key < f"content:{about}:~",
        i.received_at > row["received_at"] - within,
        i.received_at < row["received_at"] + min(within, AHEAD),
    )
    key = connection.scalar(select(i.event_key).where(*same).order_by(i.received_at.desc(), i.id.desc()).limit(1))
    return _parts(key)[1] if key else ""
