"""The one language of a manifest: where a value comes from, and what becomes of it on the way.

A text is a JMESPath expression; a number, true, false and null are themselves; an object says more (`Shape`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    model_validator,
)

from controlplane.connectors.http import Answer
from controlplane.errors import BadInputError
from rules.policy.kinds import MappingSpec

LONGEST_PATH = 500
WIDEST = 10_000
"""How often an expression may copy what it is put to: each `[a, b]` or `{a: x, b: y}` does so once for each of its values, one within
or after another times each of them."""
Scalar = str | int | float | bool | None


class Part(BaseModel):
    """Base of everything in a manifest: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def compiled(text: str) -> str:
    """Return the expression. Raises ValueError for what is none, and for one that could make more of a record than memory holds."""
    try:
        parsed = jmespath.compile(text).parsed
    except (JMESPathError, RecursionError) as error:
        told = str(error).splitlines()[0]
        raise ValueError(
            f"'{text}' is no JMESPath expression ({told}); a constant text is written as {{value: …}}"
        ) from None
    if _copies(parsed) > WIDEST:
        raise ValueError(
            f"'{text[:60]}' copies what it finds more than {WIDEST} times over; take it apart, or choose fewer values"
        )
    return text


def _copies(node: Mapping[str, Any]) -> int:
    within = math.prod(_copies(one) for one in node["children"])
    return within * max(1, len(node["children"])) if node["type"].startswith("multi_select") else within


JmesPath = Annotated[str, Field(min_length=1, max_length=LONGEST_PATH), AfterValidator(compiled)]


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"'{text}' is no time zone; write one like UTC or Europe/Berlin") from None
    return text


Zone = Annotated[str, AfterValidator(_zone)]
MAPPED: tuple[str, ...] = get_args(MappingSpec.model_fields["entity"].annotation)


def _mapped(text: str) -> str:
    if text not in MAPPED:
        raise ValueError(f"no Mapping is of '{text}'; there are: {', '.join(MAPPED)}")
    return text


Code = Annotated[str, AfterValidator(_mapped)]
Kind = Literal["text", "integer", "decimal", "boolean", "instant", "unix", "unix_ms", "date"]
SOURCES = ("path", "value", "option", "secret", "each", "fields", "items")


class Shape(Part):
    """Where one value comes from (exactly one of path, value, option, secret, fields, each with fields, items), and what is made of it."""

    path: JmesPath | None = None
    value: Any = Field(default=None, description="a constant")
    option: str | None = Field(default=None, description="key of the System's options")
    secret: str | None = Field(default=None, description="name of a secret; only where a session is opened")
    fields: dict[str, Value] | None = Field(default=None, description="an object; with `each`, one for every element")
    each: JmesPath | None = Field(default=None, description="a list; its elements are `item` in `fields`")
    items: list[Value] | None = Field(default=None, description="a list of so many values")
    code: Code | None = Field(default=None, description="translate it by the Mapping of this entity")
    among: JmesPath | None = Field(
        default=None, description="a list to find it in: the first element whose `by` is this value"
    )
    by: JmesPath | None = None
    take: JmesPath = Field(default="@", description="what is taken of that element")
    map: dict[str, Scalar] | None = Field(
        default=None, description="what stands for each value; one that is not listed is refused"
    )
    kind: Kind | None = Field(default=None, alias="as")
    scale: int = Field(default=0, ge=-12, le=12, description="decimal places to shift by: 2 makes 1999 into 19.99")
    minus: JmesPath | None = Field(default=None, description="a number to take off it; nothing found counts as 0")
    zone: Zone | None = Field(default=None, description="of an instant that names none")
    default: Scalar = Field(default=None, description="where nothing is found")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in SOURCES if name in self.model_fields_set]
        if "each" in given:
            if self.fields is None:
                raise ValueError("`each` needs `fields`, which say what is made of every element")
            given.remove("each")
        if (self.among is None) != (self.by is None):
            raise ValueError("`among` and `by` belong together: the list, and what its elements are known by")
        if len(given) != 1:
            raise ValueError(f"exactly one of {', '.join(SOURCES)} is said, here: {', '.join(given) or 'none'}")
        return self


