"""What is in force, under headings by domain, owner or kind, with a filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from controlplane.access import allowed
from controlplane.api.answers import actor
from controlplane.views.catalogue import about, grouped
from controlplane.views.policies import catalogue
from controlplane.wiring import Plane
from dashboards.components.parts import aria, card, table
from rules.policy.kinds import KINDS

BY = (
    {"value": "domain", "label": "By domain"},
    {"value": "owner", "label": "By owner"},
    {"value": "kind", "label": "By kind"},
)
COLUMNS = [
    {"field": "name", "headerName": "Name", "flex": 3, "minWidth": 150, "colSpan": {"function": "params.data.heading ? 4 : 1"}},
    {"field": "kind", "headerName": "Kind", "flex": 2, "minWidth": 120},
    {"field": "owner", "headerName": "Owner", "flex": 2, "minWidth": 130, "tooltipField": "owner"},
    {"field": "revision", "headerName": "Rev.", "minWidth": 60, "flex": None, "width": 64, "type": "rightAligned"},
]  # fmt: skip
PLAIN = [{**column, "sortable": False} for column in COLUMNS]
"""Sorting by a column would tear the groups apart."""


def layout(plane: Plane) -> Component:
    """Draw the catalogue by domain."""
    choice = dmc.SegmentedControl(id="policies-by", data=list(BY), value="domain", size="xs")
    wanted = dmc.TextInput(id="policies-wanted", placeholder="Filter: kind, name, owner, domain", size="sm", debounce=250,
                           **aria(label="Filter"))  # fmt: skip
    head = html.Div([choice, wanted], className="tu-row tu-filter")
    options = {"rowClassRules": {"tu-heading": "params.data.heading"}}
    found = rows(plane, "domain", "")
    return card(
        "In force", *_new(), head, table("policies-grid", PLAIN, found, "No policy answers to this.", 640, **options)
    )


def _new() -> list[Component]:
    """Return what it takes to begin a policy that is not there yet; nothing for who may not propose one."""
    if not allowed(actor(), "policy.propose"):
        return []
    kind = dmc.Select(id="policy-new-kind", data=list(KINDS), placeholder="Kind", size="sm", w=160, searchable=True,
                      **aria(label="Kind of the new policy"))  # fmt: skip
    name = dmc.TextInput(
        id="policy-new-name", placeholder="its-name", size="sm", w=170, **aria(label="Name of the new policy")
    )
    begin = dmc.Button("Begin", id="policy-begin", size="sm", variant="default")
    row = html.Div([kind, name, begin], className="tu-row", style={"margin": "12px 0"})
    told = html.Div(id="policy-new-answer", className="tu-answer", **aria(live="polite"))
    return [html.Details([html.Summary("A new policy"), row, told])]


def rows(plane: Plane, by: Any, wanted: str) -> list[dict[str, Any]]:
    """Return the rows of the catalogue, each group after its heading."""
    snapshot = plane.registry.snapshot()
    with plane.store.read() as conn:
        entries = [about(entry, snapshot) for entry in catalogue(conn)]
    found = []
    for heading, group in grouped(entries, by or "domain", wanted):
        found.append({"id": f"heading {heading}", "name": f"{heading} · {len(group)}", "heading": True})
        found += [_row(entry) for entry in group]
    return found


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    named = f"{entry['kind']}/{entry['name']}"
    return {
        "id": named, "kind": entry["kind"], "name": entry["name"], "owner": ", ".join(entry["owners"]), "heading": False,
        "revision": entry["revision"], "link": f"/policies?kind={entry['kind']}&name={entry['name']}",
    }  # fmt: skip
