"""A scenario file: the retailer, its actors and its faults. Unknown keys are refused, and so are impossible values."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
JUDGED_ELSEWHERE = ("expect", "description", "name", "policies", "plane", "judge")


_ISO = TypeAdapter(timedelta)


class ScenarioError(Exception):
    """The scenario cannot be played; the message names the key, the rule and the remedy."""


def parse_duration(value: object) -> timedelta:
    """`30s`, `5m`, `2h`, or a number of seconds."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    if str(value).startswith("P"):  # as it was written into the world's own store
        return _ISO.validate_python(value)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", str(value))
    if not found:
        raise ValueError(f"{value!r} is no duration: write 30s, 5m or 2h")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def _span(value: object) -> object:
    pair = list(value) if isinstance(value, list | tuple) else [value, value]
    if len(pair) == 2 and isinstance(pair[0], int | float) and isinstance(pair[1], int | float) and pair[0] > pair[1]:
        raise ValueError(f"{pair[0]} is above {pair[1]}: write [lowest, highest]")
    return pair


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Span = Annotated[tuple[int, int], BeforeValidator(_span)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0)]


Clocked = Literal["wms", "shop", "erp", "tills"]
"""Systems that date what they tell by a clock of their own."""


class Part(BaseModel):
    """Base of every part of a scenario: keys we do not know are refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Retailer(Part):
    """The goods and where they lie."""

    skus: Annotated[int, Field(ge=1, le=99_999)] = 40
    stores: list[Annotated[str, Field(pattern=r"^[A-Z0-9]+$")]] = ["ST1", "ST2"]
    stock: Span = (40, 120)
    store_stock: Span = (20, 60)
    safety: Annotated[int, Field(ge=0)] = 2
    quota: Annotated[float, Field(gt=0)] = 1
    """How many times a small account's credits and query costs the warehouse and the shop grant."""
    clocks: dict[Clocked, Duration] = {}
    """Systems whose clock is wrong, and by how much it is ahead; a negative number of seconds is behind."""


class Burst(Part):
    """A time in which customers order `factor` times as often."""

    from_: Duration = Field(alias="from")
    until: Duration
    factor: Rate


class Customers(Part):
    """Who orders in the shop, how often and how much."""

    orders_per_minute: Rate = 2
    lines: Span = (1, 3)
    quantity: Span = (1, 3)
    bursts: list[Burst] = []


class Warehouse(Part):
    """How long picking and shipping take, and which share of orders leaves in two shipments."""

    pick_seconds: Span = (60, 300)
    ship_seconds: Span = (120, 600)
    split_share: Share = 0.1


class Unmapped(Part):
    """A till row with a PLU that no mapping knows."""

    at: Duration
    plu: str


class Stores(Part):
    """Sales per minute in each store, and how often its till drops a file; with `counts` also one of all that lies on its shelves."""

    sales_per_minute: Rate = 1
    drop_every: Duration = timedelta(minutes=5)
    counts: bool = False
    unmapped: list[Unmapped] = []


class Receipts(Part):
    """Purchase orders per hour, pieces in each, and the most receipts one may arrive in."""

    per_hour: Rate = 4
    quantity: Span = (20, 60)
    splits: Annotated[int, Field(ge=1, le=9)] = 2


class Returns(Part):
    """Which share of shipments comes back, and when."""

    share: Share = 0.05
    after: tuple[Duration, Duration] = (timedelta(minutes=20), timedelta(minutes=60))


class Hands(Part):
    """Somebody who corrects the shop's stock by hand every so often."""

    every: Duration
    first: Duration | None = None
    delta: Span = (2, 7)


class Traffic(Part):
    """Other channels that have the warehouse reserve goods and free them again; it tells of `together` articles at once."""

    events_per_second: Rate
    quantity: Span = (1, 3)
    together: Annotated[int, Field(ge=1, le=500)] = 1


class Actors(Part):
    """Everybody who moves the world."""

    customers: Customers = Customers()
    warehouse: Warehouse = Warehouse()
    stores: Stores = Stores()
    receipts: Receipts = Receipts()
    returns: Returns = Returns()
    hands: Hands | None = None
    traffic: Traffic | None = None


FaultKind = Literal[
    "latency",
    "throttled",
    "error",
    "timeout_after_effect",
    "lost_response",
    "lost_webhook",
    "duplicate_webhook",
    "late_webhook",
    "reordered_webhook",
    "hand_edit",
    "wrong_unit",
    "renamed",
    "dropped_write",
    "lost_file",
    "down",
]
DEEDS = {"hand_edit": "shop", "wrong_unit": "erp", "renamed": "erp"}
"""Faults that somebody does to an article, once or again and again -> the system it is done in."""
ONLY_AT = {"dropped_write": "shop", "lost_file": "tills"}
"""Faults that only one system knows -> which; it is the only one that files are lost of."""
Target = Literal["erp", "wms", "shop", "pager", "tills"]
ON_WEBHOOKS = ("lost_webhook", "duplicate_webhook", "late_webhook", "reordered_webhook")


