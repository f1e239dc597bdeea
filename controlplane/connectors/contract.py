"""What a connector declares and the few methods it has. The whole contract of the family is this file.

A connector is made per System policy, used from several threads, and keeps no state that matters: caches and tokens
only. It reads time from the context's clock and reaches the network only through the shared HTTP client, or the context's door.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal, Protocol

from controlplane.clock import Clock
from controlplane.connectors.allowances import Left
from controlplane.connectors.network import Door, Resolve, look_up
from controlplane.connectors.redaction import Redactor
from controlplane.errors import BadInputError, RejectedError, SettingsError
from controlplane.telemetry.tracing import Caller
from rules.addresses import Pair
from rules.outcomes import Guarantee, Outcome
from rules.pacing import Allowance
from rules.personal import USUAL, Personal


class UnsupportedError(RejectedError):
    """The connector does not do this; its manifest says what it does."""


class SignatureError(BadInputError):
    """A webhook's signature is missing or wrong: answer 401 and store nothing."""


class BatchRefusedError(RejectedError):
    """A vendor refused several writes together for the sake of one of them; nothing of the batch took effect."""


UNMAPPED = "unmapped"
"""Key of an outcome's evidence that names the kind of code without translation; `code` beside it is the code."""


class UnmappedError(BadInputError):
    """A code of the system has no translation; the record waits in quarantine until somebody gives one."""

    def __init__(self, entity: str, code: str, system: str) -> None:
        super().__init__(
            f"{system} calls a {entity} '{code}', and no Mapping policy translates it; "
            f"add the code to the {entity} mapping of {system}, or correct the record",
            code,
        )
        self.entity = entity
        self.code = code


@dataclass(frozen=True, slots=True)
class Write:
    """One write that is owed to the system."""

    entity: str
    """As declared in the manifest."""
    subject: str
    idempotency_key: str
    payload: Mapping[str, Any]
    """Data of the canonical message (rules.model.messages)."""
    business_ref: str
    """What people call the document: order name, shipment id, posting key …"""
    owed_since: datetime | None = None
    """When it came to be owed: nothing of it reached the system before. A look-up in a log has to go back so far; None: not known."""


@dataclass(frozen=True, slots=True)
class WriteSpec:
    """What can be written, and what the vendor does with the same write told twice."""

    entity: str
    message_types: tuple[str, ...]
    guarantee: Guarantee
    late_effect: float = 0.0
    """Seconds within which a request that was not answered may still take effect."""
    batch: int = 1
    """How many writes one request can carry at most; above 1, `write_many` is implemented."""
    settles: bool = True
    """Once `late_effect` is over, absence proves that it had no effect. False: what failed in the system's own queue may be started again
    there at any time, so that what may be in it is never sent again before it is found, or a person has looked there and said so."""
    how: str = ""
    """By what the vendor, or we, know the same write again: a header, an external id, a look-up."""


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """What can be read: all stock of it (snapshot), what changed since a cursor (changes), or what it shows of each subject (listing)."""

    entity: str
    snapshot: bool = False
    changes: bool = False
    listing: Literal["", "orders", "articles"] = ""


