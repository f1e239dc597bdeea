"""The buttons of a request: what may be done to it, by whom, and why not where it may not."""

from __future__ import annotations

from collections.abc import Mapping

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from dashboards.components.parts import aria
from rules.changes import LONGEST_BREAK

TITLES = {
    "edit": "Save the edit", "rebase": "Rebase on what is in force", "simulate": "Simulate", "submit": "Ask for review",
    "approve": "Approve", "reject": "Reject", "apply": "Apply now", "schedule": "Schedule", "withdraw": "Withdraw",
    "review": "Review", "break_glass": "Break the glass", "comment": "Comment",
}  # fmt: skip
STRONG = {"approve": "filled", "apply": "filled"}
HOURS = int(LONGEST_BREAK.total_seconds() // 3600)


def layout(why: Mapping[str, str]) -> list[Component]:
    """Show every button but those of the editor, enabled where they may be pressed; the service decides in any case."""
    at = dmc.TextInput(
        id="request-at",
        label="In force from, UTC",
        placeholder="2026-12-01 06:00",
        size="sm",
        w=170,
        disabled="schedule" in why,
    )
    hours = dmc.NumberInput(
        id="request-hours",
        label="For hours",
        value=4,
        min=1,
        max=HOURS,
        size="sm",
        w=100,
        disabled="break_glass" in why,
    )
    said = dmc.TextInput(
        id="request-said", label="Comment or reason", size="sm", className="tu-grow", disabled="comment" in why
    )
    return [
        _row(said, *some(why, "comment")),
        _row(*some(why, "simulate", "submit", "approve", "reject", "apply", "withdraw", "review")),
        _row(at, *some(why, "schedule"), hours, *some(why, "break_glass")),
        _reasons(why),
    ]


def _row(*inside: Component) -> Component:
    return html.Div(list(inside), className="tu-row tu-row-end tu-deeds")


def some(why: Mapping[str, str], *deeds: str) -> list[Component]:
    """Return the buttons of some deeds."""
    return [_button(deed, why.get(deed, "")) for deed in deeds]


def _button(deed: str, why: str) -> Component:
    button = dmc.Button(
        TITLES[deed], id=f"request-{deed}", size="sm", disabled=bool(why), variant=STRONG.get(deed, "default"),
        **(aria(describedby="request-why") if why else {}),
    )  # fmt: skip
    return html.Span(button, title=f"{TITLES[deed]}: {why}" if why else None)


def _reasons(why: Mapping[str, str]) -> Component:
    """Say why, once for all the buttons of which it is true."""
    found: dict[str, list[str]] = {}
    for deed, reason in why.items():
        if deed in TITLES:
            found.setdefault(reason, []).append(TITLES[deed])
    lines = [html.Li([html.B(", ".join(titles)), f": {reason}."]) for reason, titles in found.items()]
    return html.Div([html.P("What you cannot do here, and why", className="tu-label"), html.Ul(lines)] if lines else None,
                    id="request-why", className="tu-why")  # fmt: skip
