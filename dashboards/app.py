"""Put the pages on the plane's own server: `mount` is what the entry point names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dash import ALL, Dash, Input, Output, State, html
from dash.development.base_component import Component
from flask import Flask, g

from controlplane.api.answers import actor
from controlplane.wiring import Plane
from dashboards.components.shell import shell
from dashboards.pages import find, register_all

ASSETS = Path(__file__).parent / "assets"


def mount(server: Flask, plane: Plane) -> None:
    """Add the pages to the server. The gate before every request has signed people in before any of this answers."""
    app = Dash(
        "dashboards",
        server=server,
        url_base_pathname="/",
        assets_folder=str(ASSETS),
        serve_locally=True,
        suppress_callback_exceptions=True,
        title="Trueup",
        update_title="",
        prevent_initial_callbacks=False,
    )
    app.layout = _frame
    register_all(app, plane)
    _route(app, plane)
    server.config["SCRIPT_HASHES"] = tuple(app.csp_hashes())


def _frame() -> Component:
    if "actor" not in g:
        return html.Div()  # Dash asks once while it is set up, when nobody is there yet
    session = g.get("session")
    return shell(actor(), session.csrf_token if session else "")


def _route(app: Dash, plane: Plane) -> None:
    @app.callback(
        Output("page", "children"),
        Output({"type": "nav", "path": ALL}, "className"),
        Input("url", "pathname"),
        Input("url", "search"),
        State({"type": "nav", "path": ALL}, "id"),
    )
    def show(path: str | None, search: str | None, links: list[dict[str, str]]) -> tuple[Any, list[str]]:
        return find(plane, path or "/", search or ""), [_nav_class(link["path"], path or "/") for link in links]


def _nav_class(link: str, path: str) -> str:
    here = path == link or (link != "/" and path.startswith(f"{link}/"))
    return "tu-nav tu-here" if here else "tu-nav"
