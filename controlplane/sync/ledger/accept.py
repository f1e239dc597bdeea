"""Take canonical messages in: the bytes as they came and the messages they hold, in one commit that others share.

A request is one message or a batch of them, one a line (NDJSON). What is wrong with a line is told at once, and the other lines
are taken; what is taken is acknowledged after its commit. A fact that is known already is answered as accepted, once.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from controlplane.clock import Clock
from controlplane.connectors.envelope import open_envelope
from controlplane.errors import BadInputError, OverloadedError
from controlplane.registry import Registry, Snapshot
from controlplane.sealing import Keyring, Shield
from controlplane.store import Store, direct, facts, signals
from controlplane.store import tables as t
from controlplane.store.types import EPOCH, MICROSECOND, micros
from controlplane.sync.intake import label
from controlplane.sync.intake.group import GroupCommit
from controlplane.sync.ledger.insert import insert_messages
from controlplane.sync.ledger.messages import read, refuse_ahead, refuse_other_subject, refuse_unknown
from controlplane.telemetry.facts import Accepted, Origin, Shared
from controlplane.telemetry.tracing import Caller
from rules.ids import fingerprint, new_ids
from rules.model.messages import as_json, version_of
from rules.personal import Personal

LARGEST_GROUP = 256
"""Requests that share a commit, at most."""
FREE_BYTES = 64 * 2**20
"""Nothing is taken while the disk of the embedded store has less room than this."""
LOOK_EVERY = 256
"""Requests after which the room on the disk, and the backlog, are looked at again."""
RETRY_AFTER = 5.0


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
    duplicates: list[int]
    """Lines that told what was known already: accepted before, once."""
    refused: list[Refusal]


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


class Acceptor:
    """The way in for canonical messages. Safe to use from several threads, which share commits."""

    def __init__(
        self, store: Store, clock: Clock, registry: Registry, keys: Keyring, limit: int = 0,
        largest_group: int = LARGEST_GROUP,
    ) -> None:  # fmt: skip
        """`limit`: most messages that may wait to be processed before new ones are refused; 0: as many as the disk holds."""
        self._store, self._clock, self._registry, self._limit, self._keys = store, clock, registry, limit, keys
        self.group: GroupCommit[_Request, frozenset[str]] = GroupCommit(self._commit, largest_group)
        self._looked = 0

    def accept(self, body: bytes, *, batch: bool, channel: str = "api", told: Caller | None = None) -> Receipt:
        """Take one event, or with `batch` one event a line; return when it is committed.

        `told`: the trace that the request belongs to; an event that names another belongs to that one.
        Raises OverloadedError (try later) before anything is taken. Without `batch` also BadInputError.
        """
        snapshot = self._registry.known() if self._registry.known().version else self._registry.snapshot()
        request, refused = self._read(body, snapshot, told, batch=batch, channel=channel)
        if not request.messages:
            return Receipt({}, [], refused)
        self.room()
        try:
            new = self.group.hand_in(request)
        except OperationalError as error:
            self._looked = 0  # the next one looks for room first
            raise OverloadedError(
                f"the store cannot take messages now ({error.orig}); send them again later", RETRY_AFTER
            ) from error
        accepted = {line: identity for identity, line in request.lines.items() if identity in new}
        duplicates = [line for identity, line in request.lines.items() if identity not in new]
        return Receipt(accepted, duplicates, refused)

    # --- reading ---

    def _read(
        self, body: bytes, snapshot: Snapshot, told: Caller | None, *, batch: bool, channel: str
    ) -> tuple[_Request, list[Refusal]]:
        now = self._clock.now()
        stamp = micros(now)
        lines = (
            [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
            if batch
            else [(1, body)]
        )
        intake_id, *ids = new_ids(now, 1 + len(lines))
        refused: list[Refusal] = []
        messages: list[dict[str, Any]] = []
        places: dict[str, int] = {}
        origins: dict[str, Origin] = {}
        for identity, (number, line) in zip(ids, lines, strict=True):
            try:
                found = open_envelope(line, now)
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
                "fingerprint": fingerprint(found.source, found.event_id), "occurred_at": (found.occurred_at - EPOCH) // MICROSECOND,
                "accepted_at": stamp, "causation_id": found.causation_id, "intake_id": intake_id,
                "intake_line": number if batch else None, "trace_id": trace.trace_id if trace else identity.replace("-", ""),
                "data": as_json(data), "state": "accepted", "registry_version": snapshot.version,
            })  # fmt: skip
        source = messages[0]["source"] if messages else ""
        topic = "messages/batch" if batch else "messages/single"
        body, sealed = (
            self._hidden(body, intake_id, snapshot.personal_of(source)) if refused and messages else (body, None)
        )
        intake = (intake_id, source, channel, topic, f"{channel}:{intake_id}", "{}", body, sealed, stamp,
                  intake_id.replace("-", ""), "translated", stamp)  # fmt: skip
        return _Request(intake, messages, Origin(channel), places, origins), refused

    def _hidden(self, body: bytes, intake_id: str, personal: Personal) -> tuple[bytes, bytes | None]:
        """Seal what a batch holds of a person. A message has no field for that, so only a line that was refused may."""
        return Shield(personal, self._keys).batch(label(intake_id), body)

    def room(self, coming: int = 1) -> None:
        """Refuse what comes when the disk is nearly full or more waits than was set. Raises OverloadedError."""
        self._looked -= coming
        if self._looked > 0:
            return
        if self._store.is_sqlite:
            folder = Path(str(self._store.engine.url.database)).parent
            free = shutil.disk_usage(folder).free
            if free < FREE_BYTES:
                raise OverloadedError(
                    f"the disk of the store has only {free // 2**20} MB left; free some, then send again", RETRY_AFTER
                )
        if self._limit:
            waiting = select(func.count()).select_from(t.message).where(t.among(t.message.c.state, "accepted"))
            unread = select(func.count()).select_from(t.intake).where(t.among(t.intake.c.state, "new"))
            with self._store.read() as connection:
                count = int(connection.execute(waiting).scalar_one() + connection.execute(unread).scalar_one())
            if count >= self._limit:
                raise OverloadedError(
                    f"{count} messages wait to be processed, and TRUEUP_ACCEPT_LIMIT={self._limit}; send again later",
                    RETRY_AFTER,
                )
        self._looked = LOOK_EVERY if not self._limit else 1

    # --- writing ---

    def _commit(self, requests: Sequence[_Request]) -> list[frozenset[str]]:
        with self._store.write() as connection:
            new = insert_messages(connection, [row for request in requests for row in request.messages])
            kept = [request.intake for request in requests if any(row["id"] in new for row in request.messages)]
            if kept:
                insert_intake(connection, kept)
            if new:
                signals.note(connection, signals.MESSAGES)
            facts.note(connection, Shared(len(requests)))
            for origin, mine in _by_origin(requests).items():
                facts.note(connection, _told(mine, origin, new))
        return [frozenset(request.lines) & new for request in requests]


def _by_origin(requests: Sequence[_Request]) -> dict[Origin, list[_Request]]:
    found: dict[Origin, list[_Request]] = {}
    for request in requests:
        found.setdefault(request.origin, []).append(request)
    return found


def _told(requests: Sequence[_Request], origin: Origin, new: frozenset[str]) -> Accepted:
    rows = [row for request in requests for row in request.messages if row["id"] in new]
    traced = {identity: one for request in requests for identity, one in request.origins.items()}
    return Accepted(rows, origin, traced)


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
_INTAKE_POSTGRESQL = f"INSERT INTO intake ({', '.join(INTAKE)}) VALUES ({', '.join(['%s'] * len(INTAKE))})"  # noqa: S608


def insert_intake(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert raw requests (INTAKE) that were understood at once."""
    if connection.dialect.name == "postgresql":
        for row in rows:
            direct.later(connection, _INTAKE_POSTGRESQL, row)
    else:
        direct.insert_rows(connection, _INTAKE_SQLITE, rows)
