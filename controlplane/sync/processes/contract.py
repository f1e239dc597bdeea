"""What a process is: a name, the message types it handles, and one function inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from controlplane.clock import Clock
from controlplane.connectors.contract import Draft
from controlplane.connectors.envelope import AHEAD
from controlplane.registry import Snapshot
from controlplane.sync.ledger import Message


class BusinessRuleError(Exception):
    """The message contradicts what is known; it waits in quarantine with this reason."""

    def __init__(self, code: str, message: str, remedy: str, fault: str = "") -> None:
        """`fault`: the code or field that is wrong, where the record waits for one thing; records are grouped by it."""
        super().__init__(message)
        self.code = code
        self.remedy = remedy
        self.fault = fault


class OutdatedError(Exception):
    """The message tells an older state than is on record: it is kept, changes nothing and is owed to nobody.

    Raise it before anything is written.
    """


def is_newer(known: datetime, told: datetime, now: datetime) -> bool:
    """Say whether what is on record is of a later instant than what is told, and nothing that is told now could be newer.

    What is on record from ahead of our clock was told while a clock stood wrong that has been put right since.
    """
    return known > told and known - now <= AHEAD


@dataclass(frozen=True, slots=True)
class Work:
    """What a process is given: the transaction it is in, the promises in force, the time."""

    connection: Connection
    snapshot: Snapshot
    clock: Clock


@dataclass(frozen=True, slots=True)
class Process:
    """A plugin of the family `processes`; those of one message run in the order of their stage, then of their names."""

    handles: frozenset[str]
    apply: Callable[[Work, Message], list[Draft]]
    """Change the read models and return what follows. Raises BusinessRuleError, OutdatedError."""
    stage: int = 50
    """What is checked (5) comes before what is recorded (10), derived from it (50) and posted of it (90)."""
