"""One module per page: `layout(asked)` draws it once, `register(app, plane)` keeps it up to date."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote

from dash import Dash, html
from dash.development.base_component import Component

from controlplane.api.answers import veiled
from controlplane.errors import NotFoundError
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import explain
from dashboards.components.parts import page_head, quiet
from dashboards.pages import comparisons, finding, findings, flow, incidents, message, overview, policies, quarantine

PAGES: tuple[tuple[str, Any], ...] = (
    ("/", overview),
    ("/flows/*", flow),
    ("/messages/*", message),
    ("/findings", findings),
    ("/findings/*", finding),
    ("/quarantine", quarantine),
    ("/policies", policies),
    ("/incidents", incidents),
    ("/comparisons", comparisons),
)
"""Path, with `*` for one key, and the module of the page."""


def register_all(app: Dash, plane: Plane) -> None:
    """Register the callbacks of every page."""
    for _, page in PAGES:
        page.register(app, plane)


def find(plane: Plane, path: str, search: str) -> Component:
    """Return the page at a path, or one that says what went wrong."""
    query = {name: values[-1] for name, values in parse_qs(search.lstrip("?")).items()}
    try:
        page, key = _match(path)
        drawn: Component = page.layout(Asked(plane, key, query))
    except NotFoundError as error:
        return html.Div([page_head("Not here"), quiet(veiled(str(error)))])
    except Exception as error:  # noqa: BLE001 - the frame stays usable when a page cannot be drawn
        return html.Div([page_head("Cannot be shown"), quiet(explain(error))])
    return drawn


def _match(path: str) -> tuple[Any, str]:
    trimmed = path.rstrip("/") or "/"
    for pattern, page in PAGES:
        if pattern == trimmed:
            return page, ""
        stem = pattern.removesuffix("*")
        if stem != pattern and trimmed.startswith(stem) and len(trimmed) > len(stem):
            return page, unquote(trimmed.removeprefix(stem))
    raise NotFoundError(f"There is no page at {path}. The overview is at /.")
