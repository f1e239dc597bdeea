"""One model per kind of policy document `{apiVersion, kind, metadata, spec}`.

Durations are text such as 30s, 5m, 2h, 1d; they are read into timedelta. Money is text or integer, read into Decimal.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    model_validator,
)

from rules.addresses import SANDBOX, Pair
from rules.references import Naming

API_VERSION = "trueup/v1"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: Any) -> timedelta:
    """Read `90s`, `5m`, `2h`, `1d`, `1h30m`. Raises ValueError saying what is taken."""
    if isinstance(value, timedelta):
        return value
    text = str(value).strip()
    if not re.fullmatch(r"(\d+[smhd])+", text):
        raise ValueError(f"'{value}' is not a duration; write a number and s, m, h or d, for instance 90s, 5m or 1h30m")
    try:
        return timedelta(seconds=sum(int(n) * UNITS[u] for n, u in re.findall(r"(\d+)([smhd])", text)))
    except OverflowError:
        raise ValueError(f"'{value}' is longer than any calendar; write a shorter duration") from None


def format_duration(value: timedelta) -> str:
    """Write a duration the way `parse_duration` reads it."""
    seconds = int(value.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


CEILING = timedelta(days=73_000)
"""What is longer is read as this: beyond it instants leave the calendar, and time-outs leave 64 bits."""


def _held(value: timedelta) -> timedelta:
    return min(value, CEILING)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    AfterValidator(_held),
    PlainSerializer(format_duration, return_type=str),
]
"""Whatever a policy in force may say is read; how long each may be when it is proposed is in `rules.policy.lengths`."""
POLICY_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
PolicyName = Annotated[str, Field(pattern=POLICY_NAME)]
Share = Annotated[float, Field(gt=0, lt=1)]
Severity = Literal["page", "ticket"]
Showing = Literal["mask", "hash", "show"]
"""How a personal field is shown: not at all, as a keyed hash by which equal ones are told, or as it is."""
Entity = Annotated[str, Field(min_length=1, max_length=80)]


class Part(BaseModel):
    """Base of everything in a policy: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Metadata(Part):
    """Name and what people should know of a policy."""

    name: PolicyName
    title: str = ""
    description: str = Field(default="", max_length=1050)
    labels: dict[str, str] = {}


class Breaker(Part):
    """When a failing system is given a pause, and for how long."""

    after: int = Field(default=5, ge=1, description="failures in a row that open it")
    pause: Duration = Field(
        default=timedelta(seconds=15), description="first pause; doubles with each failure after it"
    )
    cap: Duration = timedelta(minutes=2)


def _exact_pair(text: str) -> str:
    return text if text == SANDBOX else str(Pair.read(text))


InternalPair = Annotated[str, Field(max_length=300), AfterValidator(_exact_pair)]
"""`HOST:PORT`, or ${SANDBOX} for the sandbox's own."""
MOST_AT_ONCE = 100
"""Requests to a system that may be under way at once, by any policy."""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _unlisted(value: tuple[str, ...]) -> str | list[str]:
    return value[0] if len(value) == 1 else list(value)


Names = Annotated[
    tuple[PolicyName, ...],
    Field(max_length=200),
    BeforeValidator(_listed, json_schema_input_type=PolicyName | tuple[PolicyName, ...]),
    PlainSerializer(_unlisted, return_type=str | list[str]),
]
"""Names that nothing else defines; one alone is written without the list."""


LEADING = ("connector", "endpoint", "internal", "secrets")
"""Parts of a System that say where it leads, and which secrets are sent there."""
LEADING_OPTION = re.compile(r"manifest|endpoint|host|url|server|region|realm|login")
"""So do options that are called like this: where tokens are asked for, which bucket or host it is, a declared connector's manifest."""


