"""The words that answers are described in, and how they become JSON Schema.

A mapping is an object that has all these keys, a list of one is a list of such, `Raw` is a schema as it stands, `Maybe` a key that
may be missing, and anything else a Python type, described as `answers.Provider` writes it. Rows come from their tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union

from pydantic import Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema
from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, Table

from controlplane.store.types import Amount, Instant, Json
from rules.policy.kinds import KINDS

REF = "#/components/schemas/{model}"
DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"
DURATION = {"type": "string", "pattern": "^([0-9]+[smhd])+$", "description": "for instance 90s, 5m, 1h30m or 30d"}
POLICY = "PolicyDocument"


@dataclass(frozen=True, slots=True)
class Raw:
    """A JSON Schema."""

    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Maybe:
    """A key of an object that may be missing."""

    what: Any


@dataclass(frozen=True, slots=True)
class Null:
    """This, or null."""

    what: Any


@dataclass(frozen=True, slots=True)
class Either:
    """One of these."""

    ways: tuple[Any, ...]


ANY = Raw({})
TEXT, WHOLE, YES = Raw({"type": "string"}), Raw({"type": "integer"}), Raw({"type": "boolean"})
OBJECT = Raw({"type": "object"})
INSTANT = Raw({"type": "string", "format": "date-time"})
NEXT = Raw({"type": ["string", "null"], "description": "`cursor` of the next part; null at the end"})


def row(table: Table, *, only: Collection[str] = (), without: Collection[str] = (), **more: Any) -> dict[str, Any]:
    """Return the description of a row of a table: all its columns, or some; and what is told beside them."""
    columns = [column for column in table.columns if column.name not in without and (not only or column.name in only)]
    return {column.name: Raw(_column(column)) for column in columns} | more


def _column(column: Column[Any]) -> dict[str, Any]:
    found = dict(_kind(column.type))
    if column.nullable and "type" in found:
        found["type"] = [found["type"], "null"]
    return found | ({"description": column.doc} if column.doc else {})


def _kind(kind: Any) -> Mapping[str, Any]:
    match kind:
        case Instant():
            return {"type": "string", "format": "date-time"}
        case Amount():
            return {"type": "string", "pattern": DECIMAL}
        case Json():
            return {}
        case Boolean():
            return {"type": "boolean"}
        case Float():
            return {"type": "number"}
        case Integer():
            return {"type": "integer"}
        case LargeBinary():
            return {"type": "string"}
    return {"type": "string"}


class AsAnswered(GenerateJsonSchema):
    """Types as our JSON writes and reads them: durations the way policies write them, money as text."""

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        """Describe a duration."""
        return dict(DURATION)

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Describe money: as text; policies may also write a whole number."""
        if self.mode == "serialization":
            return {"type": "string", "pattern": DECIMAL}
        return {"anyOf": [{"type": "string", "pattern": DECIMAL}, {"type": "integer"}]}

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        """Describe bytes, which are shown as text."""
        return {"type": "string"}


def document_of_any_kind() -> Any:
    """Return the type of a policy document."""
    return Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007 - made of a list


class Schemas:
    """Schemas of many types together: what they share is said once, under components."""

    def __init__(self, answers: Collection[Any], requests: Collection[Any]) -> None:
        """`answers`: descriptions. `requests`: models of bodies."""
        types = {each for answer in answers for each in _types(answer)}
        wanted: list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]] = [
            (one, "serialization", TypeAdapter(one)) for one in sorted(types, key=repr)
        ]
        wanted += [(one, "validation", TypeAdapter(one)) for one in sorted(requests, key=repr)]
        wanted.append((POLICY, "validation", TypeAdapter(document_of_any_kind())))
        self._known, shared = TypeAdapter.json_schemas(wanted, ref_template=REF, schema_generator=AsAnswered)
        self.components: dict[str, Any] = dict(shared.get("$defs", {}))
        for component in self.components.values():
            _refer_to_policies(component)
        self.components[POLICY] = self._known[POLICY, "validation"]

    def answer(self, told: Any) -> dict[str, Any]:
        """Return the schema of an answer."""
        match told:
            case Raw():
                return dict(told.schema)
            case Maybe():
                return self.answer(told.what)
            case Null():
                return {"anyOf": [self.answer(told.what), {"type": "null"}]}
            case Either():
                return {"anyOf": [self.answer(way) for way in told.ways]}
            case dict():
                needed = [name for name, what in told.items() if not isinstance(what, Maybe)]
                shown = {name: self.answer(what) for name, what in told.items()}
                return {"type": "object", "properties": shown, "required": needed}
            case [one]:
                return {"type": "array", "items": self.answer(one)}
        return dict(self._known[told, "serialization"])

    def request(self, model: Any) -> dict[str, Any]:
        """Return the schema of a body's model."""
        return dict(self._known[model, "validation"])


def _refer_to_policies(component: Mapping[str, Any]) -> None:
    """Refer to the policy documents, which a field names by its title."""
    for name, field in component.get("properties", {}).items():
        if field.get("title") == POLICY:
            component["properties"][name] = {"$ref": REF.format(model=POLICY)}


def _types(told: Any) -> Iterator[Any]:
    match told:
        case Raw():
            return
        case Maybe() | Null():
            yield from _types(told.what)
        case Either():
            for what in told.ways:
                yield from _types(what)
        case dict():
            for what in told.values():
                yield from _types(what)
        case [one]:
            yield from _types(one)
        case _:
            yield told