Flaw = tuple[tuple[str, ...], str, str]
"""Path within a System's spec, the rule that it breaks, and the remedy."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a connector can do, for people and for lint."""

    name: str
    title: str
    reads: tuple[ReadSpec, ...] = ()
    writes: tuple[WriteSpec, ...] = ()
    receives: tuple[str, ...] = ()
    """Webhook topics."""
    consumes: bool = False
    """It takes records off a queue: `consume` is implemented."""
    repeats_within: float | None = None
    """Seconds within which the vendor repeats an event without an id: the content that was told last (`Record.about`) is then the same
    event. None: it does not, and each record without an event key is an event of its own."""
    secrets: tuple[str, ...] = ()
    """Names of the secrets it needs; it takes no others."""
    webhook_secrets: tuple[str, ...] = ()
    """Those of them without which it works until a webhook comes in."""
    optional_secrets: tuple[str, ...] = ()
    """Those of them without which it works."""
    options: tuple[str, ...] = ()
    """Keys of a System's `options` that it reads; it takes no others."""
    schemes: tuple[str, ...] = ("http", "https")
    """Schemes that an endpoint may have; none where it is a folder."""
    check: Callable[[str, Mapping[str, Any]], Iterable[Flaw]] | None = None
    """Finds what is wrong with an endpoint and options; a System with flaws is refused."""
    specific: Callable[[Mapping[str, Any]], Manifest | None] | None = None
    """Where a System's options declare what its connector can do: that; None when they declare nothing that can be read."""
    probes: tuple[str, ...] = ("latency",)
    verified_against: str = "prose only"
    kind: str = "other"
    """What sort of system it is, as `role` of a System says it: erp, wms, shop, till, marketplace … or broker."""
    auth: str = "none"
    """How a request proves who sends it."""
    limits: str = "none known"
    """What the vendor limits, and how large pages and batches are for it."""
    gaps: tuple[str, ...] = ()
    """What is known not to work, each in a few words."""
    statuses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The system's own statuses: of what -> as the system calls it -> what it is taken for."""
    option_schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON Schema of an option, by its name; an option that is not in it takes anything."""

    def of(self, options: Mapping[str, Any]) -> Manifest:
        """Return what a System with these options can do."""
        return (self.specific(options) if self.specific else None) or self

    def config_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a System's `options`."""
        known = {name: dict(self.option_schemas.get(name, {})) for name in self.options}
        return {"type": "object", "properties": known, "additionalProperties": False}

    def credential_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a System's `secrets`: names to references, never values."""
        needed = [name for name in self.secrets if name not in {*self.webhook_secrets, *self.optional_secrets}]
        known = {name: {"type": "string", "description": "a reference: env:, file: or vault:"} for name in self.secrets}
        return {"type": "object", "properties": known, "required": needed, "additionalProperties": False}

    def write_spec(self, entity: str) -> WriteSpec:
        """Return the declaration of one entity. Raises UnsupportedError naming those there are."""
        for spec in self.writes:
            if spec.entity == entity:
                return spec
        known = ", ".join(spec.entity for spec in self.writes) or "none"
        raise UnsupportedError(f"the connector '{self.name}' does not write '{entity}'; it writes: {known}")


@dataclass(frozen=True, slots=True)
class Inbound:
    """A webhook as it came in."""

    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One thing a system told us, verbatim, ready for intake."""

    topic: str
    event_key: str
    """The same event told twice has the same key; prefix it with the topic. Empty where the vendor gives none."""
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """Only what is needed as evidence; never credentials."""
    about: str = ""
    """What it is of (an article, an order), for a vendor that repeats without an event key: the same content is the same event unless
    something else was told of the same thing, without it of the same topic, in between."""


class Feed(Protocol):
    """An open queue of a system, for one thread. What it has given is the queue's still until it is acknowledged.

    However it ends, whatever was not acknowledged is given again. Each method raises ConnectorError when the queue cannot
    be reached any more; then it is closed, and another is opened.
    """

    def take(self, seconds: float) -> Sequence[Record]:
        """Return what came, in its order; wait at most so many wall seconds for the first. Keeps the connection alive.

        Never more than the system's policy allows to be held at once, acknowledged ones not counted.
        """
        ...

    def acknowledge(self) -> None:
        """Let the queue forget all that was given. Called only after it is committed."""
        ...

    def close(self) -> None:
        """Give back what was not acknowledged."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a queue holds that is not acknowledged, as its broker tells it."""

    count: int | None
    """None: the broker cannot tell, which is never taken for none."""
    oldest_at: datetime | None = None
    """Since when the oldest waits, by the broker's clock; None where it does not say, and where nothing waits."""
    note: str = ""
    """Why something is not known."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of records; the cursor is stored only together with the records that came before it."""

    records: tuple[Record, ...]
    cursor: dict[str, Any]


ITS_OWN = ""
"""Key of a draft that is known only by the record that it was made of: "5, then 3, then 5 again" are three events."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A canonical message as the connector understands it, before the ledger gives it an id."""

    type: str
    subject: str
    dedupe_key: str
    """The same fact told by webhook and by poll has the same key: for a document its type and reference, for a state also the version.

    Empty (`ITS_OWN`): the system gives nothing to know a fact by, and each record is an event of its own.
    """
    occurred_at: datetime
    data: dict[str, Any]
    source_version: str | None = None
    source: str = ""
    """The System that the record says it is from, where it says so; then a flow has to take it. Empty: the one that gave it."""
    schema_version: int | None = None
    """The version that `data` is written in; None: the newest."""
    causation_id: str | None = None
    trace: Caller | None = None
    """The trace that the record says it belongs to."""


@dataclass(frozen=True, slots=True)
class Level:
    """Stock that a system shows for one key, with the interval of our clock during which it was read."""

    sku: str
    location: str
    on_hand: int | None
    available: int | None
    source_at: datetime | None
    """The source's own change time, where it has one."""
    read_from: datetime
    read_to: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """What a system shows of one subject, an order or an article, with the interval of our clock during which it was read."""

    subject: str
    """Ours: the order's reference, a SKU."""
    fields: Mapping[str, int | Decimal | str]
    """`state` (rules.orders), `shipped` (units), `price`, `active` (yes or no); what the system does not tell is left out, never 0."""
    source_at: datetime | None
    """When it came to be there, by the system's clock, where it says so."""
    read_from: datetime
    read_to: datetime


