"""What a change changes, field by field: on both sides of a common base where two people changed it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dash.development.base_component import Component

from controlplane.views.states import Light
from dashboards.components.parts import WRAPPED, state_column, table
from dashboards.components.text import worded
from rules.policy.difference import Field
from rules.policy.writing import to_yaml

WHO = {
    "mine": worded(Light.INFO, "mine"), "theirs": worded(Light.WARN, "theirs"),
    "same": worded(Light.OK, "both, the same"), "both": worded(Light.BREACH, "both: decide"),
}  # fmt: skip
TEXT = {"flex": 2, "minWidth": 90, "sortable": False, **WRAPPED}


def grid(grid_id: str, found: Sequence[Field] = (), relaxing: Collection[str] | None = None) -> Component:
    """Return base, theirs and mine of every field; two columns where nobody else changed anything."""
    return table(grid_id, columns(found, relaxing), rows(found, relaxing), empty="No field differs.")


def three_sided(found: Sequence[Field]) -> bool:
    """Say whether what is in force has moved away from the base."""
    return any(one.changed != "mine" for one in found)


def columns(found: Sequence[Field], relaxing: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Return the columns that the fields need."""
    path = {**TEXT, "field": "path", "headerName": "Field", "minWidth": 130}
    effect = [{**state_column("effect", "Effect"), "minWidth": 100, "sortable": False}] if relaxing is not None else []
    if not three_sided(found):
        return [
            path,
            {**TEXT, "field": "base", "headerName": "Before"},
            {**TEXT, "field": "mine", "headerName": "After"},
            *effect,
        ]
    who = {**state_column("changed", "Changed by"), "minWidth": 130, "sortable": False}
    sides = (("base", "Base"), ("theirs", "Theirs, in force"), ("mine", "Mine"))
    return [who, path, *({**TEXT, "field": field, "headerName": title} for field, title in sides), *effect]


def rows(found: Sequence[Field], relaxing: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Return a row for each field, those that a person has to decide first."""
    ordered = sorted(found, key=lambda one: one.changed != "both")
    return [
        {"id": one.path, "path": one.path, "base": said(one.base), "theirs": said(one.theirs), "mine": said(one.mine),
         "changed": WHO[one.changed], "effect": _effect(one, relaxing)}
        for one in ordered
    ]  # fmt: skip


def _effect(one: Field, relaxing: Collection[str] | None) -> str:
    if one.changed == "theirs" or relaxing is None:
        return ""
    return worded(Light.WARN, "relaxes") if one.path in relaxing else worded(Light.OK, "does not relax")


def said(value: Any) -> str:
    """Write a value of a policy; what is not there is a dash."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {said(item)}" for key, item in value.items()) or "none"
    return str(value)


def as_diff(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], names: tuple[str, str] = ("before", "after")
) -> str:
    """Return the difference of two documents as a unified diff of their YAML."""
    old = to_yaml(before).splitlines() if before else []
    lines = difflib.unified_diff(old, to_yaml(after).splitlines(), *names, lineterm="", n=3)
    return "\n".join(lines) or "The same."
