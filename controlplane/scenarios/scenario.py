"""A scenario file: what is played (the sandbox reads and checks that part) and what is expected (read here).

One file, one schema: `start`, `minutes`, `retailer`, `actors` and `faults` are described and validated by the sandbox,
and carried through here as they are; `name`, `description`, `expect` and `policies` are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from controlplane.errors import BadInputError
from rules.comparison.explain import Cause
from rules.policy.kinds import KINDS, parse_duration
from rules.policy.problems import Origin
from rules.policy.text import read_text

START = datetime(2026, 11, 27, 6, tzinfo=UTC)
"""When a scenario begins that does not say when."""
WAITS = ("latency", "timeout_after_effect")
SHIPPED = Path(__file__).parent / "shipped"
DRIFT = frozenset(Cause) - {Cause.NONE, Cause.IN_FLIGHT, Cause.INDETERMINATE}


class ScenarioError(BadInputError):
    """The scenario cannot be played; the message names file, key, rule and remedy."""


class Part(BaseModel):
    """Base of every part of a scenario: keys we do not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _bounds(value: object) -> object:
    return {"min": value, "max": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Bounds(Part):
    """How many there may be, both ends included; a plain number means exactly that many."""

    min: int = Field(default=0, ge=0)
    max: int | None = Field(default=None, ge=0)

    def holds(self, number: int) -> bool:
        """Say whether the number lies within."""
        return number >= self.min and (self.max is None or number <= self.max)

    def __str__(self) -> str:
        if self.min == self.max:
            return str(self.min)
        return f"at least {self.min}" if self.max is None else f"{self.min} to {self.max}"


class ExpectedIncident(Part):
    """An incident that must be raised, notified, and resolved again unless it stays open for a person."""

    rule: str = Field(pattern=r"^(service_level|alert_rule)/[-a-z0-9]+$")
    labels: dict[str, str] = {}
    stays_open: bool = False


class Expectations(Part):
    """What must hold beside the laws that always do: nothing lost, twice or wrong, every finding true, none missed."""

    quarantined: Annotated[Bounds, BeforeValidator(_bounds)] = Bounds(min=0, max=0)
    incidents: tuple[ExpectedIncident, ...] = ()
    oversold_units: int = Field(default=0, ge=0, description="at most so many")
    findings: dict[str, int] = Field(default={}, description="cause -> at least so many findings")

    @field_validator("findings")
    @classmethod
    def _known_causes(cls, value: dict[str, int]) -> dict[str, int]:
        unknown = set(value) - DRIFT
        if unknown:
            raise ValueError(f"no such cause: {', '.join(sorted(unknown))}; there are: {', '.join(sorted(DRIFT))}")
        return value


class PolicyChange(Part):
    """A policy document laid over the pack's of the same kind and name (mappings merge, all else replaces)."""

    kind: str
    metadata: dict[str, Any]
    spec: dict[str, Any]
    apiVersion: str = "trueup/v1"  # noqa: N815

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if value not in KINDS:
            raise ValueError(f"no such kind of policy; there are: {', '.join(sorted(KINDS))}")
        return value

    @field_validator("metadata")
    @classmethod
    def _named(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(value.get("name"), str):
            raise ValueError("names no document; give metadata.name")
        return value


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Span = Annotated[timedelta, BeforeValidator(_duration)]


class Scenario(Part):
    """A whole scenario."""

    name: str = ""
    description: str = ""
    start: AwareDatetime = START
    minutes: float = Field(gt=0, description="how long customers order, stores sell and goods arrive")
    retailer: dict[str, Any] = {}
    actors: dict[str, Any] = {}
    faults: list[dict[str, Any]] = []
    policies: tuple[PolicyChange, ...] = ()
    expect: Expectations = Expectations()
    reading: Span = Field(
        default=timedelta(0), ge=timedelta(0), description="how long one system's snapshot takes to page through"
    )
    stops_after: Span | None = Field(
        default=None, ge=timedelta(0), description="stop so long after the end of trade, quiet or not"
    )

    @property
    def ends(self) -> datetime:
        """When trading stops."""
        return self.start + timedelta(minutes=self.minutes)

    @property
    def waits(self) -> bool:
        """Whether a fault makes somebody wait for an answer."""
        return any(fault.get("kind") in WAITS for fault in self.faults)

    def shortened(self, minutes: float) -> Scenario:
        """Return the scenario over so many minutes; faults that would begin later are not played."""
        limit = timedelta(minutes=minutes)
        faults = [fault for fault in self.faults if _begins(fault) < limit]
        return self.model_copy(update={"minutes": minutes, "faults": faults})

    def played(self) -> dict[str, Any]:
        """Return the part that the sandbox plays, as it goes into its file."""
        return self.model_dump(mode="json", include={"start", "minutes", "retailer", "actors", "faults"})


def _begins(fault: Mapping[str, Any]) -> timedelta:
    try:
        return parse_duration(fault.get("from", fault.get("at", "0s")))
    except ValueError:
        return timedelta(0)


def shipped() -> dict[str, Path]:
    """Return the scenarios that come with Trueup: name to file."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def find(name: str) -> Path:
    """Return the file of a scenario given by path or by the name of a shipped one. Raises ScenarioError."""
    path = Path(name)
    if path.is_file():
        return path
    if name in shipped():
        return shipped()[name]
    raise ScenarioError(
        f"{name}: neither a file nor a scenario that comes with Trueup; give the path of a YAML file, "
        f"or one of: {', '.join(shipped())}"
    )


def load(path: Path) -> Scenario:
    """Read and check a scenario file. Raises ScenarioError with a line for each problem."""
    try:
        documents, problems = read_text(path.read_text(encoding="utf-8-sig"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path.name}: cannot be read ({error}); give a YAML file in UTF-8") from error
    if problems:
        raise ScenarioError("\n".join(map(str, problems)))
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise ScenarioError(f"{path.name}: a scenario is one mapping with at least `minutes`; see docs/scenarios.md")
    try:
        return Scenario.model_validate({"name": path.stem, **documents[0].value})
    except ValidationError as error:
        raise ScenarioError("\n".join(_explain(documents[0].origin, problem) for problem in error.errors())) from error


def _explain(origin: Origin, problem: ErrorDetails) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "scenario"
    line, _ = origin.place(problem["loc"])
    place = f"{origin.file}:{line}: {where}"
    if problem["type"] == "extra_forbidden":
        return f"{place}: no such key; remove it or correct its name (docs/scenarios.md lists them)"
    if problem["type"] == "missing":
        return f"{place}: is required; add it (docs/scenarios.md says what it takes)"
    given = repr(problem["input"])
    shown = given if len(given) <= 60 else given[:57] + "..."
    return f"{place}: {problem['msg'].removeprefix('Value error, ')} (got {shown}); correct the value"
