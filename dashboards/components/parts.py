"""Cards, chips, facts and tables: the vocabulary of all pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from controlplane.views.states import Light
from dashboards.components.text import ICONS

Node = Component | str | None


def aria(**names: str) -> Any:
    """Return properties for assistive technology: `aria(label=…)` is `aria-label`."""
    return {f"aria-{name}": value for name, value in names.items()}


def chip(light: Light, word: str, **props: Any) -> Component:
    """Return a state as icon, word and colour."""
    return html.Span(word, className=chip_class(light), **props)


def chip_class(light: Light) -> str:
    """Return the class that gives a chip its icon and colour."""
    return f"tu-chip tu-{light}"


def card(title: Node, *inside: Node, aside: Node = None, **props: Any) -> Component:
    """Return a titled card; `aside` stands at the right of the title."""
    head = html.Div([html.H2(title, className="tu-card-title"), aside], className="tu-card-head")
    return html.Section([head, *inside], className=f"tu-card {props.pop('className', '')}".strip(), **props)


def page_head(title: Node, *facts: Node, back: tuple[str, str] | None = None) -> Component:
    """Return the head of a page: where it belongs, what it is, what matters of it."""
    above = dmc.Anchor(f"← {back[0]}", href=back[1], className="tu-back") if back else None
    return html.Header([above, html.H1(title, className="tu-title"), html.Div(list(facts), className="tu-facts")])


def fact(label: str, value: Node) -> Component:
    """Return a small labelled fact."""
    return html.Div(
        [html.Span(label, className="tu-label"), html.Span(value, className="tu-value")], className="tu-fact"
    )


def facts(pairs: Iterable[tuple[str, Node]]) -> Component:
    """Return labelled facts in a wrapping row."""
    return html.Div([fact(label, value) for label, value in pairs], className="tu-facts")


def code(text: str, **props: Any) -> Component:
    """Return text in a fixed-width block that scrolls on its own."""
    return html.Pre(text, className="tu-code", tabIndex="0", **props)


def quiet(text: str) -> Component:
    """Return a sentence for an empty place: what is awaited here."""
    return html.P(text, className="tu-quiet")


STATE_RULES = {f"tu-cell-{light}": f"(params.value || '').startsWith('{sign}')" for light, sign in ICONS.items()}
"""A cell that begins with the sign of a state takes its colour."""


WRAPPED = {"wrapText": True, "autoHeight": True, "cellClass": "tu-wrap"}
"""A column whose text takes as many lines as it needs."""


def state_column(field: str, title: str, **more: Any) -> dict[str, Any]:
    """Return a column whose cells are states, written by `text.worded`."""
    return {"field": field, "headerName": title, "cellClassRules": STATE_RULES, **more}


def table(
    grid_id: str | dict[str, str],
    columns: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]] = (),
    empty: str = "Nothing here.",
    height: int | None = None,
    **more: Any,
) -> Component:
    """Return a grid; feed it through `rowData`. Rows need an `id`. Without a height it grows with its rows. `more` goes to the grid."""
    options: dict[str, Any] = {
        "localeText": {"noRowsToShow": empty},
        "rowSelection": {"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
        "suppressCellFocus": False,
        "tooltipShowDelay": 300,
        "rowHeight": 40,
        "headerHeight": 36,
        "animateRows": False,
        "suppressColumnVirtualisation": True,
        "enableCellTextSelection": True,
        **more,
    }
    if height is None:
        options["domLayout"] = "autoHeight"
    grid: Component = dag.AgGrid(
        id=grid_id,
        columnDefs=[{"flex": 1, **column} for column in columns],
        rowData=list(rows),
        defaultColDef={"resizable": True, "sortable": True, "suppressMovable": True, "minWidth": 90},
        getRowId="params.data.id",
        dashGridOptions=options,
        dangerously_allow_code=False,
        className="tu-grid",
        style={"height": f"{height}px" if height else None, "width": "100%"},
    )
    return grid