class FaultSpec(Part):
    """One fault: what, where, how often, when. Times are offsets from the start (from now, through the control API)."""

    id: str | None = None
    kind: FaultKind
    target: Target
    topic: str | None = None
    operation: str | None = None
    probability: Share = 1.0
    from_: Duration | None = Field(default=None, alias="from")
    until: Duration | None = None
    at: Duration | None = None
    every: Duration | None = None
    seconds: Rate | None = None
    up_to: Rate | None = None
    factor: Annotated[int, Field(ge=2)] | None = None
    status: Literal[500, 501, 502, 503, 504] = 503
    mode: Literal["refuse", "503"] = "refuse"
    pick: str = "busiest"
    delta: int | None = None

    @model_validator(mode="after")
    def _fits(self) -> "FaultSpec":
        if self.kind == "hand_edit" and (self.delta is None or self.target != "shop"):
            raise ValueError("a hand_edit needs `delta`, and target `shop`: only the shop's stock is edited by hand")
        if self.kind in DEEDS and self.target != DEEDS[self.kind]:
            raise ValueError(f"{self.kind} is done at the {DEEDS[self.kind]}: target `{DEEDS[self.kind]}`")
        if (self.kind == "wrong_unit") != (self.factor is not None):
            raise ValueError(
                "a wrong_unit, and nothing else, needs `factor`: the pieces in the unit that is taken for one"
            )
        if self.every is not None and (self.kind not in DEEDS or self.every <= timedelta()):
            raise ValueError(f"`every` is the pause, above 0, between two of {', '.join(DEEDS)}: drop it or change it")
        if self.up_to is not None and (
            self.kind not in ("late_webhook", "reordered_webhook") or self.seconds is not None
        ):
            raise ValueError(
                "`up_to` draws how late a late or reordered webhook is, in place of `seconds`: keep one of them"
            )
        only = ONLY_AT.get(self.kind)
        if self.target != (only or self.target) or (self.target == "tills" and self.kind != "lost_file"):
            raise ValueError(
                "a dropped_write is the shop's, and a lost_file, and nothing else, that of the tills: change `target`"
            )
        if self.topic and self.kind not in ON_WEBHOOKS:
            raise ValueError(f"`topic` belongs to webhook faults, not to {self.kind}: use `operation`, or drop it")
        if self.kind in ON_WEBHOOKS and self.target not in ("shop", "wms"):
            raise ValueError(f"{self.target} sends no webhooks: target `shop` or `wms`")
        begins, ends = self.from_ or self.at, self.until
        if begins is not None and ends is not None and ends <= begins:
            raise ValueError("`until` lies before `from`: swap them")
        return self


class Scenario(Part):
    """A whole scenario. Without `minutes` trading never stops."""

    start: datetime | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    retailer: Retailer = Retailer()
    actors: Actors = Actors()
    faults: list[FaultSpec] = []

    @model_validator(mode="after")
    def _aware(self) -> "Scenario":
        if self.start is not None:
            if self.start.tzinfo is None:
                raise ValueError("`start` names no time zone: end it with Z")
            self.start = self.start.astimezone(UTC)
        return self

    def scaled(self, rate: float) -> "Scenario":
        """The same scenario with everybody's traffic multiplied by `rate`."""
        busier = self.model_copy(deep=True)
        busier.actors.customers.orders_per_minute *= rate
        busier.actors.stores.sales_per_minute *= rate
        busier.actors.receipts.per_hour *= rate
        if busier.actors.traffic:
            busier.actors.traffic.events_per_second *= rate
        return busier


def live_default() -> Scenario:
    """What a newcomer watches: lively traffic, an unmapped till row soon, now and then an edit by hand."""
    return Scenario(
        actors=Actors(
            customers=Customers(orders_per_minute=6),
            warehouse=Warehouse(pick_seconds=(5, 30), ship_seconds=(10, 60)),
            stores=Stores(
                sales_per_minute=0.5,
                drop_every=timedelta(seconds=30),
                unmapped=[Unmapped(at=timedelta(seconds=40), plu="999999")],
            ),
            receipts=Receipts(per_hour=60, quantity=(10, 40)),
            returns=Returns(share=0.05, after=(timedelta(minutes=2), timedelta(minutes=10))),
            hands=Hands(every=timedelta(minutes=15), first=timedelta(seconds=90)),
        )
    )


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "scenario"
        remedy = "remove it or correct its name" if problem["type"] == "extra_forbidden" else "correct the value"
        lines.append(f"{where}: {problem['msg'].removeprefix('Value error, ')} (got {_shown(problem)}); {remedy}")
    return "\n".join(lines)


def _shown(problem: Any) -> str:
    shown = repr(problem["input"])
    return shown if len(shown) <= 60 else shown[:57] + "..."


def read_scenario(document: object, name: str = "scenario") -> Scenario:
    """A validated scenario from parsed YAML; ScenarioError names key, rule and remedy."""
    if not isinstance(document, dict):
        raise ScenarioError(f"{name}: a scenario is a mapping of keys (start, minutes, retailer, actors, faults)")
    ours = {key: value for key, value in document.items() if key not in JUDGED_ELSEWHERE}
    try:
        return Scenario.model_validate(ours)
    except ValidationError as error:
        raise ScenarioError(f"{name}: {_explain(error)}") from error


def load_scenario(path: Path) -> Scenario:
    """The scenario in a YAML file; ScenarioError when it cannot be read or is invalid."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ScenarioError(
            f"{path.name}: cannot be read as YAML ({error}); give the path of a scenario file"
        ) from error
    return read_scenario(document, path.name)


def read_fault(document: object) -> FaultSpec:
    """One validated fault; ScenarioError names key, rule and remedy."""
    try:
        return FaultSpec.model_validate(document)
    except ValidationError as error:
        raise ScenarioError(f"fault: {_explain(error)}") from error