def leads_elsewhere(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return the first part of a System's spec, as it is stored, by which it leads elsewhere than before; empty where none does."""
    part = next((part for part in LEADING if before.get(part) != after.get(part)), "")
    held, told = (dict(spec.get("options") or {}) for spec in (before, after))
    names = sorted(name for name in held.keys() | told.keys() if LEADING_OPTION.search(name.lower()))
    option = next((name for name in names if held.get(name) != told.get(name)), "")
    return part or (f"options.{option}" if option else "")


PLACES_ORDERS = frozenset({"shop", "till", "marketplace"})
"""Roles of Systems that give orders and sales their references, and know those of nobody else."""
Prefix = Annotated[str, Field(pattern=r"^[!-~]{0,20}$")]


class References(Part):
    """What tells a system's documents apart from another's that are called the same."""

    prefix: Prefix = Field(
        default="",
        description="stands before what the system calls its own documents, everywhere but at the system itself; 20 characters at most",
    )
    orders: Prefix | None = Field(
        default=None,
        description="stands before the orders that it names; default: `prefix` at a shop, till or marketplace, at others nothing",
    )
    former: tuple[Prefix, ...] = Field(
        default=(),
        max_length=10,
        description="prefixes that it had before, by which its older documents are still known",
    )


class SystemSpec(Part):
    """An outside party and how to reach it."""

    connector: str = Field(description="name of the connector plugin")
    owner: PolicyName = Field(description="Team that is called when it misbehaves")
    role: Literal["erp", "wms", "shop", "till", "marketplace", "3pl", "carrier", "payment", "tax", "incident", "bi"]
    brand: Names = Field(
        default=(), description="brands that it is of; people confined to brands see no system that names none"
    )
    region: Names = Field(default=(), description="regions that it is of, likewise")
    endpoint: str = Field(description="base address or folder; ${SANDBOX} and ${HOME} are filled in from the settings")
    internal: tuple[InternalPair, ...] = Field(
        default=(),
        max_length=20,
        description="exact HOST:PORT pairs that are not public and may be connected to all the same; ${SANDBOX}: the sandbox's own",
    )
    secrets: dict[str, str] = Field(
        default={}, description="name -> reference: env:NAME, file:NAME or vault:MOUNT/PATH#FIELD, never a value"
    )
    options: dict[str, Any] = Field(default={}, description="what this connector's own configuration takes")
    references: References = References()
    personal: dict[str, Showing] = Field(
        default={},
        description="field of its records (a name, or a path) -> mask, hash or show; the usual names are known",
    )
    timeout: Duration = timedelta(seconds=10)
    concurrency: int = Field(default=4, ge=1, le=MOST_AT_ONCE, description="requests at once, of all workers together")
    rate: float | None = Field(default=None, gt=0, description="requests a second, at most, of all workers together")
    burst: int | None = Field(
        default=None, ge=1, description="requests that may come at once; default: one second's worth"
    )
    breaker: Breaker = Breaker()

    @property
    def naming(self) -> Naming:
        """How the plane calls what the system calls otherwise."""
        told = self.references
        usual = told.prefix if self.role in PLACES_ORDERS else ""
        return Naming(told.prefix, usual if told.orders is None else told.orders, told.former)


Systems = Annotated[
    tuple[PolicyName, ...],
    Field(min_length=1),
    BeforeValidator(_listed, json_schema_input_type=PolicyName | tuple[PolicyName, ...]),
    PlainSerializer(_unlisted, return_type=str | list[str]),
]
"""Names of Systems; one alone is written without the list."""


class EntityOwnership(Part):
    """Who is right about an entity."""

    system_of_record: Systems = Field(
        description="a System; of documents also several, each for those that it issues itself"
    )
    locations: dict[str, PolicyName] = Field(
        default={}, description="location -> System, where it differs from the entity's"
    )
    fields: dict[str, PolicyName] = Field(default={}, description="field -> System, where it differs from the entity's")


KEPT = timedelta(days=36_500)
"""As good as for ever."""


class RetentionSpec(Part):
    """How long the store keeps what a domain moved, counted from the last thing that happened to it; and where it goes then."""

    raw: Duration = Field(default=timedelta(days=30), description="records as they came, byte by byte")
    attempts: Duration = Field(
        default=KEPT,
        description="the tries at deliveries, with their evidence; unless told, 90d where there is an archive",
    )
    messages: Duration = Field(
        default=KEPT,
        description="messages with their deliveries and their history in quarantine; unless told, 400d where there is an archive",
    )
    archive: str = Field(
        default="",
        max_length=1000,
        description="fsspec address of a folder for Parquet files, e.g. file:///var/archive or s3://bucket/ledger; "
        "empty: what is over its time is deleted for good",
    )

    @model_validator(mode="before")
    @classmethod
    def _where_it_goes(cls, given: Any) -> Any:
        """What is deleted for good is so because a policy says for how long it is kept, not because it says nothing."""
        if not isinstance(given, dict):
            return given
        if given.get("archive"):
            return {"attempts": "90d", "messages": "400d", **given}
        return {"attempts": given["messages"], **given} if "messages" in given else given


Pattern = Annotated[str, Field(min_length=1, max_length=200)]
IDENTITIES = (
    "id", "native_id", "*_api_id", "ref", "shipment", "receipt", "return_ref", "posting_key", "document", "incident",
    "line", "file", "topic", "rule_revision", "engine", "rule", "cause",
    "tolerance",
)  # fmt: skip
AMOUNTS = ("*price*", "*cost*", "*amount*", "*total*", "*currency*", "debit", "credit", "rate", "tax")


class Correction(Part):
    """What may be corrected of a record that waits for a person.

    A field is given by its name, wherever it stands, or by its path; `*` stands for any part of a name, or any position.
    """

    protected_fields: tuple[Pattern, ...] = Field(
        default=IDENTITIES, description="may not be changed; where one is missing or at fault, a second person agrees"
    )
    approve_fields: tuple[Pattern, ...] = Field(default=AMOUNTS, description="a second person agrees to a change")
    approve_above: Decimal | None = Field(
        default=None, ge=0, description="a second person agrees to any correction of a record that is worth more"
    )


class DomainSpec(Part):
    """The blueprint of a domain."""

    owner: PolicyName
    entities: dict[Entity, EntityOwnership]
    latency: Duration = Field(description="how fast a change has to be everywhere")
    model_version: int = Field(default=1, ge=1)
    failure_handling: Literal["quarantine", "retry-then-quarantine"] = "retry-then-quarantine"
    reconciliation: PolicyName | None = Field(default=None, description="Comparison that watches over the domain")
    escalation: PolicyName
    retention: RetentionSpec = RetentionSpec()
    correction: Correction = Correction()


class FlowTarget(Part):
    """Where a message is owed, and as what."""

    system: PolicyName
    entity: Entity = Field(description="what the target's connector writes")
    accept_risk: str = Field(default="", description="needed for a document flow to a target that guarantees nothing")
    retry: PolicyName | None = Field(default=None, description="RetryPolicy for this target instead of the flow's")


class FlowSpec(Part):
    """One domain, from one source to its targets."""

    domain: PolicyName
    owner: PolicyName
    source: str = Field(description="System, or 'plane' for what the plane itself makes")
    message_types: Annotated[tuple[str, ...], Field(min_length=1)]
    method: Literal["event", "poll", "batch", "orchestrated"]
    read: Entity | None = Field(default=None, description="what is polled at the source")
    poll_every: Duration | None = None
    standby: StrictBool = Field(
        default=False, description="it does not run while its source is of record for nothing that it brings"
    )
    targets: tuple[FlowTarget, ...] = ()
    retry: PolicyName
    promise: Duration = Field(description="accepted to delivered, at most; late after that")
    retry_past_promise: str = Field(
        default="", description="needed where a retry budget outlasts the promise: why late is better than a person"
    )


class MappingSpec(Part):
    """Translation between a system's codes and ours."""

    system: PolicyName
    entity: Literal["sku", "location", "unit", "lot", "status", "tax_code", "reason", "account"]
    codes: dict[str, str] = Field(description="theirs -> ours; a unit of ours is EA, a piece, or for instance 12 EA")
    strict: StrictBool = Field(
        default=True, description="a code that is not listed is quarantined; otherwise it stands for itself"
    )


class RetryClass(Part):
    """What is different for one class of failure; what is left out is as the policy says."""

    retry: StrictBool = Field(default=True, description="false: it waits for a person at once")
    first: Duration | None = None
    factor: float | None = Field(default=None, ge=1, le=10)
    cap: Duration | None = None
    max_attempts: int | None = Field(default=None, ge=1)


FailureClass = Literal["unavailable", "throttled", "unknown", "rejected"]


class RetryPolicySpec(Part):
    """How hard to try. Delay n is drawn from 0 … min(cap, first * factor**(n-1)) (full jitter).

    What the target rejects waits for a person at once, unless `classes` says otherwise.
    """

    first: Duration = timedelta(seconds=1)
    factor: float = Field(default=2.0, ge=1, le=10)
    cap: Duration = timedelta(minutes=5)
    budget: Duration = Field(default=timedelta(hours=24), description="after this it waits for a person")
    max_attempts: int | None = Field(default=None, ge=1)
    jitter: StrictBool = True
    classes: dict[FailureClass, RetryClass] = Field(default={}, description="what is different for a class of failure")


class BurnTier(Part):
    """Fire when the error budget burns faster than `factor` over both windows."""

    severity: Severity
    long: Duration
    short: Duration
    factor: float = Field(gt=0)


class ServiceLevelSpec(Part):
    """What is promised of an indicator: the share of good over a window."""

    indicator: Literal["stock_freshness", "delivery_success"]
    labels: dict[str, str] = Field(default={}, description="only series with these labels")
    owner: PolicyName
    escalation: PolicyName
    target: Share
    window: Duration = timedelta(days=28)
    threshold: Duration | None = Field(default=None, description="for freshness: a slice is good when age stays below")
    slice: Duration = timedelta(minutes=1)
    min_coverage: float = Field(default=0.9, gt=0, le=1)
    min_bad: int = Field(default=3, ge=1, description="fewer bad events than this in the long window never fire")
    tiers: Annotated[tuple[BurnTier, ...], Field(min_length=1)]


class Member(Part):
    """Somebody on a team."""

    username: str
    name: str
    contact: str = ""
    on_call: StrictBool = Field(default=True, description="is there to answer when the team is told of an incident")


class TeamSpec(Part):
    """People who own things."""

    members: Annotated[tuple[Member, ...], Field(min_length=1)]
    channel: str = ""


class EscalationStep(Part):
    """Whom to tell when nobody has answered for so long."""

    after: Duration
    team: PolicyName
    system: PolicyName = Field(description="System of role incident that the notification goes to")


class EscalationPathSpec(Part):
    """Steps in the order of their delay; the first is taken at once."""

    steps: Annotated[tuple[EscalationStep, ...], Field(min_length=1)]
    acknowledge_within: Duration = timedelta(minutes=30)


class ComparisonSide(Part):
    """One system's part in a comparison."""

    system: PolicyName
    entity: Entity = Field(description="what the connector reads as a snapshot, or lists")
    field: Literal["on_hand", "available", "state", "shipped", "listed", "article"] = Field(
        description="of stock on_hand or available; of orders state, shipped or listed; of the catalogue article"
    )
    locations: tuple[str, ...] = Field(
        default=(), description="those of the comparison's locations that it has; all, where none is named"
    )


class FieldTolerance(Part):
    """How far a value may lie from what is admissible: the widest of what is stated."""

    absolute: Decimal = Field(default=Decimal(0), ge=0, description="in the unit of the field, inclusive")
    relative: Decimal = Field(default=Decimal(0), ge=0, lt=1, description="share of the admissible value, inclusive")
    within_safety_stock: StrictBool = Field(
        default=False, description="as many units as the channel's AllocationRule keeps back of the SKU"
    )


class HealLimits(Part):
    """What may be put right without asking. Beyond it, a person decides."""

    enabled: StrictBool = False
    max_keys: int = Field(default=20, ge=0, description="per run")
    max_units: int = Field(default=100, ge=0, description="per key")
    max_money: Decimal = Field(default=Decimal(1000), ge=0, description="per run")
    max_keys_day: int | None = Field(default=None, ge=0, description="per business day; unless told, without end")
    max_units_day: int | None = Field(default=None, ge=0, description="of all keys together, per business day")
    max_money_day: Decimal | None = Field(default=None, ge=0, description="per business day")
    calendar: PolicyName | None = Field(
        default=None, description="Calendar of the business day; nothing is healed during its freezes"
    )


class Budget(Part):
    """When a comparison stops before it has looked at everything, and says so."""

    time: Duration | None = Field(default=None, description="no further key is looked at after this")
    differences: int | None = Field(default=None, ge=1, description="nor after so many differences")


class ComparisonSpec(Part):
    """Which systems are held against each other, how often, and what may be healed."""

    kind: str = Field(description="name of the comparison plugin")
    domain: PolicyName
    owner: PolicyName
    sides: Annotated[tuple[ComparisonSide, ...], Field(min_length=2)]
    source_side: PolicyName = Field(description="the side that is the system of record")
    source_sides: dict[str, PolicyName] = Field(
        default={}, description="location -> the side of record there, where it is another: a store's own till"
    )
    locations: tuple[str, ...] = Field(
        default=(), description="of stock: which of it; of orders: all, where none is named"
    )
    window: Duration = Field(default=timedelta(days=7), description="orders placed before this are not looked at")
    every: Duration
    tolerance: int = Field(default=0, ge=0, description="of numbers that `tolerances` says nothing of")
    tolerances: dict[str, FieldTolerance] = Field(default={}, description="field -> its own")
    promise: Duration = Field(description="a difference younger than this may still be on its way")
    budget: Budget = Budget()
    heal: HealLimits = HealLimits()
    snapshots: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="of stock: how many of the newest snapshots of each side are kept; 0: none",
    )

    def source_of(self, location: str) -> str:
        """Return the side of record at a location."""
        return self.source_sides.get(location, self.source_side)

    def sides_at(self, location: str) -> tuple[ComparisonSide, ...]:
        """Return the sides that have a location."""
        return tuple(side for side in self.sides if not side.locations or location in side.locations)


