"""/api/v1: reading what the rooms know."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, Response, current_app, jsonify, request

from controlplane.api.answers import actor, flag, plane
from controlplane.api.problems import problem
from controlplane.views import findings, flows, governed, incidents, messages, money, overview, policies, systems

rooms = Blueprint("rooms", __name__, url_prefix="/api/v1")


@rooms.get("/")
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
        if rule.rule.startswith("/api/v1/") and rule.endpoint != "rooms.unknown"
    ]
    return jsonify(routes=sorted(routes, key=lambda route: (route["path"], route["methods"])))


@rooms.route("/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def unknown(rest: str) -> Response:
    """Refuse what is no route of the API."""
    return problem(404, f"there is no {request.method} /api/v1/{rest}; GET /api/v1/ lists the routes")


@rooms.get("/me")
def me() -> Response:
    """Who asks, and what they may do."""
    who = actor()
    return jsonify(name=who.name, team=who.team, roles=sorted(who.roles), rights=sorted(who.rights))


@rooms.get("/overview")
def get_overview() -> Response:
    """The figures of the overview page; `minutes` is how far the series go back."""
    minutes = min(max(request.args.get("minutes", 60, type=int), 10), 7 * 1440)
    now, snapshot = plane().clock.now(), plane().registry.snapshot()
    with plane().store.read() as conn:
        return jsonify(overview.overview(conn, snapshot, now, timedelta(minutes=minutes)))


@rooms.get("/flows")
def get_flows() -> Response:
    """Every flow as it stands at its source and its targets, the worst first."""
    with plane().store.read() as conn:
        return jsonify(flows=flows.flow_rows(conn, plane().registry.snapshot(), plane().clock.now()))


@rooms.get("/flows/<name>")
def get_flow(name: str) -> Response:
    """One flow: latency, what is owed, the newest messages, what waits in quarantine."""
    with plane().store.read() as conn:
        return jsonify(flows.flow(conn, plane().registry.snapshot(), name, plane().clock.now()))


@rooms.get("/messages/<message_id>")
def get_message(message_id: str) -> Response:
    """One message's whole life, from intake to outcome."""
    with plane().store.read() as conn:
        return jsonify(messages.message_life(conn, message_id))


@rooms.get("/findings")
def get_findings() -> Response:
    """Where systems disagree; `all=1` adds those that are closed."""
    with plane().store.read() as conn:
        return jsonify(findings=findings.findings(conn, flag("all")))


@rooms.get("/findings/<finding_id>")
def get_finding(finding_id: str) -> Response:
    """One finding with its evidence and what was done about it."""
    with plane().store.read() as conn:
        return jsonify(findings.finding(conn, finding_id))


@rooms.get("/comparisons")
def get_comparisons() -> Response:
    """The comparisons that were promised, and their newest runs."""
    promised = plane().registry.snapshot().comparisons
    with plane().store.read() as conn:
        runs = findings.runs(conn, request.args.get("comparison"))
    return jsonify(comparisons=[one.model_dump(mode="json") for one in promised.values()], runs=runs)


@rooms.get("/policies")
def get_policies() -> Response:
    """Every policy in force; `kind` narrows it."""
    with plane().store.read() as conn:
        return jsonify(policies=policies.catalogue(conn, request.args.get("kind")))


@rooms.get("/policies/<kind>/<name>")
def get_policy(kind: str, name: str) -> Response:
    """One policy with its history; `revision` asks for an older one."""
    with plane().store.read() as conn:
        return jsonify(policies.policy(conn, kind, name, request.args.get("revision", type=int)))


@rooms.get("/governed/<what>/<path:identity>")
def get_governed(what: str, identity: str) -> Response:
    """What governed a message, delivery, attempt, verdict, incident, posting, finding or comparison: the revisions, whole."""
    with plane().store.read() as conn:
        return jsonify(governed.governed(conn, what, identity))


@rooms.get("/incidents")
def get_incidents() -> Response:
    """Open incidents; `days` adds those resolved within so many days."""
    days = request.args.get("days", type=int)
    since = plane().clock.now() - timedelta(days=min(days, 366)) if days else None
    with plane().store.read() as conn:
        return jsonify(incidents=incidents.incidents(conn, since))


@rooms.get("/incidents/<incident_id>")
def get_incident(incident_id: str) -> Response:
    """One incident and its life."""
    with plane().store.read() as conn:
        one, events = incidents.incident(conn, incident_id)
    return jsonify(incident=one, events=events)


@rooms.get("/systems")
def get_systems() -> Response:
    """Every system and how it stands."""
    with plane().store.read() as conn:
        return jsonify(systems=systems.systems(conn, plane().registry.snapshot()))


@rooms.get("/postings/balances")
def get_balances() -> Response:
    """Debits and credits by account; `date` (YYYY-MM-DD) narrows it to a business date."""
    with plane().store.read() as conn:
        return jsonify(balances=money.balances(conn, request.args.get("date")))