@dataclass(frozen=True, slots=True)
class Setting:
    """How something is set at the system, and how it has to be for what policy promises."""

    name: str
    """Unique among the settings of a system."""
    promised: str
    actual: str | None
    """None: the system does not tell, which is never taken for well."""
    remedy: str
    """What to do when it is not as promised."""
    note: str = ""
    """Why it is not known."""
    option: str = ""
    """Key of the System's `options` that it is held against, where it is one."""
    never_told: bool = False
    """The system has no way to tell it, so that it stays unknown whatever anybody mends."""


class Codes(Protocol):
    """The Mapping policies of one system."""

    def ours(self, entity: str, theirs: str) -> str:
        """Translate a code of the system into ours. Raises UnmappedError when a strict mapping does not list it."""
        ...

    def theirs(self, entity: str, ours: str) -> str:
        """Translate our code into the system's. Raises UnmappedError when a strict mapping does not list it."""
        ...


@dataclass(frozen=True, slots=True)
class Number:
    """A number that something sent to a system bears, and nothing else ever."""

    value: int
    """From 1 on, without end; whoever has fewer digits decides what it wraps at."""
    taken_at: datetime
    used_at: datetime | None
    """Since when what bears it may have reached the system; None proves that it has not."""


class Numbers(Protocol):
    """What counts what is sent to one system. Kept by the plane, for a connector keeps nothing; each call commits."""

    def find(self, series: str, key: str) -> Number | None:
        """Return the number of what the key names; None proves that it was never about to be sent."""
        ...

    def take(self, series: str, key: str) -> Number:
        """Return the number of what the key names, the next one of the series if it has none: the same key, the same number."""
        ...

    def use(self, series: str, key: str) -> None:
        """Note, before it happens, that what bears the number reaches the system from now on."""
        ...

    def find_all(self, series: str, keys: Sequence[str]) -> dict[str, Number]:
        """Return key -> number of those that have one, as `find` does."""
        ...

    def take_all(self, series: str, keys: Sequence[str]) -> list[Number]:
        """Return the numbers of several, in their order, as `take` does."""
        ...

    def use_all(self, series: str, keys: Sequence[str]) -> None:
        """Note it of several, as `use` does."""
        ...


class NoNumbers:
    """Stands where there is no store to keep numbers in."""

    def find(self, series: str, key: str) -> Number | None:
        """Refuse."""
        raise SettingsError(
            "numbers are kept in the plane's store, and there is none here; write through a running plane"
        )

    def take(self, series: str, key: str) -> Number:
        """Refuse."""
        raise SettingsError(
            "numbers are kept in the plane's store, and there is none here; write through a running plane"
        )

    def use(self, series: str, key: str) -> None:
        """Refuse."""
        self.take(series, key)

    def find_all(self, series: str, keys: Sequence[str]) -> dict[str, Number]:
        """Refuse."""
        self.take(series, "")
        return {}

    def take_all(self, series: str, keys: Sequence[str]) -> list[Number]:
        """Refuse."""
        return [self.take(series, "")]

    def use_all(self, series: str, keys: Sequence[str]) -> None:
        """Refuse."""
        self.take(series, "")


def uncounted() -> None:
    """Count nothing, tell nobody."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a connector is given."""

    system: str
    endpoint: str
    options: Mapping[str, Any]
    secret: Callable[[str], str]
    """Name -> value. Raises SettingsError naming the reference that could not be resolved."""
    codes: Codes
    clock: Clock
    timeout: float
    """Seconds of the clock that one request may take."""
    concurrency: int = 4
    """Requests that may be under way at once."""
    rate: float | None = None
    """Requests a second, at most; None leaves it to the system to complain."""
    meter: Callable[[], None] = uncounted
    """Called once for each request that is sent; a write may take several."""
    given: frozenset[str] = frozenset()
    """Names of the secrets that the policy gives."""
    internal: frozenset[Pair] = frozenset()
    """Exact places that are not public and may be connected to, as the policy states them."""
    resolve: Resolve = look_up
    blocked: str = ""
    """Why the endpoint as it is written may not be connected to; empty where nothing is known against it."""

    @property
    def door(self) -> Door:
        """The way to the network, for a connector that needs another client than the shared one."""
        return Door(self.system, self.internal, self.resolve)

    hidden: Redactor = field(default_factory=Redactor)
    """Knows every value that the system's secrets have had; the shared client hides what it knows."""
    refused: Callable[[], None] = uncounted
    """Called when the system refuses the credentials: the secrets are looked up anew before the next request."""
    personal: Personal = USUAL
    """What policy says of the personal fields of the system's records."""
    numbers: Numbers = field(default_factory=NoNumbers)
    """Counts what is sent, for systems that want each document numbered."""
    left: Left = field(default_factory=Left)
    """What the system's answers say is left of its limit; the shared client hears it."""


