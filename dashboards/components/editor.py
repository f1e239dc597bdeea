"""An editor for a policy's YAML: a plain text area with line numbers, checked by the plane as one types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from controlplane.api.answers import veiled
from controlplane.views.states import Light
from dashboards.components.parts import aria, chip, chip_class
from dashboards.components.text import counted
from rules.policy.problems import Problem

SHOWN = 12
"""Problems that are shown; mending those shows the others."""
FEWEST, MOST, LINE = 10, 30, 19
"""Lines that the area shows, and how high one is."""
Lint = Callable[[str, Any], Sequence[Problem]]
"""Takes the text, and what the store `about` of the editor holds."""


def editor(of: str, text: str, *, readonly: bool, label: str = "Document") -> Component:
    """Return an editor whose parts have ids that begin with `of`; its text is the `value` of `of`-document."""
    height = f"{(min(max(text.count(chr(10)) + 2, FEWEST), MOST)) * LINE + 20}px"
    area = dmc.Textarea(
        id=f"{of}-document", value=text, readOnly=readonly, spellCheck=False, classNames={"input": "tu-text"},
        styles={"input": {"height": height}}, attributes={"input": {"wrap": "off"}}, **aria(label=label),
    )  # fmt: skip
    gutter = html.Pre(_numbers(text), id=f"{of}-lines", className="tu-lines", **aria(hidden="true"))
    verdict = "" if readonly else "Checked by the plane as you type"
    return html.Div(
        [
            dcc.Store(id=f"{of}-typed"),
            dcc.Store(id=f"{of}-marks"),
            html.Div([gutter, area], className="tu-editor"),
            html.Div(chip(Light.INFO, verdict, id=f"{of}-verdict") if verdict else None, className="tu-verdict", **aria(live="polite")),
            html.Ol(id=f"{of}-problems", className="tu-problems"),
        ]
    )  # fmt: skip


def _numbers(text: str) -> str:
    return "\n".join(str(number) for number in range(1, text.count("\n") + 2))


def register(app: Dash, of: str, lint: Lint, about: State) -> None:
    """Number the lines in the browser, wait there until the typing rests, and have the plane check what stands there then."""
    app.clientside_callback(
        ClientsideFunction("trueup", "lines"),
        Output(f"{of}-lines", "children"),
        Input(f"{of}-document", "value"),
        Input(f"{of}-marks", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("trueup", "settled"),
        Output(f"{of}-typed", "data"),
        Input(f"{of}-document", "value"),
        State(f"{of}-document", "readOnly"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(f"{of}-verdict", "children"), Output(f"{of}-verdict", "className"),
        Output(f"{of}-problems", "children"), Output(f"{of}-marks", "data"),
        Input(f"{of}-typed", "data"), about,
        prevent_initial_call=True,
    )  # fmt: skip
    def check(typed: str | None, subject: Any) -> Any:
        return [no_update] * 4 if typed is None else answer(lint(typed, subject))


def answer(problems: Sequence[Problem]) -> list[Any]:
    """Return what is said of a checked text: a verdict and its look, the problems, and the lines to mark."""
    if not problems:
        said = "No problem: the whole registry holds with this document in it"
        return [said, chip_class(Light.OK), [], []]
    shown: list[Component] = [_line(one) for one in problems[:SHOWN]]
    if len(problems) > SHOWN:
        shown.append(html.Li(f"and {counted(len(problems) - SHOWN, 'more', 'more')}"))
    lines = sorted({one.line for one in problems if one.line})
    return [counted(len(problems), "problem"), chip_class(Light.BREACH), shown, lines]


def _line(one: Problem) -> Component:
    """Write a problem: where it is, the rule, the remedy."""
    elsewhere = veiled(f"{one.kind}/{one.name}") if one.kind else "the text"
    where = " · ".join(part for part in (f"line {one.line}" if one.line else f"in {elsewhere}", one.path) if part)
    return html.Li([html.B(where), veiled(f" {one.rule}; "), html.Em(veiled(one.remedy))])