class AllocationRuleSpec(Part):
    """How much of the stock a channel may sell."""

    channel: PolicyName
    locations: Annotated[tuple[str, ...], Field(min_length=1)]
    safety_stock: int = Field(default=0, ge=0)
    per_sku: dict[str, int] = Field(default={}, description="safety stock of single SKUs")
    buffer_share: float = Field(default=0, ge=0, lt=1, description="share of the available kept back, rounded up")


class AccountLine(Part):
    """A line of an entry: which account, which side, which amount of the document."""

    account: str
    side: Literal["debit", "credit"]
    amount: Literal["price", "cost", "net", "tax", "gross"] = Field(
        description="price as it was ordered or sold, cost; of a till's sale, and where tax is checked, also net, tax, and both (gross)"
    )
    memo: str = ""


class TaxOrigin(Part):
    """Where goods leave, as far as tax depends on it."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    region: Annotated[str, Field(max_length=20)] = ""
    postal_code: Annotated[str, Field(max_length=20)] = ""


class TaxCheck(Part):
    """A tax engine that has to agree with the tax on a document before anything is posted of it."""

    system: PolicyName = Field(description="System of role tax; a flow from the plane takes `tax.asked` to it")
    ship_from: dict[str, TaxOrigin] = Field(description="location -> where it is", min_length=1)
    code: str = Field(default="", description="our tax code of lines that the order gives none; empty: they wait")
    tolerance: Decimal = Field(
        default=Decimal("0.01"), ge=0, description="by how much a line, and all of them, may differ from what is due"
    )


class AccountingRuleSpec(Part):
    """What a document posts."""

    on: Literal["shipment.shipped", "return.received", "sale.recorded"]
    owner: PolicyName
    entry: str = Field(description="name of the entry within the document: revenue, cogs …")
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    calendar: PolicyName
    lines: Annotated[tuple[AccountLine, ...], Field(min_length=2)]
    tax: TaxCheck | None = Field(default=None, description="who is asked before it is posted; left out: nobody")


class CalendarSpec(Part):
    """Business time."""

    zone: str = Field(default="UTC", description="IANA time zone of the business date")
    day_starts: Annotated[str, Field(pattern=r"^\d{2}:\d{2}$")] = "00:00"
    freezes: tuple[tuple[str, str], ...] = Field(
        default=(), description="pairs of ISO instants: nothing is healed between"
    )


class AlertRuleSpec(Part):
    """When a reading, rather than a service level, opens an incident."""

    indicator: str
    labels: dict[str, str] = {}
    owner: PolicyName
    escalation: PolicyName
    severity: Severity
    above: float
    clear_at: float = Field(description="resolved only at or below this")
    hold: Duration = Field(default=timedelta(0), description="must be above for so long")
    per_owner: StrictBool = Field(
        default=False,
        description="an incident for each owner of the flows that are read, who is told first; `owner` for the rest",
    )
    title: str


class Document(Part):
    """Base of all policy documents."""

    apiVersion: Literal["trueup/v1"]  # noqa: N815
    kind: str
    metadata: Metadata

    @property
    def name(self) -> str:
        """The document's name."""
        return self.metadata.name


