"""What the author of a connector gives the suite: how its system is started, how its data is made, and what really took effect.

Only `start` has to be written. What else is left out makes the checks that need it *not applicable*, with the reason. A bench
asks the system itself, never the connector that is on trial: a simulator's journal, a database, a folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from controlplane.clock import Clock, SystemClock
from controlplane.connectors.conformance.faults import Asked, Canned
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.contract import Codes, Connector, Context, Inbound, NoNumbers, Numbers, Record, Write
from controlplane.connectors.redaction import Redactor
from controlplane.errors import SettingsError
from rules.addresses import place_of


class PlainCodes:
    """Codes that stand for themselves."""

    def ours(self, entity: str, theirs: str) -> str:
        """Return the code."""
        return theirs

    def theirs(self, entity: str, ours: str) -> str:
        """Return the code."""
        return ours


@dataclass(frozen=True, slots=True)
class GivenCodes:
    """Codes of a table, entity -> theirs -> ours; what is not in it stands for itself."""

    table: Mapping[str, Mapping[str, str]]

    def ours(self, entity: str, theirs: str) -> str:
        """Return our code."""
        return self.table.get(entity, {}).get(theirs, theirs)

    def theirs(self, entity: str, ours: str) -> str:
        """Return the system's code."""
        return {our: their for their, our in self.table.get(entity, {}).items()}.get(ours, ours)


@dataclass(frozen=True, slots=True)
class Place:
    """A system that runs, as a System policy would tell of it."""

    endpoint: str
    secrets: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    codes: Codes = field(default_factory=PlainCodes)
    numbers: Numbers = field(default_factory=NoNumbers)
    """Where control numbers are kept, for a system that wants each document numbered."""
    beside: tuple[str, ...] = ()
    """Other addresses that its options name: where tokens are fetched, a queue."""

    def context(self, system: str, clock: Clock, timeout: float = 20.0, endpoint: str = "") -> Context:
        """Return what a connector of it is given; `endpoint`: another way to the same system. It may be on loopback."""
        way = endpoint or self.endpoint
        places = [place_of(one) for one in (way, *self.beside)]
        return Context(
            system=system, endpoint=way, options=self.options, secret=self._secret, codes=self.codes, clock=clock,
            timeout=timeout, given=frozenset(self.secrets), numbers=self.numbers, hidden=Redactor(self.secrets.values()),
            internal=frozenset(place[1] for place in places if place and place[1].port),
        )  # fmt: skip

    def _secret(self, name: str) -> str:
        if name not in self.secrets:
            raise SettingsError(f"the bench gives no secret '{name}'; add it to Place.secrets")
        return self.secrets[name]


class Bench(ABC):
    """One system for one connector. It is started once for all checks, so each method gives something new at each call."""

    connector: ClassVar[type[Connector]]
    against: ClassVar[str]
    """What the system is: a simulator, the vendor's own test account, a real server."""
    several_pages: ClassVar[Mapping[str, int]] = {}
    """Entity -> how many things of it need more than one page."""
    enums: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Entity that is read -> members of the system's answers that hold one of a list of codes."""
    amounts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Entity that is read -> members of the system's answers that hold an amount of money, as text or number."""
    known_amounts: ClassVar[Mapping[str, str]] = {}
    """Entity that is read -> an amount that everything which the bench makes of it holds, as a plain decimal."""
    throttling: ClassVar[Canned | None] = None
    """How the system says 'slow down' in its own way, beside 429 with Retry-After."""
    throttled_for: ClassVar[float | None] = None
    """Seconds that the answer above asks for."""
    silent_success: ClassVar[str] = ""
    """Why nothing in the system's answer to a write tells success from a page that some proxy made up; empty: something does."""

    webhook_key: ClassVar[str] = ""
    """Header of a webhook that holds a key of ours, where the system signs nothing: a changed body is then not noticed."""

    @abstractmethod
    def start(self, folder: Path) -> Place:
        """Start the system, empty as far as it can be. Raises NotApplicable when something that it needs is missing here."""

    def stop(self) -> None:  # noqa: B027  # a bench may hold nothing
        """Stop it."""

    @property
    def clock(self) -> Clock:
        """The clock that the connector gets; a simulator with a clock of its own gives one that goes with it."""
        return _WALL

    def rest(self) -> None:  # noqa: B027  # most systems need none
        """Let the system's limits recover. Called before each check and between walks."""

    # --- reading ---
    def things(self, entity: str, at_least: int) -> set[str]:
        """See that so many things can be read, and return the identities of all that there are. Of stock: `SKU@LOCATION`."""
        raise NotApplicable(f"the bench cannot make '{entity}'")

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the identities that a polled record is of."""
        raise NotApplicable(f"the bench cannot tell what a record of '{entity}' is of")

    def listed(self, entity: str, at_least: int) -> set[str]:
        """See that a listing has so many subjects to tell of, and return all of them, as the plane calls them."""
        raise NotApplicable(f"the bench cannot make '{entity}' that are listed")

    def stir(self, entity: str) -> None:
        """Change something of what is read, or add to it, as somebody else would in the middle of a reading."""
        raise NotApplicable(f"the bench cannot change '{entity}' meanwhile")

    # --- writing ---
    def write(self, entity: str) -> Write:
        """Return a write that the system will take, of a document or a state that no other write was of."""
        raise NotApplicable(f"the bench has no write of '{entity}'")

    def carry_out(self) -> None:  # noqa: B027  # most systems are done when they answer
        """Let the system do what it has queued: a write that is awaited is read back after it."""

    def effects(self, request: Write) -> int:
        """Return how many times the write took effect, by the system's own books."""
        raise NotApplicable("the bench cannot tell what took effect")

    def stale(self, entity: str) -> Write:
        """Return a write that was computed from a value that is not there any more."""
        raise NotApplicable(f"the bench has no stale write of '{entity}'")

    def refused(self, entity: str) -> Write:
        """Return a write that the system itself refuses for good."""
        raise NotApplicable(f"the bench has no write of '{entity}' that the system refuses")

    def sent_amounts(self, entity: str) -> tuple[str, ...]:
        """Return the amounts that a request of `write(entity)` has to carry exactly, as plain decimals."""
        return ()

    def is_write(self, asked: Asked) -> bool:
        """Whether the request changes something at the system when it is carried out."""
        return asked.method in ("PUT", "PATCH", "DELETE")

    def is_read(self, asked: Asked) -> bool:
        """Whether the request reads data, rather than fetching a token or opening a session."""
        return not self.is_write(asked)

    # --- receiving ---
    def webhooks(self) -> Sequence[Inbound]:
        """Return webhooks that the system has sent, signed by it; at least one of each topic that it can be made to tell."""
        raise NotApplicable("the bench cannot make the system send a webhook")

    def under_another_id(self, inbound: Inbound) -> Inbound:
        """Return the same signed body as it comes when it is told again under a new id of the event."""
        raise NotApplicable("the system's webhooks have no id outside of what is signed")

    # --- queues ---
    def enqueue(self, count: int) -> list[bytes]:
        """Put records into the queue and return their bodies."""
        raise NotApplicable("the bench cannot put anything into a queue")


_WALL = SystemClock()