Value = Annotated[JmesPath | StrictBool | StrictInt | StrictFloat | Shape | None, Field(union_mode="left_to_right")]
Shape.model_rebuild()


@dataclass(frozen=True, slots=True)
class Scope:
    """What values are taken from."""

    data: Mapping[str, Any]
    translate: Callable[[str, str], str]
    """Entity, code -> the code on the other side. Raises UnmappedError."""
    options: Mapping[str, Any]
    secret: Callable[[str], str] | None = None

    def of(self, data: Mapping[str, Any]) -> Scope:
        """The same for other data."""
        return Scope(data, self.translate, self.options, self.secret)


def found(path: str, data: Any) -> Any:
    """Return what the expression finds, None where there is nothing. Raises BadInputError for data that it cannot be put to."""
    try:
        return jmespath.search(path, data)
    except (JMESPathError, ArithmeticError, AttributeError, RecursionError, TypeError, ValueError) as error:
        raise BadInputError(
            f"'{path}' cannot be put to the record: {error}; correct the record, or the manifest"
        ) from error


def found_in(answer: Answer, path: str, data: Any) -> Any:
    """Return what the expression finds in an answer. What it cannot be put to breaks the contract: UnreadableError, of a write unknown."""
    try:
        return found(path, data)
    except BadInputError as error:
        answer.fail(f"answered what its manifest does not expect: {error}")


def evaluate(value: Value, scope: Scope, name: str = "value") -> Any:
    """Return the JSON value. Raises BadInputError naming `name`, UnmappedError for a code without translation."""
    if isinstance(value, str):
        return found(value, scope.data)
    if not isinstance(value, Shape):
        return value
    given = _taken(value, scope, name)
    if given is None:
        return value.default
    return _made(value, given, scope, name)


def tree(fields: Mapping[str, Value], scope: Scope, name: str = "") -> dict[str, Any]:
    """Return an object of values."""
    return {key: evaluate(one, scope, f"{name}.{key}" if name else key) for key, one in fields.items()}


def _taken(value: Shape, scope: Scope, name: str) -> Any:
    if value.path is not None:
        return found(value.path, scope.data)
    if value.option is not None:
        return scope.options.get(value.option)
    if value.secret is not None:
        return scope.secret(value.secret) if scope.secret else None
    if value.items is not None:
        return [evaluate(one, scope, f"{name}.{at}") for at, one in enumerate(value.items)]
    if value.fields is None:
        return value.value
    if value.each is None:
        return tree(value.fields, scope, name)
    return [
        tree(value.fields, scope.of(one), f"{name}.{at}")
        for at, one in enumerate(elements(value.each, scope.data, name))
    ]


