"""Every route and every callback of the pages, walked with every role against one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from controlplane.access import create_account
from controlplane.api.gate import OPEN
from controlplane.app import create_app
from controlplane.clock import ManualClock
from controlplane.registry.changes import Changes
from controlplane.store import tables as t
from controlplane.wiring import Plane
from dashboards.app import mount
from rules.policy.writing import to_yaml
from tests.conftest import START
from tests.controlplane.registry.common import ADA
from tests.web import PASSWORD, a_plane, served, signed_in

ROLES = ("viewer", "operator", "editor", "approver", "admin", "auditor", "privacy")
ALL, NOBODY = frozenset(ROLES), frozenset[str]()
OPERATE, PROPOSE = frozenset({"operator", "admin"}), frozenset({"editor", "admin"})
APPROVE, APPLY = frozenset({"approver"}), frozenset({"editor", "approver", "admin"})
AUDIT, ADMIN = frozenset({"admin", "auditor"}), frozenset({"admin"})
AGREE = frozenset({"operator", "approver", "admin"})

API: dict[str, frozenset[str]] = {
    "messages.accept": OPERATE,
    "quarantine.list_cases": ALL, "quarantine.get_case": ALL,
    "quarantine.correct_case": OPERATE, "quarantine.correct_cases": OPERATE,
    "quarantine.approve_case": AGREE,
    "quarantine.preview_case": OPERATE, "quarantine.preview_cases": OPERATE,
    "quarantine.replay_case": OPERATE, "quarantine.replay_cases": OPERATE,
    "quarantine.drop_case": OPERATE, "quarantine.drop_cases": OPERATE,
    "quarantine.vouch_for_case": OPERATE,
    "quarantine.unseal_case": frozenset({"admin", "privacy"}),
    "rooms.index": ALL, "rooms.me": ALL, "rooms.get_overview": ALL, "rooms.get_flows": ALL, "rooms.get_flow": ALL,
    "rooms.get_message": ALL, "rooms.get_findings": ALL, "rooms.get_finding": ALL, "rooms.get_comparisons": ALL,
    "rooms.get_policies": ALL, "rooms.get_policy": ALL, "rooms.get_governed": ALL, "rooms.get_incidents": ALL,
    "rooms.get_incident": ALL, "rooms.get_balances": ALL,
    "moving.list_intake": ALL, "moving.get_arrival": ALL, "moving.list_messages": ALL, "moving.list_deliveries": ALL,
    "moving.get_delivery": ALL, "moving.list_attempts": ALL,
    "measured.list_indicators": ALL, "measured.get_indicator": ALL, "measured.list_observations": ALL,
    "measured.list_service_levels": ALL, "measured.get_service_level": ALL, "measured.list_verdicts": ALL,
    "measured.get_comparison": ALL, "measured.get_comparison_run": ALL,
    "business.list_products": ALL, "business.get_product": ALL, "business.list_stock": ALL, "business.get_position": ALL,
    "business.list_stock_changes": ALL, "business.list_target_levels": ALL, "business.list_orders": ALL,
    "business.get_order": ALL, "business.list_postings": ALL, "business.get_posting": ALL,
    "installed.list_systems": ALL, "installed.get_system": ALL, "installed.list_domains": ALL, "installed.get_domain": ALL,
    "installed.list_connectors": ALL, "installed.list_processes": ALL, "installed.list_schedules": ALL,
    "installed.list_runs": ALL, "installed.get_run": ALL,
    "deeds.list_requests": ALL, "deeds.get_request": ALL,
    "deeds.open_request": PROPOSE, "deeds.edit_request": PROPOSE, "deeds.roll_back": PROPOSE,
    "deeds.submit_request": PROPOSE, "deeds.withdraw_request": PROPOSE,
    "deeds.simulate_request": PROPOSE | APPROVE, "deeds.vote_on_request": APPROVE, "deeds.review_request": APPROVE,
    "deeds.apply_request": APPLY, "deeds.schedule_request": APPLY, "deeds.break_glass": PROPOSE,
    "deeds.get_thread": ALL, "deeds.comment_on_request": PROPOSE | APPROVE, "deeds.lint_policy": PROPOSE | APPROVE,
    "comparing.run_targeted": OPERATE, "comparing.preview_healing": ALL, "comparing.accept_finding": OPERATE,
    "comparing.reopen_finding": OPERATE, "comparing.heal_finding": OPERATE, "comparing.approve_heal": AGREE,
    "deeds.run_comparison": OPERATE, "deeds.acknowledge_incident": OPERATE,
    "operators.get_retrying": ALL, "operators.list_replays": ALL, "operators.get_replay": ALL,
    "operators.pause_system": OPERATE, "operators.resume_system": OPERATE, "operators.run_system": OPERATE,
    "operators.pause_flow": OPERATE, "operators.resume_flow": OPERATE, "operators.run_flow": OPERATE,
    "operators.run_delivery": OPERATE, "operators.start_replay": OPERATE, "operators.cancel_replay": OPERATE,
    "ledger.get_retention": ALL, "ledger.get_parts": ALL, "ledger.get_part": ALL, "ledger.get_run": ALL,
    "ledger.archive_now": OPERATE, "ledger.restore_part": OPERATE,
    "audit.actions": AUDIT, "audit.checkpoints": AUDIT, "audit.export": AUDIT,
    "people.list_accounts": ADMIN, "people.make_account": ADMIN, "people.set_roles": ADMIN, "people.set_password": ADMIN,
    "people.disable": ADMIN, "people.enable": ADMIN, "people.list_tokens": ADMIN, "people.issue": ADMIN,
    "people.revoke": ADMIN, "people.note_keys": ADMIN,
    "openapi.get_openapi": ALL, "kinds.get_schemas": ALL, "kinds.get_schema": ALL,
}  # fmt: skip
"""Route of the API -> the roles that it is for."""
OUTSIDE = frozenset({
    "static", "open.healthz", "open.readyz", "login.static", "login.page", "login.sign_in", "login.provider",
    "login.callback", "login.leave", "hooks.take",
})  # fmt: skip
"""What answers anybody: nothing of it tells or changes anything of the plane without a proof of its own."""
SIGNED_IN = frozenset({
    "open.metrics", "login.again", "login.again_by_password", "login.sign_out", "_dash_assets.static",
    "/_dash-component-suites/<string:package_name>/<path:fingerprinted_path>", "/_dash-layout", "/_dash-dependencies",
    "/_dash-update-component", "/_reload-hash", "/_favicon.ico", "/", "/<path:path>",
})  # fmt: skip
"""What takes a session or token, of whatever role."""
DEEDS: dict[str, frozenset[str]] = {
    "case-correct": OPERATE, "case-preview": OPERATE, "case-approve": AGREE, "case-replay": OPERATE, "case-drop": OPERATE,
    "case-vouch": OPERATE,
    "policy-propose": PROPOSE, "policy-draft": PROPOSE, "rollback": PROPOSE,
    "request-edit": PROPOSE, "request-rebase": PROPOSE, "request-submit": PROPOSE, "request-withdraw": PROPOSE,
    "request-simulate": PROPOSE | APPROVE, "request-comment": PROPOSE | APPROVE,
    "request-approve": APPROVE, "request-reject": APPROVE, "request-review": APPROVE,
    "request-apply": APPLY, "request-schedule": APPLY, "request-break_glass": PROPOSE,
    "incident-acknowledge": OPERATE, "comparison-run": OPERATE,
}  # fmt: skip
"""Button -> the roles that it does something for."""
LOOKS = frozenset({"policy-moved-see", "request-moved-see", "policy-begin"})
"""Buttons that only show something else."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A plane with an account for each role, and one without any."""
    with a_plane(tmp_path_factory.mktemp("home"), ManualClock(START)) as found:
        for role in ROLES:
            create_account(found.store, found.clock, f"the-{role}", PASSWORD, [role], actor="setup", team="store-ops")
        create_account(found.store, found.clock, "the-none", PASSWORD, [], actor="setup")
        yield found


