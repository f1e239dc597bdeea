"""The frame around every page: name, navigation, who is signed in, light or dark."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from controlplane.access import Actor
from dashboards.components.parts import aria

NAVIGATION = (
    ("Overview", "/"),
    ("Incidents", "/incidents"),
    ("Findings", "/findings"),
    ("Comparisons", "/comparisons"),
    ("Quarantine", "/quarantine"),
    ("Policies", "/policies"),
)
THEME = {
    "fontFamily": 'Inter, "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif',
    "fontFamilyMonospace": 'ui-monospace, "Cascadia Code", "SF Mono", Menlo, "DejaVu Sans Mono", monospace',
    "primaryColor": "blue",
    "defaultRadius": "md",
    "headings": {"fontWeight": "650"},
}


def shell(who: Actor, csrf_token: str) -> Component:
    """Return the frame; the router fills `page`."""
    frame: Component = dmc.MantineProvider(
        html.Div(
            [
                dcc.Location(id="url", refresh="callback-nav"),
                html.A("Skip to content", href="#page", className="tu-skip"),
                html.Header([_brand(), _navigation(), _account(who, csrf_token)], className="tu-top"),
                html.Main(id="page", className="tu-page"),
            ]
        ),
        theme=THEME,
        defaultColorScheme="auto",
    )
    return frame


def _brand() -> Component:
    return dcc.Link([html.Span(className="tu-mark"), "Trueup"], href="/", className="tu-brand")


def _navigation() -> Component:
    links = [
        dcc.Link(title, href=path, id={"type": "nav", "path": path}, className="tu-nav") for title, path in NAVIGATION
    ]
    return html.Nav(links, className="tu-navs", **aria(label="Pages"))


def _account(who: Actor, csrf_token: str) -> Component:
    toggle = dmc.ColorSchemeToggle(
        lightIcon="☀", darkIcon="☾", variant="subtle", color="gray", size="md", **aria(label="Light or dark")
    )
    leave = html.Form(
        [
            dcc.Input(type="hidden", name="csrf_token", value=csrf_token, id="csrf"),
            html.Button("Sign out", type="submit", className="tu-plain"),
        ],
        action="/logout",
        method="POST",
    )
    roles = ", ".join(sorted(who.roles))
    confined = (
        [] if who.reach.everything else [html.Span(str(who.reach), className="tu-who", title="All that you are shown")]
    )
    return html.Div(
        [toggle, *confined, html.Span(who.name, title=f"Roles: {roles}", className="tu-who"), leave],
        className="tu-account",
    )