def elements(path: str, data: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the data with each element of a list as `item` in it. Nothing found is an empty list; anything else is refused."""
    listed = found(path, data)
    if listed is None:
        return
    if not isinstance(listed, list):
        raise BadInputError(
            f"{name}: '{path}' finds no list but {_short(listed)}; correct the record, or the manifest", name
        )
    for one in listed:
        yield {**data, "item": one}


def _made(value: Shape, given: Any, scope: Scope, name: str) -> Any:
    if value.map is not None:
        if _word(given) not in value.map:
            known = ", ".join(value.map)
            raise BadInputError(
                f"{name}: {_short(given)} is not among those that the manifest maps ({known}); correct the record, or the manifest",
                name,
            )
        given = value.map[_word(given)]
    if value.code is not None and given is not None:
        given = scope.translate(value.code, _word(given))
    if value.among is not None and given is not None:
        given = _joined(value, given, scope, name)
    if value.kind is None and not value.scale and value.minus is None:
        return given
    try:
        return _converted(value, _less(value, given, scope))
    except (ValueError, ArithmeticError, TypeError):
        kind = value.kind or "decimal"
        raise BadInputError(
            f"{name}: {_short(given)} cannot be read as {kind}; correct the record, or the manifest", name
        ) from None


def _less(value: Shape, given: Any, scope: Scope) -> Any:
    return given if value.minus is None else _number(given, 0) - _number(found(value.minus, scope.data) or 0, 0)


def _joined(value: Shape, given: Any, scope: Scope, name: str) -> Any:
    listed = found(str(value.among), scope.data)
    for one in listed if isinstance(listed, list) else ():
        if _word(found(str(value.by), one)) == _word(given):
            return found(value.take, one)
    raise BadInputError(
        f"{name}: {_short(given)} is not among '{value.among}'; correct the record, or what the system has", name
    )


def _word(given: Any) -> str:
    return str(given).lower() if isinstance(given, bool) else str(given)


def _short(given: Any) -> str:
    return f"'{str(given)[:60]}'"


def _converted(value: Shape, given: Any) -> Any:
    match value.kind:
        case "text":
            return _word(given)
        case "integer":
            number = _number(given, value.scale)
            if number != number.to_integral_value():
                raise ValueError(given)
            return int(number)
        case "boolean":
            return (
                {"true": True, "false": False, "1": True, "0": False}[_word(given).lower()]
                if given is not None
                else None
            )
        case "instant" | "unix" | "unix_ms":
            return _instant(value, given).isoformat()
        case "date":
            return _day(value, given)
    return format(_number(given, value.scale), "f")


def _number(given: Any, scale: int) -> Decimal:
    try:
        number = Decimal(str(given).strip())
    except InvalidOperation:
        raise ValueError(given) from None
    if isinstance(given, bool) or not number.is_finite() or abs(number.adjusted()) > 40:
        raise ValueError(given)
    return number.scaleb(-scale)


def with_counts(given: Any, places: Sequence[tuple[int | str, ...]]) -> Any:
    """Return data in which what stands at these places is an integer where it is one, told as text or as 5.0; all else as it is."""
    if () in places:
        return _counted(given)
    below = {place[0]: [other[1:] for other in places if other[:1] == place[:1]] for place in places}
    if isinstance(given, Mapping):
        return {key: with_counts(one, below[key]) if key in below else one for key, one in given.items()}
    if isinstance(given, list):
        return [with_counts(one, below[at]) if at in below else one for at, one in enumerate(given)]
    return given


def _counted(given: Any) -> Any:
    try:
        number = _number(given, 0)
    except ValueError:
        return given
    return int(number) if number == number.to_integral_value() else given


def _instant(value: Shape, given: Any) -> datetime:
    if value.kind in ("unix", "unix_ms"):
        seconds = _number(given, 3 if value.kind == "unix_ms" else 0)
        return datetime.fromtimestamp(float(seconds), UTC)
    return read_instant(given, ZoneInfo(value.zone) if value.zone else None)


def _day(value: Shape, given: Any) -> str:
    """Return the day as the system means it: a day that it tells, or that of an instant in the zone, if one is named."""
    told = str(given).strip()
    if len(told) == len("2026-11-27"):
        return date.fromisoformat(told).isoformat()
    return _instant(value, given).astimezone(ZoneInfo(value.zone or "UTC")).date().isoformat()


def read_instant(given: Any, zone: tzinfo | None = None) -> datetime:
    """Return the instant in UTC. Raises ValueError for what is none, or names no zone where none is given."""
    at = datetime.fromisoformat(str(given).strip())
    if at.tzinfo is None:
        if zone is None:
            raise ValueError(given)
        at = at.replace(tzinfo=zone)
    return at.astimezone(UTC)


def expressions(value: Any) -> Iterator[str]:
    """Yield every JMESPath expression of a value or a part of a manifest."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Shape):
        yield from (one for one in (value.path, value.each, value.among, value.minus) if one)
        yield from expressions(value.fields)
        yield from expressions(value.items)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from expressions(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from expressions(one)


def secrets_in(value: Any) -> Iterator[str]:
    """Yield the names of secrets that values take."""
    if isinstance(value, Shape):
        if value.secret is not None:
            yield value.secret
        yield from secrets_in(value.fields)
        yield from secrets_in(value.items)
    elif isinstance(value, BaseModel):
        yield from secrets_in({name: getattr(value, name) for name in type(value).model_fields})
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from secrets_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from secrets_in(one)
