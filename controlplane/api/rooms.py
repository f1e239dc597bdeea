"""/api/v1: reading what the rooms know. More of it: `moving`, `measured`, `business`, `installed`."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, Response, current_app, jsonify
from pydantic import Field

from controlplane.api.answers import actor, plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import LARGEST, Flag, Kind, Query, Text
from controlplane.api.pages import Narrowed, Paged, Timed
from controlplane.api.routes import PREFIX
from controlplane.api.schemas import ANY, NEXT, OBJECT, TEXT, YES, Null, row
from controlplane.registry.requests import etag_of_revision
from controlplane.store import tables as t
from controlplane.sync.quarantine.sealed import ENVELOPES
from controlplane.views import (
    findings,
    flows,
    governed,
    incidents,
    matrix,
    messages,
    money,
    overview,
    policies,
)

rooms = Blueprint("rooms", __name__, url_prefix="/api/v1")
ENTRY = row(t.policy_revision, only=("id", "kind", "name", "revision", "hash", "valid_from", "author", "origin"))


@rooms.get("/")
@contract({"routes": [{"path": TEXT, "methods": [TEXT], "about": TEXT}]})
def index() -> Response:
    """List every route of the API with what it does."""
    functions = current_app.view_functions
    routes = [
        {
            "path": rule.rule,
            "methods": sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}),
            "about": (functions[rule.endpoint].__doc__ or "").strip().split("\n")[0],
        }
        for rule in current_app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX)
    ]
    return jsonify(routes=sorted(routes, key=lambda route: (route["path"], route["methods"])))


@rooms.get("/me")
@contract({"name": TEXT, "team": Null(TEXT), "roles": [TEXT], "rights": [TEXT], "reach": Null(OBJECT)})
def me() -> Response:
    """Who asks, what they may do, and what they are confined to."""
    who = actor()
    return jsonify(
        name=who.name, team=who.team, roles=sorted(who.roles), rights=sorted(who.rights), reach=who.reach.told()
    )


class Window(Query):
    """How far a page looks back."""

    minutes: int = Field(default=60, ge=10, le=7 * 1440, description="how far the series go back")


@rooms.get("/overview")
@contract(overview.Overview, query=Window)
def get_overview(query: Window) -> Response:
    """The figures of the overview page; `minutes` is how far the series go back."""
    now, snapshot = plane().clock.now(), plane().registry.snapshot()
    with plane().store.read() as conn:
        return jsonify(overview.overview(conn, snapshot, now, timedelta(minutes=query.minutes)))


@rooms.get("/flows")
@contract({"flows": [matrix.FlowRow]}, links=(Link("rooms.get_flow", {"name": "/flows/0/flow"}),))
def get_flows() -> Response:
    """Every flow as it stands at its source and its targets, the worst first. Whole: there are as many as the registry has."""
    with plane().store.read() as conn:
        return jsonify(flows=flows.flow_rows(conn, plane().registry.snapshot(), plane().clock.now()))


@rooms.get("/flows/<name>")
@contract(flows.FlowPage, links=(Link("rooms.get_message", {"message_id": "/recent/0/id"}),))
def get_flow(name: str) -> Response:
    """One flow: latency, what is owed, the newest messages, what waits in quarantine."""
    with plane().store.read() as conn:
        return jsonify(flows.flow(conn, plane().registry.snapshot(), name, plane().clock.now()))


@rooms.get("/messages/<message_id>")
@contract(
    {
        "message": row(t.message), "intake": Null(row(t.intake, without=("sealed",), sealed=YES)),
        "cause": Null(row(t.message)), "derived": [row(t.message)],
        "deliveries": [row(t.delivery)], "attempts": [row(t.attempt)],
        "held": [row(t.quarantine, without=ENVELOPES, sealed=YES)], "steps": [messages.Step],
    }
)  # fmt: skip
def get_message(message_id: str) -> Response:
    """One message's whole life, from intake to outcome."""
    with plane().store.read() as conn:
        return jsonify(messages.message_life(conn, message_id))


class FindingsQuery(Timed):
    """Which findings; the stretch of time is that of `first_seen_at`."""

    all: Flag = Field(default=False, description="also those that are closed")
    comparison: Text | None = None
    subject: Text | None = Field(
        default=None, description="the business key: SKU@location, an order's reference, a SKU"
    )
    field: Text | None = None
    side: Text | None = Field(default=None, description="the system that is wrong")
    cause: Text | None = None
    state: Text | None = Field(default=None, description="only those in this state, closed ones too")
    message_id: Text | None = None
    run_id: Text | None = None

    @classmethod
    def beside(cls) -> frozenset[str]:
        """Return the fields that are no columns."""
        return frozenset({"all"})


@rooms.get("/findings")
@contract(
    {"findings": [findings.Finding], "next": NEXT},
    query=FindingsQuery,
    links=(Link("rooms.get_finding", {"finding_id": "/findings/0/id"}),),
)
def get_findings(query: FindingsQuery) -> Response:
    """Where systems disagree, the newest first; `all=1` adds those that are closed."""
    with plane().store.read() as conn:
        found = findings.findings(conn, query.all, query.stretch, query.narrow)
    return jsonify(findings=found.rows, next=found.next)


