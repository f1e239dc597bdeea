"""Take canonical messages in: the bytes as they came and the messages they hold, in one commit that others share.

A request is one message or a batch of them, one a line (NDJSON). What is wrong with a line is told at once, and the other lines
are taken; what is taken is acknowledged after its commit. A fact that is known already is answered as accepted, once.

Records that connectors receive are taken in the same way: the same room, the same commits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from controlplane.clock import Clock
from controlplane.connectors.envelope import open_envelope
from controlplane.errors import BadInputError
from controlplane.registry import Registry, Snapshot
from controlplane.sealing import Keyring, Shield
from controlplane.store import Store, direct, facts, signals
from controlplane.store.types import EPOCH, MICROSECOND, micros
from controlplane.sync import intake
from controlplane.sync.intake import Arrival, Room, label
from controlplane.sync.intake.group import GroupCommit
from controlplane.sync.ledger import retold, seen
from controlplane.sync.ledger.insert import insert_messages
from controlplane.sync.ledger.messages import read, refuse_ahead, refuse_other_subject, refuse_unknown
from controlplane.telemetry.facts import Accepted, Origin, Shared
from controlplane.telemetry.tracing import Caller
from rules.ids import fact, new_ids
from rules.model.messages import as_json, version_of
from rules.personal import Personal

LARGEST_GROUP = 256
"""Requests that share a commit, at most."""

May: TypeAlias = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that was not taken, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one request. Every line is in exactly one of the three."""

    accepted: dict[int, str]
    """Line -> id of the message that was made of it."""
    known: dict[int, str]
    """Line that told what was known already -> id of the message that was accepted before, once."""
    refused: list[Refusal]

    @property
    def duplicates(self) -> list[int]:
        """The lines that told what was known already."""
        return list(self.known)


@dataclass(slots=True)
class _Request:
    """Rows of one request, ready to be written."""

    intake: tuple[Any, ...]
    messages: list[dict[str, Any]]
    origin: Origin
    lines: dict[str, int] = field(default_factory=dict)
    """Message id -> line."""
    origins: dict[str, Origin] = field(default_factory=dict)
    """By the message's id, of those that belong to a sender's trace."""


@dataclass(slots=True)
class _Event:
    """One event that came alone, not read yet: whoever leads its group reads all of them, one right after the other.

    That takes half of what it takes each thread for itself, between two waits.
    """

    reader: Callable[[], _Request]
    request: _Request | None = None
    error: Exception | None = None

    def read(self) -> None:
        """Read it, or keep what is wrong with it."""
        try:
            self.request = self.reader()
        except Exception as error:  # noqa: BLE001 - it is its own sender's: `found` raises it there
            self.error = error

    def found(self) -> _Request:
        """Return what was read. Raises what reading it raised, BadInputError for one that is wrong."""
        if self.error is not None:
            raise self.error
        assert self.request is not None  # noqa: S101 - it is one of the two, once its group was committed
        return self.request