class System(Document):
    """See SystemSpec."""

    kind: Literal["System"]
    spec: SystemSpec


class Domain(Document):
    """See DomainSpec."""

    kind: Literal["Domain"]
    spec: DomainSpec


class Flow(Document):
    """See FlowSpec."""

    kind: Literal["Flow"]
    spec: FlowSpec


class Mapping(Document):
    """See MappingSpec."""

    kind: Literal["Mapping"]
    spec: MappingSpec


class RetryPolicy(Document):
    """See RetryPolicySpec."""

    kind: Literal["RetryPolicy"]
    spec: RetryPolicySpec


class ServiceLevel(Document):
    """See ServiceLevelSpec."""

    kind: Literal["ServiceLevel"]
    spec: ServiceLevelSpec


class Team(Document):
    """See TeamSpec."""

    kind: Literal["Team"]
    spec: TeamSpec


class EscalationPath(Document):
    """See EscalationPathSpec."""

    kind: Literal["EscalationPath"]
    spec: EscalationPathSpec


class Comparison(Document):
    """See ComparisonSpec."""

    kind: Literal["Comparison"]
    spec: ComparisonSpec


class AllocationRule(Document):
    """See AllocationRuleSpec."""

    kind: Literal["AllocationRule"]
    spec: AllocationRuleSpec


class AccountingRule(Document):
    """See AccountingRuleSpec."""

    kind: Literal["AccountingRule"]
    spec: AccountingRuleSpec


class Calendar(Document):
    """See CalendarSpec."""

    kind: Literal["Calendar"]
    spec: CalendarSpec


class AlertRule(Document):
    """See AlertRuleSpec."""

    kind: Literal["AlertRule"]
    spec: AlertRuleSpec


KINDS: dict[str, type[Document]] = {
    model.__name__: model
    for model in (
        System, Domain, Flow, Mapping, RetryPolicy, ServiceLevel, Team, EscalationPath, Comparison,
        AllocationRule, AccountingRule, Calendar, AlertRule,
    )
}  # fmt: skip
"""Kind to model."""