@rooms.get("/findings/<finding_id>")
@contract(
    {
        "finding": findings.Finding, "evidence": ANY, "run": Null(row(t.comparison_run)), "message": Null(row(t.message)),
        "deliveries": [OBJECT], "product": Null(row(t.product)), "steps": [row(t.finding_event)], "heals": [row(t.heal)],
    }
)  # fmt: skip
def get_finding(finding_id: str) -> Response:
    """One finding with its evidence and what was done about it."""
    with plane().store.read() as conn:
        return jsonify(findings.finding(conn, finding_id))


class RunsQuery(Paged):
    """Which runs."""

    comparison: Text | None = Field(default=None, description="only runs of this one")


@rooms.get("/comparisons")
@contract({"comparisons": [OBJECT], "runs": [row(t.comparison_run)], "next": NEXT}, query=RunsQuery)
def get_comparisons(query: RunsQuery) -> Response:
    """The comparisons that were promised, whole, and their runs, the newest first."""
    promised = plane().registry.snapshot().comparisons
    with plane().store.read() as conn:
        found = findings.runs(conn, query.comparison, query.stretch)
    known = [one.model_dump(mode="json") for one in promised.values()]
    return jsonify(comparisons=known, runs=found.rows, next=found.next)


class PoliciesQuery(Query):
    """Which policies."""

    kind: Kind | None = None


@rooms.get("/policies")
@contract(
    {"policies": [ENTRY | {"title": TEXT, "owner": TEXT}]},
    query=PoliciesQuery,
    links=(Link("rooms.get_policy", {"kind": "/policies/0/kind", "name": "/policies/0/name"}),),
)
def get_policies(query: PoliciesQuery) -> Response:
    """Every policy in force; `kind` narrows it. Whole: they are the registry."""
    with plane().store.read() as conn:
        return jsonify(policies=policies.catalogue(conn, query.kind))


class RevisionQuery(Query):
    """Which revision."""

    revision: int | None = Field(default=None, ge=1, le=LARGEST, description="an older one")


@rooms.get("/policies/<kind>/<name>")
@contract(
    {
        "policy": row(t.policy_revision),
        "history": [row(t.policy_revision, without=("document",))],
        "requests": [row(t.change_request)],
    },
    query=RevisionQuery,
    etag=True,
    links=(Link("deeds.roll_back", {"kind": "/policy/kind", "name": "/policy/name"}),),
)
def get_policy(kind: str, name: str, query: RevisionQuery) -> Response:
    """One policy with its history, and the newest requests to change it; `revision` asks for an older one."""
    with plane().store.read() as conn:
        found = policies.policy(conn, kind, name, query.revision)
    answer = jsonify(found)
    answer.set_etag(etag_of_revision(found.policy))
    return answer


@rooms.get("/governed/<what>/<path:identity>")
@contract(governed.Governed)
def get_governed(what: str, identity: str) -> Response:
    """What governed a message, delivery, attempt, verdict, incident, posting, finding or comparison: the revisions, whole."""
    with plane().store.read() as conn:
        return jsonify(governed.governed(conn, what, identity))


class IncidentsQuery(Narrowed):
    """Which incidents."""

    days: int | None = Field(default=None, ge=1, le=366, description="also those resolved within so many days")
    owner: Text | None = Field(default=None, description="only of this team")
    severity: Text | None = Field(default=None, description="page or ticket")
    state: Text | None = Field(default=None, description="open, acknowledged or, with `days`, resolved")
    rule: Text | None = Field(default=None, description="only by this, for instance service_level/NAME")

    @classmethod
    def beside(cls) -> frozenset[str]:
        """Return the fields that are no columns."""
        return frozenset({"days"})


@rooms.get("/incidents")
@contract(
    {"incidents": [incidents.Incident], "next": NEXT},
    query=IncidentsQuery,
    links=(
        Link("rooms.get_incident", {"incident_id": "/incidents/0/id"}),
        Link("deeds.acknowledge_incident", {"incident_id": "/incidents/0/id"}),
    ),
)
def get_incidents(query: IncidentsQuery) -> Response:
    """Open incidents, the newest first; `days` adds those resolved within so many days."""
    since = plane().clock.now() - timedelta(days=query.days) if query.days else None
    with plane().store.read() as conn:
        found = incidents.incidents(conn, since, query.stretch, query.narrow)
    return jsonify(incidents=found.rows, next=found.next)


@rooms.get("/incidents/<incident_id>")
@contract({"incident": incidents.Incident, "events": [incidents.Event]})
def get_incident(incident_id: str) -> Response:
    """One incident and its life."""
    with plane().store.read() as conn:
        one, events = incidents.incident(conn, incident_id)
    return jsonify(incident=one, events=events)


class BalancesQuery(Query):
    """Which postings."""

    date: str | None = Field(default=None, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="of a business date")


@rooms.get("/postings/balances")
@contract({"balances": [money.Balance]}, query=BalancesQuery)
def get_balances(query: BalancesQuery) -> Response:
    """Debits and credits by account; `date` (YYYY-MM-DD) narrows it. Whole: there are as many as accounts and currencies."""
    with plane().store.read() as conn:
        return jsonify(balances=money.balances(conn, query.date))
