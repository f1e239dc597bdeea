"""/api/v1: what is installed and what runs by itself: connectors, processes, schedules, runs; one system, one domain."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from pydantic import Field

from controlplane.api.answers import plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import Text
from controlplane.api.pages import Timed, listed
from controlplane.api.schemas import INSTANT, NEXT, OBJECT, TEXT, Null, Raw, row
from controlplane.store import tables as t
from controlplane.views import blueprint, systems
from controlplane.views import installed as view

installed = Blueprint("installed", __name__, url_prefix="/api/v1")
RUN = row(t.run)
SYSTEM = {
    "name": TEXT, "title": TEXT, "role": TEXT, "connector": TEXT, "owner": TEXT, "state": Null(row(t.system_state)),
    "standing": systems.Standing, "settings": {"at": Null(INSTANT), "rows": [OBJECT], "unread": Null(TEXT)},
}  # fmt: skip
ITS_NAME = {"name": "/name"}


@installed.get("/systems")
@contract({"systems": [SYSTEM]}, links=(Link("installed.get_system", {"name": "/systems/0/name"}),))
def list_systems() -> Response:
    """Every system and how it stands: paused, its circuit, its rate. Whole: there are as many as the registry has."""
    with plane().store.read() as conn:
        found = systems.systems(conn, plane().registry.snapshot_in(conn), plane().clock.now())
    return jsonify(systems=found)


@installed.get("/systems/<name>")
@contract(
    SYSTEM | {"policy": OBJECT, "owed": Raw({"type": "object", "additionalProperties": {"type": "integer"}})},
    links=(Link("operators.pause_system", ITS_NAME), Link("operators.resume_system", ITS_NAME)),
)
def get_system(name: str) -> Response:
    """One system, how it stands, its policy, and how many deliveries it is owed, by state."""
    with plane().store.read() as conn:
        return jsonify(systems.system(conn, plane().registry.snapshot_in(conn), name, plane().clock.now()))


@installed.get("/domains")
@contract(
    {"domains": [{"name": TEXT, "title": TEXT, "owner": TEXT}]},
    links=(Link("installed.get_domain", {"name": "/domains/0/name"}),),
)
def list_domains() -> Response:
    """The domains and their owners. Whole: there are as many as the registry has."""
    found = plane().registry.snapshot().domains
    told = [{"name": name, "title": one.metadata.title or name, "owner": one.spec.owner} for name, one in found.items()]
    return jsonify(domains=told)


@installed.get("/domains/<name>")
@contract(
    {
        "domain": OBJECT, "rights": [blueprint.Right], "ways": [blueprint.Way], "owner": Null(OBJECT),
        "comparison": Null(OBJECT), "escalation": Null(OBJECT),
    }
)  # fmt: skip
def get_domain(name: str) -> Response:
    """The blueprint of a domain: which system is right about what, by which flows it goes, who owns and who is called."""
    one = blueprint.blueprint(plane().registry.snapshot(), name)
    beside = {"owner": one.owner, "comparison": one.comparison, "escalation": one.escalation}
    policies = {key: policy and policy.model_dump(mode="json") for key, policy in beside.items()}
    return jsonify(domain=one.domain.model_dump(mode="json"), rights=one.rights, ways=one.ways, **policies)


@installed.get("/connectors")
@contract({"connectors": [view.Connector]})
def list_connectors() -> Response:
    """The connectors that are installed, what they declare, and the systems that they speak with. Whole."""
    return jsonify(connectors=view.connectors(plane().registry.snapshot()))


@installed.get("/processes")
@contract({"processes": [view.Process]})
def list_processes() -> Response:
    """What makes messages and state of messages, and of which types. Whole: they are what is installed."""
    return jsonify(processes=view.processes())


@installed.get("/schedules")
@contract({"schedules": [view.Schedule]}, links=(Link("installed.get_run", {"run_id": "/schedules/0/run"}),))
def list_schedules() -> Response:
    """What has run by itself or was asked for within two days, each with its newest run. Whole: they are few."""
    with plane().store.read() as conn:
        return jsonify(schedules=view.schedules(conn, plane().registry.snapshot_in(conn)))


class RunsQuery(Timed):
    """Which runs; the stretch of time is that of `scheduled_for`."""

    schedule: Text | None = None
    state: Text | None = Field(default=None, description="requested, running, done or failed")


@installed.get("/runs")
@contract({"runs": [RUN], "next": NEXT}, query=RunsQuery, links=(Link("installed.get_run", {"run_id": "/runs/0/id"}),))
def list_runs(query: RunsQuery) -> Response:
    """Runs of what is scheduled or was asked for, the newest first."""
    return listed("runs", view.runs, query)


@installed.get("/runs/<run_id>")
@contract(RUN)
def get_run(run_id: str) -> Response:
    """One run and how it ended."""
    with plane().store.read() as conn:
        return jsonify(view.run(conn, run_id))
