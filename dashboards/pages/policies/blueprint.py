"""The blueprint of a domain, as a page that people who govern it can read."""

from __future__ import annotations

from datetime import timedelta

from dash import dcc, html
from dash.development.base_component import Component

from controlplane.views.blueprint import Blueprint, Right, Way, blueprint
from controlplane.wiring import Plane
from dashboards.components.parts import WRAPPED, Node, card, facts, quiet, table
from rules.policy import kinds as k

WORDS = {"retry-then-quarantine": "retried, then held in quarantine", "quarantine": "held in quarantine at once"}
RIGHTS = [
    {"field": "entity", "headerName": "Entity", "minWidth": 100},
    {"field": "field", "headerName": "Field", "minWidth": 130},
    {"field": "system", "headerName": "System of record", "minWidth": 130},
    {"field": "locations", "headerName": "Locations", "flex": 2, "minWidth": 170, **WRAPPED},
]
WAYS = [
    {"field": "id", "headerName": "Flow", "minWidth": 120},
    {"field": "way", "headerName": "From → to", "flex": 3, "minWidth": 200, **WRAPPED},
    {"field": "method", "headerName": "Method", "minWidth": 116},
    {"field": "promise", "headerName": "Promise", "minWidth": 84},
    {"field": "retry", "headerName": "Retries", "minWidth": 84},
    {"field": "owner", "headerName": "Owner", "minWidth": 130, "tooltipField": "owner"},
]


def layout(plane: Plane, name: str) -> Component:
    """Draw the blueprint of a domain."""
    found = blueprint(plane.registry.snapshot(), name)
    meta = found.domain.metadata
    ways: Component = (
        table("blueprint-ways", WAYS, [_way(way) for way in found.ways]) if found.ways else quiet("No flow carries it.")
    )
    return card(
        f"Blueprint: {meta.title or meta.name}",
        html.P(meta.description, className="tu-big") if meta.description else None,
        facts(_promises(found)),
        html.H3("Who is right", className="tu-subtitle"), table("blueprint-rights", RIGHTS, [_right(one) for one in found.rights]),
        html.H3("How it moves", className="tu-subtitle"), ways,
        className="tu-blueprint",
    )  # fmt: skip


def _promises(found: Blueprint) -> list[tuple[str, Node]]:
    spec = found.domain.spec
    return [
        ("Owner", _owner(found)),
        ("Everywhere within", k.format_duration(spec.latency)),
        ("What fails is", WORDS[spec.failure_handling]),
        ("Reconciliation", _reconciliation(found)),
        ("Escalation", _escalation(found)),
        ("Kept", _kept(spec.retention)),
        ("Canonical model", f"version {spec.model_version}"),
    ]


def _link(kind: str, name: str, text: str = "") -> Component:
    return dcc.Link(text or name, href=f"/policies?kind={kind}&name={name}")


def _owner(found: Blueprint) -> Node:
    name = found.domain.spec.owner
    channel = f" ({found.owner.spec.channel})" if found.owner and found.owner.spec.channel else ""
    return html.Span([_link("Team", name), channel])


def _reconciliation(found: Blueprint) -> Node:
    if found.comparison is None:
        return "nothing watches over it"
    spec = found.comparison.spec
    sides = ", ".join(side.system for side in spec.sides)
    return html.Span([_link("Comparison", found.comparison.name), f": {sides}, every {k.format_duration(spec.every)}"])


def _escalation(found: Blueprint) -> Node:
    steps = found.escalation.spec.steps if found.escalation else ()
    told = ", ".join(f"{step.team} {_after(step.after)}" for step in steps)
    return html.Span([_link("EscalationPath", found.domain.spec.escalation), f": {told}" if told else ""])


def _after(delay: timedelta) -> str:
    return f"after {k.format_duration(delay)}" if delay else "at once"


def _kept(spec: k.RetentionSpec) -> str:
    times = [("records", spec.raw), ("attempts", spec.attempts), ("messages", spec.messages)]
    told = ", ".join(f"{what} {'for good' if time >= k.KEPT else k.format_duration(time)}" for what, time in times)
    return f"{told}; then {'archived at ' + spec.archive if spec.archive else 'deleted'}"


def _right(one: Right) -> dict[str, str]:
    field = one.field or "all others"
    where = ", ".join(one.locations) or "no codes of its own"
    return {
        "id": f"{one.entity}.{one.field}.{one.system}",
        "entity": one.entity,
        "field": field,
        "system": one.system,
        "locations": where,
    }


def _way(one: Way) -> dict[str, str]:
    to = ", ".join(one.targets) or "the plane"
    return {
        "id": one.name, "way": f"{one.source} → {to}", "method": one.method, "promise": k.format_duration(one.promise),
        "retry": one.retry, "owner": one.owner,
    }  # fmt: skip
