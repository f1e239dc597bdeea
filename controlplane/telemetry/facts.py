"""The facts that the rooms of sync note in their transactions (`store.facts`), and that are counted and traced after the commit.

They carry rows as they were written; instants in microseconds since 1970 where rows have them so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol


class Origin(NamedTuple):
    """How a message came into the ledger."""

    channel: str
    """webhook, poll, file, broker, api …; `plane` for what the plane itself makes."""
    parent: str = ""
    """The span that it follows from (16 hex digits), empty without one."""
    began: datetime | None = None
    """When the work began that made it; None: when it was accepted."""


PLANE = Origin("plane")


@dataclass(frozen=True, slots=True)
class Received:
    """Records were taken in, verbatim."""

    system: str
    channel: str
    records: Sequence[Mapping[str, Any]]
    """Rows of `intake`: id, trace_id, received_at (aware)."""
    parent: str = ""
    """The caller's span, if it told one."""


@dataclass(frozen=True, slots=True)
class Translated:
    """Records were turned into messages, set aside, or held for a person."""

    system: str
    result: str
    """translated, ignored or quarantined."""
    count: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """Messages were put into the ledger."""

    messages: Sequence[Mapping[str, Any]]
    """Rows of `message`: id, type, source, trace_id, accepted_at (microseconds)."""
    origin: Origin
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By the message's id, of those that came in another way."""


@dataclass(frozen=True, slots=True)
class Shared:
    """So many requests shared one commit."""

    requests: int


class Step(NamedTuple):
    """One message that went through the processes."""

    id: str
    type: str
    trace_id: str
    accepted_at: datetime
    began: datetime
    ended: datetime
    """When its processes were through; writing what is owed for it comes after."""
    result: str
    """processed or quarantined."""
    owed: int
    """Deliveries that were made of it."""


@dataclass(frozen=True, slots=True)
class Processed:
    """Messages left the state `accepted`."""

    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Superseded:
    """States that were owed to a target were superseded by newer ones before they were sent."""

    target: str
    count: int


@dataclass(frozen=True, slots=True)
class TookEffectTwice:
    """A document was found at a target more than once."""

    target: str


class Owed(Protocol):
    """A delivery as it was claimed (`sync.delivery.Claimed`)."""

    @property
    def id(self) -> str: ...
    @property
    def message_id(self) -> str: ...
    @property
    def flow(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def entity(self) -> str: ...
    @property
    def idempotency_key(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def fence(self) -> int: ...
    @property
    def created(self) -> int: ...
    @property
    def trace_id(self) -> str: ...


class Answer(Protocol):
    """A named outcome (`rules.outcomes.Outcome`)."""

    @property
    def result(self) -> str: ...


class Tried(Protocol):
    """One try at a delivery (`sync.delivery.Sent`)."""

    @property
    def claimed(self) -> Owed: ...
    @property
    def outcome(self) -> Answer: ...
    @property
    def kind(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Attempted:
    """Tries were recorded."""

    target: str
    tries: Sequence[Tried]
    counted: Collection[str]
    """Deliveries whose claim was still ours: the others' state was not changed."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of delivery with the store, from before its transaction."""

    target: str
    began: float
    """The clock's stopwatch."""
