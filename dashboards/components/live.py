"""Pages that keep themselves up to date: ask only when seen and when the last answer is in, and say so when none comes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import dash_mantine_components as dmc
import structlog
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component
from sqlalchemy.exc import OperationalError

from controlplane.api.answers import veiled
from controlplane.errors import TrueupError

log = structlog.get_logger(__name__)
HIDE, SHOW = {"display": "none"}, {"display": "block"}


def live(page: str, every: int = 2000) -> Component:
    """Return what a live page carries: its ticker, and the two banners for when something is wrong."""
    return html.Div(
        [
            dcc.Interval(id=f"{page}-tick", interval=every),
            dcc.Store(id=f"{page}-due"),
            dcc.Store(id=f"{page}-done"),
            html.Div(
                dmc.Alert(
                    "The plane does not answer. What you see is the last that it said, and may be out of date.",
                    title="Out of touch", color="orange", variant="light",
                ),
                id=f"{page}-lost", style=HIDE, role="alert", className="tu-banner",
            ),
            html.Div(
                dmc.Alert(html.Span(id=f"{page}-trouble-text"), title="Not up to date", color="orange", variant="light"),
                id=f"{page}-trouble", style=HIDE, role="alert", className="tu-banner",
            ),
        ]
    )  # fmt: skip


def refresh(
    app: Dash, page: str, outputs: Sequence[Output], *also: Input | State
) -> Callable[[Callable[..., Sequence[Any]]], None]:
    """Register the function that returns the outputs' new values, called when the page is due or `also` changes."""

    def register(function: Callable[..., Sequence[Any]]) -> None:
        app.clientside_callback(
            ClientsideFunction("trueup", "due"),
            Output(f"{page}-due", "data"),
            Output(f"{page}-lost", "style"),
            Input(f"{page}-tick", "n_intervals"),
            State(f"{page}-due", "data"),
            State(f"{page}-done", "data"),
        )
        banner = [
            Output(f"{page}-trouble", "style"),
            Output(f"{page}-trouble-text", "children"),
            Output(f"{page}-done", "data"),
        ]

        @app.callback([*outputs, *banner], Input(f"{page}-due", "data"), *also)
        @functools.wraps(function)
        def answer(due: Any, *args: Any) -> list[Any]:
            try:
                return [*function(*args), HIDE, "", due]
            except Exception as error:  # noqa: BLE001 - the page must say that it is out of date, whatever the reason
                return [*_as_they_are(len(outputs)), SHOW, explain(error), due]

    return register


def _as_they_are(count: int) -> list[Any]:
    """Return what leaves the first outputs alone; an output of many components takes one value for each of them."""
    return [[no_update] * len(one) if isinstance(one, list) else no_update for one in ctx.outputs_list[:count]]


def explain(error: Exception) -> str:
    """Say in a sentence why a page could not be brought up to date; what nobody foresaw goes to the log."""
    if isinstance(error, TrueupError):
        return veiled(str(error))
    log.error("page", exc_info=error)
    if isinstance(error, OperationalError):
        return "The plane's database does not answer. What you see is the last state that could be read."
    return "This page could not be brought up to date; the plane's log has the details."


def leads(app: Dash, grid_id: str) -> None:
    """Let a click on a row of the grid lead to the row's `link`."""
    app.clientside_callback(
        ClientsideFunction("trueup", "follow"),
        Output("url", "href", allow_duplicate=True),
        Input(grid_id, "cellClicked"),
        State(grid_id, "rowData"),
        prevent_initial_call=True,
    )


def opens(app: Dash, grid_id: str) -> None:
    """Write the `link` of the row that is opened below the grid into the address, so that it can be passed on."""
    app.clientside_callback(
        ClientsideFunction("trueup", "address"),
        Input(grid_id, "cellClicked"),
        State(grid_id, "rowData"),
        prevent_initial_call=True,
    )


def signature(value: object) -> str:
    """Return a short text that changes when the value does, so that an unchanged page is left alone."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def acted(function: Callable[[], Any], beside: tuple[type[TrueupError], ...] = ()) -> Component:
    """Do what a person asked for and return what answers them; refusals are told, and only those in `beside` raised.

    Those are for the caller to show beside the field that is wrong.
    """
    try:
        return _answer(function(), "", "teal")
    except beside:
        raise
    except TrueupError as error:
        return refused(error)
    except Exception as error:  # noqa: BLE001 - a button that does nothing and says nothing is worse
        return _answer(explain(error), "Failed", "red")


def refused(error: TrueupError) -> Component:
    """Return what answers somebody who asked for what cannot be done."""
    return _answer(veiled(str(error)), "Refused", "orange")


def _answer(text: Any, title: str, color: str) -> Component:
    found: Component = dmc.Alert(text, title=title or None, color=color, variant="light", withCloseButton=True)
    return found
