"""The reference part of docs/policies.md, from the models themselves: `python -m controlplane.registry.reference` writes it anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rules.policy import kinds
from rules.policy.kinds import KINDS, format_duration

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any value"}


def reference() -> str:
    """Return the tables of all kinds as Markdown."""
    lines: list[str] = []
    for name, model in KINDS.items():
        spec = cast("type[BaseModel]", model.model_fields["spec"].annotation)
        lines += [f"### {name}", "", (spec.__doc__ or "").strip(), "", *_table(spec, ""), ""]
    return "\n".join(lines)


def _table(model: type[BaseModel], prefix: str) -> list[str]:
    return ["| key | takes | default | meaning |", "|---|---|---|---|", *_rows(model, prefix)]


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key, inner = _inside(field.annotation)
        path = f"{prefix}{name}{key}"
        yield f"| `{path}` | {_takes(field)} | {_default(field)} | {field.description or ''} |"
        if inner is not None:
            yield from _rows(inner, f"{path}.")


def _inside(annotation: Any) -> tuple[str, type[BaseModel] | None]:
    """Return how a part inside is reached (`[]`, `.NAME` or nothing), and its model."""
    arguments = [argument for argument in get_args(annotation) if argument not in (Ellipsis, type(None))]
    origin = get_origin(annotation)
    if origin is Annotated or origin in (Union, UnionType):
        return _inside(arguments[0])
    if origin in (tuple, dict):
        key, inner = _inside(arguments[-1])
        return ("[]" if origin is tuple else ".NAME") + key if inner else "", inner
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "", annotation
    return "", None


def _takes(field: FieldInfo) -> str:
    if any(getattr(part, "pattern", "") == _pattern(kinds.PolicyName) for part in field.metadata):
        return "name"
    return _word(field.annotation)


def _pattern(annotated: Any) -> str:
    return str(get_args(annotated)[1].metadata[0].pattern)


def _word(annotation: Any) -> str:
    if annotation == kinds.PolicyName:
        return "name"
    origin, arguments = get_origin(annotation), [a for a in get_args(annotation) if a not in (Ellipsis, type(None))]
    if origin is Literal:
        return " \\| ".join(f"`{argument}`" for argument in arguments)
    if origin is Annotated or origin in (Union, UnionType):
        return _word(arguments[0])
    if origin is tuple:
        return "list of pairs" if get_origin(arguments[0]) is tuple else f"list of {_word(arguments[0])}"
    if origin is dict:
        return f"mapping to {_word(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)).replace("timedelta", "duration"))


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "**needed**"
    if value is None or value in ("", {}, ()):
        return ""
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def filled_in(page: str) -> str:
    """Return the page with its reference part as the models are now."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n\n{reference()}\n{END}", page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(filled_in(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
