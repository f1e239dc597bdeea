"""Two documents, or three, held against each other field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rules.policy.secrets import shown

ABSENT = object()
Side = Literal["mine", "theirs", "same", "both"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of which at least one of two documents has moved away from the base; None stands for what is not there."""

    path: str
    """Dotted, for instance spec.budget; a list is one field."""
    base: Any
    theirs: Any
    mine: Any
    changed: Side
    """Who changed it: one of them, both to the same value, or both to different values, which a person has to decide."""


def fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return every leaf of a document by its dotted path, in its order; a list, or an empty mapping, is a leaf."""
    return dict(_leaves(document, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and (value or not path):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (path, before, after) of every field that differs; None stands for what is not there.

    A secret that an older version took by value is not shown.
    """
    old, new = fields(before), fields(after)
    differing = (path for path in {**old, **new} if old.get(path, ABSENT) != new.get(path, ABSENT))
    return [(path, shown(path, old.get(path)), shown(path, new.get(path))) for path in differing]


def three_way(base: Mapping[str, Any], theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[Field]:
    """Return what each of two documents has changed of their common base, field by field."""
    old, one, other = fields(base), fields(theirs), fields(mine)
    found = []
    for path in {**old, **one, **other}:
        was, their, my = old.get(path, ABSENT), one.get(path, ABSENT), other.get(path, ABSENT)
        if their == was and my == was:
            continue
        who: Side = "mine" if their == was else "theirs" if my == was else "same" if their == my else "both"
        base_, theirs_, mine_ = (shown(path, side.get(path)) for side in (old, one, other))
        found.append(Field(path, base_, theirs_, mine_, who))
    return found


def merged(base: Mapping[str, Any], theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> dict[str, Any]:
    """Return their document with what I have changed of the base put into it; where both changed a field, it is mine."""
    found = {}
    for key in {**theirs, **mine}:
        was, their, my = base.get(key, ABSENT), theirs.get(key, ABSENT), mine.get(key, ABSENT)
        if isinstance(their, Mapping) and isinstance(my, Mapping):
            value: Any = merged(was if isinstance(was, Mapping) else {}, their, my)
        else:
            value = their if my == was else my
        if value is not ABSENT:
            found[key] = value
    return found
