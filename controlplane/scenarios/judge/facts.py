"""What the judge is given: the sandbox's evidence as it came, and the plane's rows as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

Event = Mapping[str, Any]
"""One event of the truth journal; docs/sandbox.md lists the fields of each kind."""
TruthRow = Mapping[str, Any]
"""One key in everybody's books, as the sandbox's control API answers it."""
CONFIRMATION = timedelta(seconds=5)
"""How often the plane reads suspicions a second time: the tolerance on when a finding can be confirmed."""


def instant(text: str) -> datetime:
    """Read an instant of the journal, aware."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Promises:
    """What the plane's policies promise; episodes are measured against it."""

    cycle: timedelta
    """Between two comparisons."""
    comparison: timedelta
    """A difference younger than this may be on its way."""
    flows: Mapping[str, timedelta]
    """Message type -> accepted to delivered."""
    entries: tuple[str, ...] = ()
    """What each shipment posts: names of entries."""
    locations: tuple[str, ...] = ("WH1",)
    """Those that the comparison watches over."""


@dataclass(frozen=True, slots=True)
class Case:
    """A record in quarantine."""

    subject: str
    record: str
    """The record, as text."""
    reason: str
    state: str


@dataclass(frozen=True, slots=True)
class FindingFact:
    """A finding of the plane that it confirmed."""

    id: str
    key: str
    """SKU@LOCATION."""
    side: str
    cause: str
    state: str
    confirmed_at: datetime
    closed_at: datetime | None
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class IncidentFact:
    """An incident of the plane."""

    id: str
    rule: str
    labels: Mapping[str, str]
    state: str
    title: str
    opened_at: datetime
    resolved_at: datetime | None
    told: frozenset[str] = frozenset()
    """What reached the incident tool of it: trigger, resolve."""
    inhibited: bool = False
    """Another incident explains it, so people were not told of this one."""


@dataclass(frozen=True, slots=True)
class RunFact:
    """A comparison that read everything."""

    started_at: datetime
    finished_at: datetime
    keys: int
    indeterminate: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A key that a plain diff of the same snapshots calls different."""

    key: str
    side: str
    began: datetime
    """When the first of the snapshots began."""
    ended: datetime


@dataclass(frozen=True, slots=True)
class PlaneFacts:
    """Everything the plane says, at the end."""

    accepted: int
    """Messages from outside that the ledger took."""
    cases: Sequence[Case]
    findings: Sequence[FindingFact]
    incidents: Sequence[IncidentFact]
    indeterminate: int
    """Keys that the last complete comparison could not decide."""
    promises: Promises
    runs: Sequence[RunFact] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One scenario, played to its end."""

    scenario: str
    seed: int
    began: datetime
    ended: datetime
    wall_seconds: float
    journal: Sequence[Event]
    at_start: Sequence[TruthRow]
    at_end: Sequence[TruthRow]
    plane: PlaneFacts
    unrest: Sequence[str] = field(default=())
    """What was still moving when the wait for quiet was given up; empty when quiet was reached."""
    naive: Sequence[Difference] = ()
