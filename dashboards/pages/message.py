"""One message's whole life: intake, what was understood, what it caused, deliveries, attempts, outcome."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from controlplane.views.matrix import OWED
from controlplane.views.messages import MessageLife, Step, message_life, sender
from controlplane.views.states import OF_DELIVERY, Light, progress
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import live, refresh, signature
from dashboards.components.parts import Node, card, chip, code, facts, page_head, quiet
from dashboards.components.text import clock_time, day_time, pretty, seconds

SHOWN = 24
"""Steps on the page; a life longer than that is told by its beginning and its end."""
OF_OUTCOME = {
    "delivered": Light.OK, "already_delivered": Light.OK, "absent": Light.INFO, "unseen": Light.INFO, "stale": Light.WARN,
    "throttled": Light.WARN, "unavailable": Light.WARN, "unknown": Light.WARN, "rejected": Light.BREACH,
}  # fmt: skip
OF_KIND = {
    "arrived": Light.INFO,
    "accepted": Light.INFO,
    "caused": Light.INFO,
    "owed": Light.INFO,
    "held": Light.BREACH,
}


def layout(asked: Asked) -> Component:
    """Draw the page of one message. Raises NotFoundError."""
    life = _read(asked.plane, asked.key)
    one = life.message
    said = [
        ("Type", f"{one['type']} v{one['schema_version']}"),
        ("Source", one["source"]),
        ("Occurred", day_time(one["occurred_at"])),
        ("Accepted", day_time(one["accepted_at"])),
        ("Registry", f"version {one['registry_version']}"),
        ("Trace", one["trace_id"]),
    ]
    tabs = [("data", "What it says", code(pretty(one["data"]))), ("raw", "As it came in", _raw(life)),
            ("sent", "What is sent", _sent(life)), ("evidence", "Answers", _answers(life))]  # fmt: skip
    return html.Div(
        [
            page_head(one["subject"], html.Div(id="message-state", className="tu-row"), back=("Overview", "/")),
            live("message", every=3000),
            dcc.Store(id="message-id", data=asked.key),
            dcc.Store(id="message-seen"),
            facts([*said, *_relations(life)]),
            html.Div(
                [
                    card("Its life", html.Div(id="message-life"), className="tu-grow"),
                    card("Evidence", dmc.Tabs(
                        [dmc.TabsList([dmc.TabsTab(title, value=name) for name, title, _ in tabs]),
                         *(dmc.TabsPanel(inside, value=name, pt="sm") for name, _, inside in tabs)],
                        value="data")),
                ],
                className="tu-split",
            ),
        ]
    )  # fmt: skip


def _read(plane: Plane, message_id: str) -> MessageLife:
    with plane.store.read() as conn:
        return message_life(conn, message_id)


def _relations(life: MessageLife) -> list[tuple[str, Node]]:
    if life.cause is None:
        return []
    link = dcc.Link(f"{life.cause['type']} about {life.cause['subject']}", href=f"/messages/{life.cause['id']}")
    return [("Caused by", link)]


def _raw(life: MessageLife) -> Component:
    if life.intake is None:
        return quiet("Made by the plane itself: nothing came in for it.")
    said = f"{life.intake['channel']} of {life.intake['system']} · {life.intake['topic']}"
    hidden = quiet("Personal and secret fields are masked here; what was stored is verbatim.")
    by = sender(life.intake) or "no account of ours"
    came = facts([("Came by", said), ("Event key", life.intake["event_key"]), ("Sent by", by)])
    return html.Div([came, code(life.intake["body"]), hidden])


def _sent(life: MessageLife) -> Component:
    if not life.deliveries:
        return quiet("It is owed to nobody: processes turn it into other messages.")
    parts: list[Component] = []
    for one in life.deliveries[:6]:
        key = one["sent_key"] or one["idempotency_key"]
        parts += [html.B(f"{one['target']} · {one['entity']}"), html.Div(f"key {key}", className="tu-said"),
                  code(pretty(one["payload"]))]  # fmt: skip
    return html.Div(parts, className="tu-stack")


def _answers(life: MessageLife) -> Component:
    found = [one for one in life.attempts if one["evidence"]][-6:]
    if not found:
        return quiet("No attempt has brought an answer that was kept.")
    return html.Div(
        [
            html.Div(
                [html.B(f"Attempt {one['number']} at {one['system']}: {one['outcome']}"), code(pretty(one["evidence"]))]
            )
            for one in found
        ],
        className="tu-stack",
    )


def register(app: Dash, plane: Plane) -> None:
    """Tell the life anew when something has happened, and leave it alone otherwise."""
    outputs = [Output("message-state", "children"), Output("message-life", "children"), Output("message-seen", "data")]

    @refresh(app, "message", outputs, Input("message-id", "data"), State("message-seen", "data"))
    def update(message_id: str, seen: str | None) -> list[Any]:
        life = _read(plane, message_id)
        late = [one["id"] for one in life.deliveries if _late(one, plane.clock.now())]
        mark = signature((life.steps, late))
        if mark == seen:
            return [no_update, no_update, no_update]
        return [_states(life, plane.clock.now()), timeline(life.steps), mark]


def _late(one: Mapping[str, Any], now: datetime) -> bool:
    return one["state"] in OWED and one["promise_at"] < now


def _light(one: Mapping[str, Any], now: datetime) -> Light:
    return Light.BREACH if _late(one, now) else OF_DELIVERY[one["state"]]


def _states(life: MessageLife, now: datetime) -> list[Component]:
    lights = [_light(one, now) for one in life.deliveries]
    if not lights:
        return [chip(Light.INFO, life.message["state"])]
    have = sum(light is Light.OK for light in lights)
    each = (
        chip(light, f"{one['target']}: {one['state']}{', late' if _late(one, now) else ''}")
        for one, light in zip(life.deliveries[:6], lights, strict=False)
    )
    return [chip(progress(lights), f"{have} of {len(lights)} targets have it"), *each]


def timeline(steps: list[Step]) -> Component:
    """Return the steps as a list; a long life loses its middle, and says so."""
    shown = steps if len(steps) <= SHOWN else steps[: SHOWN // 2] + steps[-SHOWN // 2 :]
    items = [_item(step) for step in shown]
    if len(steps) > SHOWN:
        left_out = html.Li(
            [html.Span(), html.Span(className="tu-dot"), html.Small(f"{len(steps) - SHOWN} steps left out")]
        )
        items.insert(SHOWN // 2, left_out)
    return html.Ol(items, className="tu-life")


def _item(step: Step) -> Component:
    light = (
        OF_OUTCOME.get(step.state) if step.kind == "attempt" else OF_KIND.get(step.kind, OF_DELIVERY.get(step.state))
    )
    took = f" · took {seconds(step.took)}" if step.took is not None else ""
    title: Component = html.B(step.title)
    if step.link:
        title = dcc.Link(title, href=step.link)
    return html.Li(
        [
            html.Time(clock_time(step.at).removesuffix(" UTC"), dateTime=step.at.isoformat(), title=day_time(step.at)),
            html.Span(className=f"tu-dot tu-dot-{light or Light.INFO}"),
            html.Div([title, html.Small(step.detail + took)]),
        ]
    )
