"""Canonical messages as CloudEvents at a message broker: read as they are taken off it, and made as they are put there.

One System is a source or a target, never both: which one stands in its options (`Manifest.specific`), so that nobody reads his own echo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from controlplane.connectors.contract import Draft, Manifest, Record, Write, WriteSpec
from controlplane.connectors.envelope import open_envelope
from controlplane.connectors.records import content_key
from controlplane.errors import BadInputError
from controlplane.telemetry.tracing import outgoing
from rules.model.messages import HAPPENED, TYPES, version_of
from rules.outcomes import Guarantee

TOPIC = "event"
GAP = "gap"
"""Topic of a record that tells what a queue lost before it was read."""
SOURCE = "trueup"
"""Who says what the plane puts into a queue."""
CONTENT_TYPE = "application/cloudevents+json"
KEY = "idempotency-key"
"""Header that carries the delivery's key; it is the event's `id` as well."""


def record_of(body: bytes) -> Record:
    """Return a delivery as intake takes it. The same bytes are the same record; the same fact in other bytes is told by the ledger."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    identity = told.get("id") if isinstance(told, dict) else None
    return Record(TOPIC, content_key(TOPIC, identity if isinstance(identity, str) else "", body), body)


def record_at(place: str, body: bytes) -> Record:
    """Return a record that its broker knows by a place: given again it is the same. The bytes are in the key too, for a topic or
    stream that was made anew counts from the beginning."""
    return Record(TOPIC, content_key(TOPIC, place, body), body)


def gap_of(**told: object) -> Record:
    """Return the record of what was lost before it was read; the same gap told again is the same record."""
    body = json.dumps(told).encode()
    return Record(GAP, content_key(GAP, "", body), body)


def drafts_of(topic: str, body: bytes, now: datetime) -> list[Draft]:
    """Read one event. Raises BadInputError naming the attribute, the rule and the remedy; for a gap always."""
    if topic == GAP:
        raise BadInputError(
            f"the stream lost entries before they were read: {body.decode()}; have their sender send them again, let the "
            "stream keep more (MAXLEN, MINID; retention), and then drop this record"
        )
    found = open_envelope(body, now)
    return [
        Draft(
            found.type, found.subject, found.event_id, found.occurred_at, found.data, source=found.source,
            schema_version=found.version, causation_id=found.causation_id, trace=found.trace,
        )
    ]  # fmt: skip


def event_of(request: Write) -> bytes:
    """Return a write as a CloudEvents 1.0 event in JSON (structured mode). `id` is the delivery's key, which tells a repetition."""
    at = next((request.payload[name] for name in HAPPENED if request.payload.get(name)), request.owed_since)
    told: dict[str, Any] = {
        "specversion": "1.0", "id": request.idempotency_key, "source": SOURCE, "type": request.entity, "subject": request.subject,
        "datacontenttype": "application/json", "schemaversion": version_of(request.entity),
        **({"time": at} if at else {}), **({"traceparent": outgoing.get()} if outgoing.get() else {}),
        "data": dict(request.payload),
    }  # fmt: skip
    return orjson.dumps(told, default=str)


def headers_of(request: Write) -> dict[str, str]:
    """Return the headers that go with an event."""
    return {"content-type": CONTENT_TYPE, KEY: request.idempotency_key}


def written(guarantee: Guarantee, how: str = "", late_effect: float = 0.0) -> tuple[WriteSpec, ...]:
    """Return the writes of a queue: every message type, under its own name."""
    return tuple(WriteSpec(name, (name,), guarantee, late_effect=late_effect, how=how) for name in TYPES)


def source_of(manifest: Manifest) -> Manifest:
    """Return what a System can do that is taken from."""
    return replace(manifest, writes=())


def target_of(manifest: Manifest) -> Manifest:
    """Return what a System can do that is put into."""
    return replace(manifest, consumes=False, probes=("latency",))


def name_flaw(options: Mapping[str, Any], option: str, longest: int = 255) -> tuple[tuple[str, ...], str, str] | None:
    """Return what is wrong with an option that names something; None where it is left out or good."""
    given = options.get(option)
    if given is None or (isinstance(given, str) and 0 < len(given.encode()) <= longest and given.isprintable()):
        return None
    return ("options", option), f"'{given}' is no name of a {option}", f"write text of 1 to {longest} bytes"
