"""/api/v1: what is measured and judged: indicators, observations, service levels, verdicts; one comparison, and one run of it."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response, jsonify
from pydantic import Field

from controlplane.api.answers import plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import KEPT, Text
from controlplane.api.pages import Narrowed, Timed, listed
from controlplane.api.schemas import NEXT, OBJECT, Null, Raw, row
from controlplane.store import tables as t
from controlplane.views import measured as view
from controlplane.views.overview import Level, levels

measured = Blueprint("measured", __name__, url_prefix="/api/v1")
COUNTS = Raw({"type": "object", "additionalProperties": {"type": "integer"}})
Series = Annotated[str, Field(max_length=200, pattern=KEPT, description="labels as sorted key=value text")]
VERDICT = row(t.verdict)
RUN = row(t.comparison_run)


class IndicatorsQuery(Narrowed):
    """Which indicators."""

    indicator: Text | None = Field(default=None, description="all series of this one")


@measured.get("/indicators")
@contract(
    {"indicators": [view.Indicator], "next": NEXT},
    query=IndicatorsQuery,
    links=(Link("measured.get_indicator", {"name": "/indicators/0/indicator"}),),
)
def list_indicators(query: IndicatorsQuery) -> Response:
    """Every series that was observed within a day, with what was seen last."""
    with plane().store.read() as conn:
        found = view.indicators(conn, plane().clock.now(), query.narrow, query.stretch)
    return jsonify(indicators=found.rows, next=found.next)


class MinutesQuery(Timed):
    """Which minutes."""

    series: Series | None = None


@measured.get("/indicators/<name>")
@contract({"minutes": [row(t.rollup)], "next": NEXT}, query=MinutesQuery)
def get_indicator(name: str, query: MinutesQuery) -> Response:
    """One indicator by the minute, the newest first."""
    with plane().store.read() as conn:
        found = view.minutes(conn, name, query.narrow, query.stretch)
    return jsonify(minutes=found.rows, next=found.next)


class ObservationsQuery(Timed):
    """Which observations."""

    indicator: Text | None = None
    series: Series | None = None


@measured.get("/observations")
@contract({"observations": [row(t.sample)], "next": NEXT}, query=ObservationsQuery)
def list_observations(query: ObservationsQuery) -> Response:
    """Single observations, the newest first; for longer than they are kept there are the minutes of their indicator."""
    return listed("observations", view.observations, query)


@measured.get("/service-levels")
@contract({"service_levels": [Level]}, links=(Link("measured.get_service_level", {"name": "/service_levels/0/name"}),))
def list_service_levels() -> Response:
    """Every service level as it stands: attainment, what is left of its budget, burn. Whole: there are as many as were promised."""
    with plane().store.read() as conn:
        found = levels(conn, plane().registry.snapshot_in(conn), plane().clock.now())
    return jsonify(service_levels=found)


@measured.get("/service-levels/<name>")
@contract(
    {"standing": Level, "policy": OBJECT, "verdicts": [VERDICT]},
    links=(Link("rooms.get_policy", {"kind": "/policy/kind", "name": "/policy/metadata/name"}),),
)
def get_service_level(name: str) -> Response:
    """One service level as it stands and as it was promised, and its newest fifty verdicts."""
    with plane().store.read() as conn:
        return jsonify(view.service_level(conn, plane().registry.snapshot_in(conn), name, plane().clock.now()))


class VerdictsQuery(Timed):
    """Which verdicts."""

    service_level: Text | None = None
    state: Text | None = Field(default=None, description="meeting, at_risk, breached or unknown")


@measured.get("/verdicts")
@contract({"verdicts": [VERDICT], "next": NEXT}, query=VerdictsQuery)
def list_verdicts(query: VerdictsQuery) -> Response:
    """What was judged of service levels, and under which revision; the newest first."""
    return listed("verdicts", view.verdicts, query)


@measured.get("/comparisons/<name>")
@contract(
    {"comparison": OBJECT, "run": Null(RUN), "open": COUNTS},
    links=(Link("deeds.run_comparison", {"name": "/comparison/metadata/name"}),),
)
def get_comparison(name: str) -> Response:
    """One comparison as promised, its newest run over all keys, and how many findings are open, by cause."""
    with plane().store.read() as conn:
        return jsonify(view.comparison(conn, plane().registry.snapshot_in(conn), name))


@measured.get("/comparison-runs/<run_id>")
@contract(RUN)
def get_comparison_run(run_id: str) -> Response:
    """One run of a comparison; the list of them is GET /api/v1/comparisons."""
    with plane().store.read() as conn:
        return jsonify(view.comparison_run(conn, run_id))
