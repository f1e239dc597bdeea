"""The thread of a request: who did and said what when. It keeps itself up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import no_update
from dash.development.base_component import Component

from controlplane.views.threads import Step, newest, thread
from controlplane.wiring import Plane
from dashboards.components.parts import WRAPPED, card, table
from dashboards.components.text import day_time

COLUMNS = [
    {"field": "at", "headerName": "When", "minWidth": 112, "width": 112, "flex": None, "tooltipField": "exact", "sortable": False},
    {"field": "actor", "headerName": "Who", "minWidth": 64, "width": 70, "flex": None, "sortable": False},
    {"field": "what", "headerName": "What", "minWidth": 150, "sortable": False, **WRAPPED},
]  # fmt: skip


def layout() -> Component:
    """Draw the empty thread; the page fills it."""
    return card("Thread", table("request-thread", COLUMNS, empty="Nothing has been done yet."))


def rows(plane: Plane, seen: list[Any] | None, shown: Sequence[Mapping[str, Any]] | None) -> Any:
    """Return the thread of the request that is open, or leave it as it is shown where nothing came to it."""
    if not seen:
        return []
    with plane.store.read() as conn:
        if shown and shown[-1]["id"] == str(newest(conn, seen[0])):
            return no_update
        return [_row(step) for step in thread(conn, seen[0])]


def _row(step: Step) -> dict[str, Any]:
    return {
        "id": str(step.seq), "at": f"{step.at:%d %b %H:%M}", "exact": day_time(step.at), "actor": step.actor,
        "what": f"{step.did}: {step.said}" if step.said else step.did,
    }  # fmt: skip