@pytest.fixture(scope="module")
def people(plane: Plane) -> Iterator[dict[str, httpx.Client]]:
    """A signed-in client for each role, and `nobody`."""
    with served(plane, [mount]) as url:
        found = {role: signed_in(url, f"the-{role}") for role in (*ROLES, "none")}
        yield {**found, "nobody": httpx.Client(base_url=url, trust_env=False)}


def routes(plane: Plane) -> list[tuple[str, str, str]]:
    """Return method, path and endpoint of every route; parts of a path are filled in with names that nothing has."""
    found = []
    for rule in create_app(plane, mounts=[mount]).url_map.iter_rules():
        path = rule.rule
        for argument in rule.arguments:
            path = path.replace(f"<{argument}>", "nothing").replace(f"<path:{argument}>", "nothing")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            found.append((method, path, rule.endpoint))
    return found


def counts(plane: Plane) -> dict[str, Any]:
    """Return how many rows each table has, and the newest change of a request."""
    with plane.store.read() as conn:
        found = {
            table.name: conn.execute(select(func.count()).select_from(table)).scalar_one()
            for table in t.metadata.sorted_tables
        }
        return found | {"touched": conn.execute(select(func.max(t.change_request.c.updated_at))).scalar_one()}


def test_every_route_is_in_the_table(plane: Plane) -> None:
    known = {endpoint for _, _, endpoint in routes(plane)} - {"rooms.unknown"}
    assert known - API.keys() - OUTSIDE - SIGNED_IN == set(), "say in the table who it is for"
    assert API.keys() - known == set()
    assert {name for name in OUTSIDE if "." in name} == set(OPEN)