class Acceptor:
    """The way in for canonical messages, and for records. Safe to use from several threads, which share commits."""

    def __init__(
        self, store: Store, clock: Clock, registry: Registry, keys: Keyring, limit: int = 0,
        largest_group: int = LARGEST_GROUP,
    ) -> None:  # fmt: skip
        """`limit`: most messages that may wait to be processed before new ones are refused; 0: as many as the disk holds."""
        self._store, self._clock, self._registry, self._keys = store, clock, registry, keys
        self.room = Room(store, limit)
        self.group: GroupCommit[_Request | _Event | Arrival, frozenset[str]] = GroupCommit(self._commit, largest_group)

    def accept(
        self, body: bytes, *, batch: bool, channel: str = "api", told: Caller | None = None, by: str = "",
        may: May | None = None,
    ) -> Receipt:  # fmt: skip
        """Take one event, or with `batch` one event a line; return when it is committed.

        `told`: the trace that the request belongs to; an event that names another belongs to that one. `by`: whose session or
        token it came with; it is kept with what came in. `may`: raises BadInputError for a source and a type that the sender may
        not speak of.
        Raises OverloadedError (try later) before anything is taken, and BadInputError for a batch without an event or
        with more than may wait. Without `batch` also BadInputError for the event.
        """
        snapshot = self._registry.known() if self._registry.known().version else self._registry.snapshot()
        read = partial(self.read, body, snapshot, told, may, batch=batch, channel=channel, headers=_sent_by(by))
        if not batch:
            event = _Event(lambda: read()[0])
            new = self._handed_in(event, 1, len(body))
            return self._receipt(event.found(), new, [])
        request, refused = read()
        if not request.messages:
            return Receipt({}, {}, refused)
        self.room.refuse_too_many(len(request.messages))
        return self._receipt(request, self._handed_in(request, len(request.messages), len(body)), refused)

    def _receipt(self, request: _Request, new: frozenset[str], refused: list[Refusal]) -> Receipt:
        accepted = {line: identity for identity, line in request.lines.items() if identity in new}
        return Receipt(accepted, self._known(request, new), refused)

    def take(self, arrival: Arrival) -> int:
        """Take records in; return how many were new, once it is committed. Raises OverloadedError before anything is taken."""
        return len(self._handed_in(arrival, len(arrival.rows), arrival.size)) if arrival.rows else 0

    def _handed_in(self, item: _Request | _Event | Arrival, count: int, size: int) -> frozenset[str]:
        self.room.ask(count, size)
        try:
            return self.group.hand_in(item)
        except OperationalError as error:
            raise self.room.refused(error) from error
        finally:
            self.room.leave(count)

    def _known(self, request: _Request, new: frozenset[str]) -> dict[int, str]:
        """Return the line -> id of the message that was there before."""
        told = {row["id"]: row["fingerprint"] for row in request.messages if row["id"] not in new}
        if not told:
            return {}
        with self._store.read() as connection:
            known = seen.ids_of(connection, list(told.values()))
        return {request.lines[identity]: known.get(print_, "") for identity, print_ in told.items()}

    # --- reading ---

    def read(
        self,
        body: bytes,
        snapshot: Snapshot,
        told: Caller | None,
        may: May | None,
        *,
        batch: bool,
        channel: str,
        headers: str,
    ) -> tuple[_Request, list[Refusal]]:
        """Return what `accept` would write, and the lines that it refuses. Raises BadInputError as `accept` does."""
        now = self._clock.now()
        stamp = micros(now)
        lines = (
            [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
            if batch
            else [(1, body)]
        )
        if not lines:
            raise BadInputError("the batch holds no event; send one event a line, each a JSON object")
        intake_id, *ids = new_ids(now, 1 + len(lines))
        refused: list[Refusal] = []
        messages: list[dict[str, Any]] = []
        places: dict[str, int] = {}
        origins: dict[str, Origin] = {}
        for identity, (number, line) in zip(ids, lines, strict=True):
            try:
                found = open_envelope(line, now)
                if may is not None:
                    may(found.source, found.type)
                refuse_unknown(snapshot, found.source, found.type)
                data = read(found.type, found.data, found.version)
                refuse_other_subject(found.type, found.subject, data)
                refuse_ahead(data, now)
            except BadInputError as error:
                if not batch:
                    raise
                refused.append(Refusal(number, str(error)))
                continue
            places[identity] = number
            trace = found.trace or told
            if trace:
                origins[identity] = Origin(channel, trace.span_id)
            messages.append({
                "id": identity, "type": found.type, "schema_version": version_of(found.type), "source": found.source,
                "subject": found.subject, "source_version": None, "dedupe_key": found.event_id,
                "fingerprint": fact(found.source, found.event_id), "occurred_at": (found.occurred_at - EPOCH) // MICROSECOND,
                "accepted_at": stamp, "causation_id": found.causation_id, "intake_id": intake_id,
                "intake_line": number if batch else None, "trace_id": trace.trace_id if trace else identity.replace("-", ""),
                "data": as_json(data), "state": "accepted", "registry_version": snapshot.version,
            })  # fmt: skip
        source = messages[0]["source"] if messages else ""
        topic = "messages/batch" if batch else "messages/single"
        body, sealed = (
            self._hidden(body, intake_id, snapshot.personal_of(source)) if refused and messages else (body, None)
        )
        intake = (intake_id, source, channel, topic, f"{channel}:{intake_id}", headers, body, sealed, stamp,
                  intake_id.replace("-", ""), "translated", stamp)  # fmt: skip
        return _Request(intake, messages, Origin(channel), places, origins), refused

    def _hidden(self, body: bytes, intake_id: str, personal: Personal) -> tuple[bytes, bytes | None]:
        """Seal what a batch holds of a person. A message has no field for that, so only a line that was refused may."""
        return Shield(personal, self._keys).batch(label(intake_id), body)

    # --- writing ---

    def _commit(self, group: Sequence[_Request | _Event | Arrival]) -> list[frozenset[str]]:
        read = [_read(item) for item in group]
        arrivals = [item for item in read if isinstance(item, Arrival)]
        requests = [item for item in read if isinstance(item, _Request)]
        if not arrivals and not requests:
            return [frozenset()] * len(group)
        with self._store.write() as connection:
            self.room.look_again(
                connection, [len(one.rows) for one in arrivals] + [len(one.messages) for one in requests]
            )
            records = iter(intake.keep(connection, arrivals) if arrivals else ())
            new = self._put_in(connection, requests) if requests else frozenset()
            facts.note(connection, Shared(len(group)))
        return [
            next(records) if isinstance(item, Arrival) else new.intersection(item.lines) if item else frozenset()
            for item in read
        ]

    def _put_in(self, connection: Connection, requests: Sequence[_Request]) -> frozenset[str]:
        """Write messages and what they came in with; return the ids of those that were new."""
        rows = [row for request in requests for row in request.messages]
        new = insert_messages(connection, rows)
        if len(new) < len(rows):
            known = [row for row in rows if row["id"] not in new]
            new |= retold.keep_apart(connection, self._clock, self._registry.known(), known)
        kept = [request.intake for request in requests if any(row["id"] in new for row in request.messages)]
        if kept:
            insert_intake(connection, kept)
        if new:
            signals.note(connection, signals.MESSAGES)
        for origin, mine in _by_origin(requests).items():
            facts.note(connection, _told(mine, origin, new))
        return new


def _read(item: _Request | _Event | Arrival) -> _Request | Arrival | None:
    """Return what is to be written of an item; None for an event that cannot be taken, which keeps why."""
    if isinstance(item, _Event):
        item.read()
        return item.request
    return item


@lru_cache(maxsize=1024)
def _sent_by(name: str) -> str:
    """What is kept as headers of what somebody sent over the API: JSON text, the same object for each of their requests."""
    return json.dumps({SENT_BY: name}) if name else "{}"


def _by_origin(requests: Sequence[_Request]) -> dict[Origin, list[_Request]]:
    found: dict[Origin, list[_Request]] = {}
    for request in requests:
        found.setdefault(request.origin, []).append(request)
    return found


def _told(requests: Sequence[_Request], origin: Origin, new: frozenset[str]) -> Accepted:
    rows = [row for request in requests for row in request.messages if row["id"] in new]
    traced = {identity: one for request in requests for identity, one in request.origins.items()}
    return Accepted(rows, origin, traced)


SENT_BY = "sent_by"
"""Name in the headers of what came over the API: the account that it came with."""
INTAKE = (
    "id",
    "system",
    "channel",
    "topic",
    "event_key",
    "headers",
    "body",
    "sealed",
    "received_at",
    "trace_id",
    "state",
    "translated_at",
)
_INTAKE_SQLITE = f"INSERT INTO intake ({', '.join(INTAKE)})"
_COLUMNS = {"headers": "jsonb", "body": "bytea", "sealed": "bytea", "received_at": "bigint", "translated_at": "bigint"}
_INTAKE_POSTGRESQL = f"""
INSERT INTO intake ({", ".join(INTAKE)}) SELECT {", ".join(f"{name}::{_COLUMNS.get(name, 'text')}" for name in INTAKE)}
FROM unnest({", ".join("%b::text[]" if name == "headers" else f"%b::{_COLUMNS.get(name, 'text')}[]" for name in INTAKE)})
AS r({", ".join(INTAKE)})"""  # noqa: S608


def insert_intake(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert raw requests (INTAKE) that were understood at once."""
    if connection.dialect.name == "postgresql":
        direct.later(connection, _INTAKE_POSTGRESQL, [list(column) for column in zip(*rows, strict=True)])
    else:
        direct.insert_rows(connection, _INTAKE_SQLITE, rows)