class Connector(ABC):
    """A plugin that speaks one system's protocol. Override what the manifest declares."""

    manifest: ClassVar[Manifest]

    def __init__(self, context: Context) -> None:
        self.context = context

    def close(self) -> None:  # noqa: B027  # most connectors hold nothing, so it is no duty
        """Let go of connections. Nothing is asked of the connector afterwards."""

    def ping(self) -> None:
        """Make the cheapest request that proves that the system answers us. Raises ConnectorError."""
        raise UnsupportedError(f"the connector '{self.manifest.name}' cannot be pinged")

    def settings(self) -> list[Setting]:
        """Read back how the system is set, as far as what policy promises leans on it. Changes nothing.

        Raises ConnectorError when it cannot be read now, UnsupportedError when the system tells nothing of it.
        """
        raise UnsupportedError(f"the connector '{self.manifest.name}' cannot tell how its system is set")

    def receive(self, inbound: Inbound) -> Record:
        """Check a webhook's signature and name its topic and event key. Raises SignatureError. Does not interpret the body."""
        raise UnsupportedError(f"the connector '{self.manifest.name}' receives no webhooks")

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield what changed since the cursor, oldest first, with overlap; None starts from the beginning. Raises ConnectorError."""
        raise UnsupportedError(f"the connector '{self.manifest.name}' cannot be polled for '{entity}'")

    def consume(self) -> Feed:
        """Open the queue; what was given and not acknowledged before is given again. Raises ConnectorError, SettingsError."""
        raise UnsupportedError(f"the connector '{self.manifest.name}' takes nothing off a queue")

    def waiting(self) -> Waiting:
        """Ask the broker how much waits in the queue. Changes nothing. Raises ConnectorError, SettingsError."""
        raise UnsupportedError(f"the connector '{self.manifest.name}' has no queue to look into")

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Turn a record into canonical messages; an empty list means that it is of no interest.

        Raises UnmappedError for a code without translation, BadInputError for a record that breaks its contract,
        ConnectorError when something has to be looked up and cannot be now.
        """
        raise UnsupportedError(f"the connector '{self.manifest.name}' translates nothing")

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield pages of stock levels, all of them or those of the keys (sku, location). A partial read raises ConnectorError."""
        raise UnsupportedError(f"the connector '{self.manifest.name}' has no snapshot of '{entity}'")

    def entries(
        self, entity: str, subjects: Sequence[str] | None = None, since: datetime | None = None
    ) -> Iterator[list[Entry]]:
        """Yield pages of what the system shows of each subject, or of the given ones. A partial read raises ConnectorError.

        `since`: only what came to be there at this instant of the system's clock or later, where it can be asked so.
        """
        raise UnsupportedError(f"the connector '{self.manifest.name}' does not list '{entity}'")

    def write(self, request: Write) -> Outcome:
        """Try one write. Answers with a named outcome; raises only on a defect of our own."""
        raise UnsupportedError(f"the connector '{self.manifest.name}' writes nothing")

    def write_many(self, requests: Sequence[Write]) -> list[Outcome]:
        """Try several writes of one entity in one request, at most `WriteSpec.batch`; answer one outcome for each, in order.

        Raises BatchRefusedError when the vendor refuses all for one, and BadInputError (with UnmappedError) before anything is
        sent: nothing took effect, and halves of it are tried until the one is alone. Any other ConnectorError stands for every
        one of them. What else it raises is a defect: each is read back, and sent alone from then on.
        """
        raise UnsupportedError(f"the connector '{self.manifest.name}' writes one at a time")

    def allowance(self) -> Allowance | None:
        """Return what the system last said is left of its limit, or None where it does not say.

        The shared client hears the usual headers (`connectors.allowances`); override it for a system that tells it elsewhere.
        """
        return self.context.left.at(self.context.clock.now())

    def read_back(self, request: Write) -> Outcome:
        """Find out whether the write took effect: ALREADY_DELIVERED, ABSENT, STALE, or UNKNOWN/UNAVAILABLE when that cannot be told now.

        ABSENT is a proof: it was looked for. Where nothing can be looked up, and the key makes the same write harmless: UNSEEN.
        REJECTED: the target had taken it, and has refused it since. UNKNOWN with `AWAITED`: it is queued there. With
        ALREADY_DELIVERED, `effects` of the outcome names all that bear our reference: more than one is told to a person.
        """
        raise UnsupportedError(f"the connector '{self.manifest.name}' cannot read back")