def test_every_route_of_the_api_is_for_just_the_roles_of_the_table(
    plane: Plane, people: dict[str, httpx.Client]
) -> None:
    wrong = []
    for method, path, endpoint in routes(plane):
        if endpoint not in API:
            continue
        for who, client in people.items():
            answer = client.request(method, path, json={} if method != "GET" else None)
            refused = 401 if who == "nobody" else 403
            may = who in API[endpoint]
            if (answer.status_code == refused) is may or answer.status_code >= 500:
                wrong.append(f"{method} {path} by {who}: {answer.status_code}")
    assert wrong == []


def test_what_takes_a_session_answers_nobody_without(plane: Plane, people: dict[str, httpx.Client]) -> None:
    for method, path, endpoint in routes(plane):
        if endpoint in SIGNED_IN:
            answer = people["nobody"].request(method, path.replace("<string:package_name>", "dash"), json={})
            assert answer.status_code in (401, 302), (method, path, answer.status_code)
            none = people["none"].request(method, path.replace("<string:package_name>", "dash"), json={})
            assert none.status_code in (403, 302, 303), (method, path, none.status_code)


# --- callbacks ---


def callbacks(client: httpx.Client) -> list[dict[str, Any]]:
    """Return the callbacks that the server answers."""
    return [one for one in client.get("/_dash-dependencies").json() if not one.get("clientside_function")]


def pressed(one: dict[str, Any], button: str, held: dict[str, Any]) -> dict[str, Any]:
    """Return what the browser sends when a button is pressed, with these values in the fields."""
    inputs = [
        {"id": each["id"], "property": each["property"], "value": 1 if each["id"] == button else held.get(each["id"])}
        for each in one["inputs"]
    ]
    state = [{"id": each["id"], "property": each["property"], "value": held.get(each["id"])} for each in one["state"]]
    parts = one["output"].strip(".").split("...") if one["output"].startswith("..") else [one["output"]]
    outputs = [dict(zip(("id", "property"), part.rsplit(".", 1), strict=True)) for part in parts]
    return {
        "output": one["output"], "outputs": outputs if len(parts) > 1 or one["output"].startswith("..") else outputs[0],
        "inputs": inputs, "state": state, "changedPropIds": [f"{button}.n_clicks"],
    }  # fmt: skip


def buttons(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return button -> the callback that hears it."""
    return {each["id"]: one for one in callbacks(client) for each in one["inputs"] if each["property"] == "n_clicks"}


def test_every_button_is_in_the_table(people: dict[str, httpx.Client]) -> None:
    assert set(buttons(people["viewer"])) == set(DEEDS) | LOOKS


def on_screen(plane: Plane, cap: str) -> dict[str, Any]:
    """Open a request, and return what stands in the fields of the pages with it: enough for most buttons to do something."""
    document = plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
    document["spec"]["cap"] = cap
    text = to_yaml(document)
    request = Changes(plane.registry).open("RetryPolicy", "default", document, "Wait longer", "", ADA)
    return {
        "case-id": "nothing", "case-record": "{}", "case-reason": "why", "incident-id": "nothing",
        "comparison-name": "stock-three-way", "request-seen": [request.id, request.hash, 0, request.etag, 1],
        "request-said": "because", "request-at": "2030-01-01 06:00", "request-hours": 2,
        "policy-base": ["RetryPolicy", "default", 1], "policy-title": "t", "policy-reason": "r", "rollback-to": "1",
        "rollback-reason": "r", "policy-document": text, "request-document": text,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("button", "role", "table"),
    [
        ("request-comment", "approver", "action"),
        ("policy-draft", "editor", "change_request"),
        ("comparison-run", "operator", "run"),
    ],
)
def test_a_button_does_something_for_a_role_that_it_is_for(
    plane: Plane, people: dict[str, httpx.Client], button: str, role: str, table: str
) -> None:
    held = on_screen(plane, "8m")
    before = counts(plane)
    answer = people[role].post("/_dash-update-component", json=pressed(buttons(people[role])[button], button, held))
    assert answer.status_code == 200, answer.text
    assert counts(plane)[table] == before[table] + 1


def test_no_button_does_anything_for_a_role_that_it_is_not_for(plane: Plane, people: dict[str, httpx.Client]) -> None:
    held = on_screen(plane, "9m")
    wrong = []
    for button, one in buttons(people["viewer"]).items():
        for role in ROLES:
            if role in DEEDS.get(button, NOBODY):
                continue
            before = counts(plane)
            answer = people[role].post("/_dash-update-component", json=pressed(one, button, held))
            if answer.status_code >= 500 or counts(plane) != before:
                wrong.append(f"{button} by {role}: {answer.status_code}")
    assert wrong == []


def test_a_page_that_is_only_looked_at_changes_nothing(plane: Plane, people: dict[str, httpx.Client]) -> None:
    before = counts(plane)
    for one in callbacks(people["viewer"]):
        if not any(each["property"] == "n_clicks" for each in one["inputs"]):
            for role in ROLES:
                people[role].post("/_dash-update-component", json=pressed(one, "", {}))
    assert counts(plane) == before
