"""A retailer of two brands: whoever is confined to one walks every route and every callback, and meets nothing of the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import Engine, event, update

from controlplane.access import issue_token
from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.wiring import Plane
from dashboards.app import mount
from dashboards.pages import PAGES
from dashboards.pages.overview import TITLES
from rules.policy.writing import to_yaml
from rules.reach import EVERYTHING, Reach
from tests import two_brands
from tests.conftest import START
from tests.dashboards.test_rights import ALL, API, DEEDS, ROLES, buttons, callbacks, counts, pressed, routes
from tests.two_brands import COMPARISON, FLOW, LEVEL, MARK, MINE, NORTH, SYSTEM
from tests.web import a_plane, served, signed_in

ABLE = tuple(role for role in ROLES if role != "auditor")
WALKERS = {**{role: (role,) for role in ROLES}, "all": ABLE}
OUT_OF_DATE, CANNOT = "could not be brought up to date", "Cannot be shown"
WHOLE = ("audit", "people")
"""Blueprints of which nothing is for whoever is confined."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A plane of two brands, with a row of each in every table, and people confined to the first."""
    url = ""
    if request.param == "postgresql":
        made: Store = request.getfixturevalue("postgresql_of_its_own")
        url = made.engine.url.render_as_string(hide_password=False)
    with a_plane(tmp_path_factory.mktemp("home"), ManualClock(START), url) as found:
        two_brands.policies(found)
        two_brands.people(found, NORTH, "north", WALKERS)
        two_brands.people(found, EVERYTHING, "free", {"all": ABLE})
        yield found


@pytest.fixture(scope="module")
def ids(plane: Plane) -> dict[str, dict[str, str]]:
    """Brand -> table -> id of its row."""
    found = {mark: two_brands.story(plane, mark) for mark in (MARK, MINE)}
    two_brands.made_by_the_plane(plane)
    return found


@pytest.fixture(scope="module")
def people(plane: Plane, ids: dict[str, dict[str, str]]) -> Iterator[dict[str, httpx.Client]]:
    """Signed-in clients: one for each role, confined; and one who reaches everything."""
    with served(plane, [mount]) as url:
        found = {role: signed_in(url, f"north-{role}") for role in WALKERS}
        yield {**found, "free": signed_in(url, "free-all")}


def parts(mark: str, ids: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Parameter of a path -> by the room that it stands in (`` for any) what a brand calls it."""
    mine = ids[mark]
    return {
        "case_id": {"": mine["quarantine"]}, "message_id": {"": mine["message"]}, "finding_id": {"": mine["finding"]},
        "incident_id": {"": mine["incident"]}, "delivery_id": {"": mine["delivery"]}, "replay_id": {"": mine["replay"]},
        "request_id": {"": mine["change_request"]}, "run_id": {"": mine["comparison_run"]}, "kind": {"": "Flow"},
        "name": {
            "flows": FLOW[mark], "systems": SYSTEM[mark], "comparisons": COMPARISON[mark], "policies": FLOW[mark],
            "service-levels": LEVEL[mark], "domains": "orders", "indicators": "queue_depth", "": f"{mark}-x",
        },
        "intake_id": {"": mine["intake"]}, "path:ref": {"": mine["order_state"]}, "path:key": {"": mine["posting"]},
        "path:sku": {"": mine["product"]}, "sku": {"": mine["product"]}, "location": {"": f"{mark}-location"},
        "prefix": {"": f"{mark}-prefix"},
    }  # fmt: skip


def walk(plane: Plane, mark: str, ids: dict[str, dict[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield method, address and endpoint of each route of the API, with a brand's names and ids in it."""
    known = parts(mark, ids)
    for method, path, endpoint in templates(plane):
        for one in about(path, mark, ids):
            filled = one
            for name, by_room in known.items():
                value = by_room.get(path.split("/")[3], by_room.get("", ""))
                filled = filled.replace(f"<{name}>", quote(value, safe=""))
            yield method, filled, endpoint


def templates(plane: Plane) -> list[tuple[str, str, str]]:
    """Return method, path with its parameters, and endpoint of every route of the API."""
    from controlplane.app import create_app

    rules = [rule for rule in create_app(plane, mounts=[]).url_map.iter_rules() if rule.endpoint in API]
    return [
        (method, rule.rule, rule.endpoint)
        for rule in rules
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def about(path: str, mark: str, ids: dict[str, dict[str, str]]) -> list[str]:
    """Return the addresses that a template stands for."""
    if "<what>" not in path:
        return [path]
    mine = ids[mark]
    known = {"message": "message", "delivery": "delivery", "attempt": "attempt", "verdict": "verdict", "incident": "incident",
             "posting": "posting", "finding": "finding", "comparison": "comparison_run"}  # fmt: skip
    return [path.replace("<what>", what).replace("<path:identity>", mine[table]) for what, table in known.items()]


QUERIES = {
    "rooms.get_findings": "all=1", "quarantine.list_cases": "all=1", "rooms.get_incidents": "days=30", "deeds.list_requests": "all=1",
}  # fmt: skip


UNNAMED = ("", "me", "schemas", "schemas/Flow", "domains", "processes", "schedules", "runs", f"runs/{MARK}-run")
"""Rooms whose answers name no brand to anybody: of the plane's own, or of what both share."""


def named(answer: httpx.Response, *asked: str) -> bool:
    """Whether an answer names the second brand, but for what it was asked about."""
    told = answer.text + str(answer.headers)
    for one in asked:
        told = told.replace(one, "")
    return MARK in told.lower()


def test_the_walk_would_notice_the_second_brand(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]]
) -> None:
    silent = []
    for method, path, endpoint in walk(plane, MARK, ids):
        if (
            method == "GET"
            and "<" not in path
            and API[endpoint] is ALL
            and endpoint.split(".")[0] not in ("openapi", "ledger")
        ):
            answer = people["free"].get(path, params=QUERIES.get(endpoint))
            if answer.status_code != 200 or not named(answer):
                silent.append((path, answer.status_code))
    assert {path for path, _ in silent} == {f"/api/v1/{one}" for one in UNNAMED}, silent


@pytest.mark.parametrize("role", WALKERS)
def test_no_route_tells_of_the_second_brand(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]], role: str
) -> None:
    wrong = []
    for method, path, endpoint in walk(plane, MINE, ids):
        if method != "GET":
            continue
        answer = people[role].get(path, params=QUERIES.get(endpoint))
        told = answer.status_code == (
            404 if endpoint in ("ledger.get_run", "ledger.get_part", "installed.get_run") else 200
        )
        if (
            named(answer)
            or (API[endpoint] is ALL and not told)
            or (endpoint.split(".")[0] in WHOLE and answer.status_code != 403)
        ):
            wrong.append((path, answer.status_code, answer.text[:300]))
    for method, path, _ in walk(plane, MARK, ids):
        if method != "GET" or ("zebra" not in path and ids[MARK]["change_request"] not in path):
            continue
        answer = people[role].get(path)
        if answer.status_code not in (403, 404) or named(answer, *ids[MARK].values(), FLOW[MARK], f"{MARK}-location"):
            wrong.append((path, answer.status_code, answer.text[:300]))
    assert wrong == []


def bodies(plane: Plane, ids: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Endpoint -> what is sent to it, about the second brand."""
    flow = plane.registry.snapshot().flows[FLOW[MARK]].model_dump(mode="json")
    case = {"select": {"ids": [ids[MARK]["quarantine"]]}}
    group = {"select": {"group": {"flow": FLOW[MARK]}}}
    why = {"reason": "because"}
    return {
        "quarantine.correct_case": {"set": {"ref": "x"}}, "quarantine.correct_cases": {**case, "set": {"ref": "x"}},
        "quarantine.replay_cases": group, "quarantine.preview_cases": case, "quarantine.drop_cases": {**group, **why},
        "quarantine.drop_case": why, "quarantine.vouch_for_case": why, "quarantine.unseal_case": why,
        "deeds.open_request": {"kind": "Flow", "name": FLOW[MARK], "document": flow, "title": "t"},
        "deeds.edit_request": {"document": flow}, "deeds.roll_back": {"revision": 1}, "deeds.vote_on_request": {"decision": "approve"},
        "deeds.schedule_request": {"at": "2030-01-01T06:00:00Z"}, "deeds.break_glass": {"hours": 1, **why},
        "deeds.review_request": {"comment": "c"}, "deeds.comment_on_request": {"comment": "c"},
        "deeds.lint_policy": {"text": json.dumps(flow)}, "operators.pause_system": why, "operators.pause_flow": why,
        "comparing.run_targeted": {"subjects": ["x"]}, "comparing.accept_finding": why, "comparing.heal_finding": why,
        "operators.start_replay": {"flow": FLOW[MARK], "since": "2026-03-01T00:00:00Z", **why},
        "messages.accept": {
            "specversion": "1.0", "id": "1", "source": SYSTEM[MARK], "type": "order.placed", "subject": "#9", "data": {},
        },
    }  # fmt: skip


SAYING = ("messages.accept", "deeds.lint_policy")
"""Endpoints that answer what is wrong with what was sent, and do nothing."""


def test_every_deed_on_the_second_brand_is_refused(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]]
) -> None:
    sent, wrong, before = bodies(plane, ids), [], counts(plane)
    for method, path, endpoint in walk(plane, MARK, ids):
        if method == "GET":
            continue
        answer = people["all"].request(method, path, json=sent.get(endpoint, {}), headers={"If-Match": "*"})
        many = endpoint.endswith("_cases") and answer.status_code < 300  # says of each case that there is none
        known = ids[MARK].values()
        if (answer.status_code not in (403, 404) and not many and endpoint not in SAYING) or named(
            answer, *known, FLOW[MARK], SYSTEM[MARK]
        ):
            wrong.append((method, path, answer.status_code, answer.text[:300]))
    assert wrong == []
    assert counts(plane) == before


def test_a_name_that_exists_elsewhere_is_not_told_from_one_that_does_not(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]]
) -> None:
    """By no route: what is answered about the second brand is what is answered about a brand that there is not."""
    client, sent, wrong = people["all"], bodies(plane, ids), []
    request_id = ids[MARK]["change_request"]
    nobodys = {MARK: {table: _nobodys(row) for table, row in ids[MARK].items()}, MINE: ids[MINE]}
    walked = zip(walk(plane, MARK, ids), walk(plane, MARK, nobodys), strict=True)
    for (method, path, endpoint), (_, other, _) in walked:
        asked = {} if method == "GET" else {"json": sent.get(endpoint, {}), "headers": {"If-Match": "*"}}
        first, second = (
            client.request(method, path, **asked),
            client.request(method, other.replace(MARK, "qqqqq"), **asked),
        )
        told = first.text.replace(MARK, "qqqqq").replace(request_id, _nobodys(request_id))
        if path != other and (first.status_code, told) != (second.status_code, second.text):
            wrong.append((method, path, first.text[:300], second.text[:300]))
    for path in ("attempts?since=", "findings?comparison=", "deliveries?target=", "messages?source="):
        first, second = (client.get(f"/api/v1/{path}{name}") for name in (SYSTEM[MARK], "qqqqq-shop"))
        if (first.status_code, first.text.replace(MARK, "qqqqq")) != (second.status_code, second.text):
            wrong.append(("GET", path, first.text[:300], second.text[:300]))
    assert wrong == []


def _nobodys(row: str) -> str:
    return row if row.startswith(MARK) else f"{row[:-4]}qqqq"


def test_what_is_shared_is_seen_and_not_acted_on(plane: Plane, people: dict[str, httpx.Client]) -> None:
    client, why = people["all"], {"reason": "because"}
    assert {"erp", "wms", "shop"} == {one["name"] for one in client.get("/api/v1/systems").json()["systems"]}
    for system in ("erp", "wms"):
        answer = client.post(f"/api/v1/systems/{system}/pause", json=why)
        assert answer.status_code == 403, answer.text
        assert "beyond the reach" in answer.json()["detail"]
    shipments = next(one for one in client.get("/api/v1/flows").json()["flows"] if one["flow"] == "shipments")
    assert set(shipments["cells"]) == {"wms", "shop", "erp"}
    assert client.post("/api/v1/flows/shipments/pause", json=why).status_code == 403
    assert client.post("/api/v1/flows/nothing/pause", json=why).status_code == 404


def test_a_batch_that_speaks_of_two_brands_is_shown_as_it_came_to_nobody_who_is_confined(
    plane: Plane, people: dict[str, httpx.Client]
) -> None:
    def placed(source: str, ref: str) -> str:
        line = {
            "line": 1,
            "native_id": "1",
            "sku": "0007-BLK-M",
            "location": "WH1",
            "quantity": 1,
            "unit_price": "9.90",
        }
        data = {"ref": ref, "native_id": ref, "placed_at": START.isoformat(), "currency": "USD", "lines": [line]}
        told = {
            "specversion": "1.0",
            "id": ref,
            "source": source,
            "type": "order.placed",
            "subject": ref,
            "time": START.isoformat(),
        }
        return json.dumps({**told, "data": data})

    body = "\n".join([placed("shop", "north-b1"), placed("zebra-shop", "zebra-b1")])
    sent = people["free"].post("/api/v1/messages", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert sent.status_code == 202, sent.text
    mine = sent.json()["ids"][0]
    intake = people["free"].get(f"/api/v1/messages/{mine}").json()["message"]["intake_id"]
    assert "zebra-b1" in people["free"].get(f"/api/v1/intake/{intake}").text
    assert people["viewer"].get(f"/api/v1/intake/{intake}").status_code == 404
    answer = people["viewer"].get(f"/api/v1/messages/{mine}")
    assert (answer.status_code, named(answer)) == (200, False), answer.text


def test_a_simulation_that_speaks_of_the_second_brand_is_not_shown(
    plane: Plane, people: dict[str, httpx.Client]
) -> None:
    document = plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
    document["spec"]["cap"] = "9m"
    asked = {"kind": "RetryPolicy", "name": "default", "document": document, "title": "Shorter"}
    made = people["free"].post("/api/v1/change-requests", json=asked).json()["id"]
    path = f"/api/v1/change-requests/{made}"
    assert people["free"].post(f"{path}/simulate").json()["result"] is not None
    simulation = t.simulation.c.change_request_id == made
    with plane.store.write() as conn:
        conn.execute(update(t.simulation).where(simulation).values(impact={"rows": [{"flow": "zebra-orders"}]}))
    assert people["free"].get(path).json()["simulation"]["result"] is not None
    shown = people["viewer"].get(path)
    assert (shown.status_code, named(shown)) == (200, False), shown.text
    assert (shown.json()["simulation"]["result"], "out of your sight" in shown.json()["simulation"]["note"]) == (
        None,
        True,
    )


def test_an_answer_under_a_key_is_given_again_within_the_same_reach_only(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]]
) -> None:
    document = plane.registry.snapshot().flows[FLOW[MARK]].model_dump(mode="json")
    document["spec"]["promise"] = "3m"
    asked = {"kind": "Flow", "name": FLOW[MARK], "document": document, "title": "Slower"}
    under = {"Idempotency-Key": "the-same"}
    first = people["free"].post("/api/v1/change-requests", json=asked, headers=under)
    assert first.status_code == 201, first.text
    assert people["free"].post("/api/v1/change-requests", json=asked, headers=under).headers["Idempotent-Replayed"]
    token = issue_token(plane.store, plane.clock, "free-all", "test", actor="test", reach=NORTH)
    url = str(people["free"].base_url)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as narrowed:
        answer = narrowed.post("/api/v1/change-requests", json=asked, headers=under)
    assert answer.status_code == 404, answer.text
    assert "Idempotent-Replayed" not in answer.headers


def test_whoever_is_confined_acts_on_the_own_brand(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]]
) -> None:
    client, why = people["all"], {"reason": "because"}
    for path in ("/api/v1/systems/shop", f"/api/v1/flows/{FLOW[MINE]}"):
        assert client.post(f"{path}/pause", json=why).status_code == 200
        assert client.post(f"{path}/resume", json=why).status_code == 200
    assert client.post(f"/api/v1/incidents/{ids[MINE]['incident']}/acknowledge").status_code == 200
    asked = client.post(f"/api/v1/comparisons/{COMPARISON[MINE]}/runs")
    assert asked.status_code == 202, asked.text
    document = plane.registry.snapshot().flows[FLOW[MINE]].model_dump(mode="json")
    document["spec"]["promise"] = "4m"
    proposed = {"kind": "Flow", "name": FLOW[MINE], "document": document, "title": "Faster"}
    made = client.post("/api/v1/change-requests", json=proposed)
    assert made.status_code == 201, made.text
    assert client.post(f"/api/v1/change-requests/{made.json()['id']}/submit").status_code == 200
    document["spec"]["targets"].append({"system": "zebra-shop", "entity": "order"})
    answer = client.put(
        f"/api/v1/change-requests/{made.json()['id']}", json={"document": document}, headers={"If-Match": "*"}
    )
    assert answer.status_code == 403, answer.text


# --- callbacks ---


def held(plane: Plane, mark: str, ids: dict[str, dict[str, str]]) -> dict[str, Any]:
    """What stands in the fields of the pages that show a brand."""
    mine = ids[mark]
    document = to_yaml(plane.registry.snapshot().flows[FLOW[mark]].model_dump(mode="json"))
    with plane.store.read() as conn:
        from controlplane.registry import requests

        request = requests.get(conn, mine["change_request"])
    return {
        "case-id": mine["quarantine"], "case-record": '{"ref": "x"}', "case-reason": "why", "incident-id": mine["incident"],
        "message-id": mine["message"], "finding-id": mine["finding"], "flow-name": FLOW[mark], "comparison-name": COMPARISON[mark],
        "request-seen": [request.id, request.hash, 0, request.etag, 1], "request-said": "because", "request-at": "2030-01-01 06:00",
        "request-hours": 2, "policy-base": ["Flow", FLOW[mark], 1], "policy-title": "t", "policy-reason": "r", "rollback-to": "1",
        "rollback-reason": "r", "policy-document": document, "request-document": document, "policy-typed": document,
        "request-typed": document, "quarantine-all": True, "requests-all": True, "findings-all": True, "incidents-all": True,
        "policies-by": "owner", "overview-window": "60", "history-from": "1", "history-to": "1",
        "requests-grid": {"rowId": request.id}, "policies-grid": {"rowId": f"Flow/{FLOW[mark]}"},
    }  # fmt: skip


def whole(asked: dict[str, Any], mark: str) -> dict[str, Any]:
    """Name each of the tiles, where a callback writes to all of them; and give the rows of a grid of which one was chosen."""
    for one in asked["state"]:
        if one["property"] == "rowData":
            row = {"id": f"Flow/{FLOW[mark]}", "kind": "Flow", "name": FLOW[mark]}
            one["value"] = [row] if one["id"] == "policies-grid" else None
        elif one["id"].startswith("{"):
            one["value"] = [{"type": "tile-value", "key": key} for key in TITLES]
        elif (one["id"] == "policy-base" and any(each["id"] == "policies-grid" for each in asked["inputs"])) or (
            one["id"] == "request-seen" and any(each["id"] == "requests-grid" for each in asked["inputs"])
        ):
            one["value"] = None
    for place, one in enumerate(asked["outputs"] if isinstance(asked["outputs"], list) else []):
        if one["id"].startswith("{"):
            kind = json.loads(one["id"])["type"]
            asked["outputs"][place] = [
                {"id": {"type": kind, "key": key}, "property": one["property"]} for key in TITLES
            ]
    return asked


def addresses(mark: str, ids: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
    """Path and query of every page, with a brand's ids where they take any."""
    mine = ids[mark]
    keys = {"/flows/*": FLOW[mark], "/messages/*": mine["message"], "/findings/*": mine["finding"]}
    found = [(path.replace("*", quote(keys.get(path, ""))), "") for path, _ in PAGES]
    asked = [("/quarantine", f"?case={mine['quarantine']}"), ("/policies", f"?request={mine['change_request']}"),
             ("/incidents", f"?incident={mine['incident']}"), ("/comparisons", f"?comparison={COMPARISON[mark]}")]  # fmt: skip
    kinds = (("Flow", FLOW[mark]), ("System", SYSTEM[mark]), ("Domain", "orders"), ("ServiceLevel", LEVEL[mark]))
    return [*found, *asked, *(("/policies", f"?kind={kind}&name={name}") for kind, name in kinds)]


def drawn(client: httpx.Client, path: str, query: str) -> httpx.Response:
    """Return what the browser is given for a page."""
    [one] = [one for one in callbacks(client) if "page.children" in one["output"]]
    asked = pressed(one, "", {"url": path})
    for each in asked["inputs"]:
        each["value"] = path if each["property"] == "pathname" else query
    asked["state"] = [[]]
    asked["outputs"] = [asked["outputs"][0], []]
    return client.post("/_dash-update-component", json=asked)


@pytest.mark.parametrize("role", ["viewer", "all"])
def test_no_page_tells_of_the_second_brand(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]], role: str
) -> None:
    wrong = []
    for mark in (MINE, MARK):
        for path, query in addresses(mark, ids):
            asked = (
                (*ids[MARK].values(), FLOW[MARK], SYSTEM[MARK], COMPARISON[MARK], LEVEL[MARK]) if mark == MARK else ()
            )
            answer = drawn(people[role], path, query)
            if answer.status_code != 200 or CANNOT in answer.text or named(answer, *asked):
                wrong.append((path, query, answer.status_code, answer.text[:500]))
    assert wrong == []
    assert named(drawn(people["free"], "/policies", ""))
    assert named(drawn(people["free"], f"/messages/{ids[MARK]['message']}", ""))


@pytest.mark.parametrize("role", ["viewer", "all"])
def test_no_callback_tells_of_the_second_brand(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]], role: str
) -> None:
    wrong, told = [], 0
    for mark in (MINE, MARK):
        fields = held(plane, mark, ids)
        for one in callbacks(people[role]):
            if any(each["property"] == "n_clicks" for each in one["inputs"]) or "page.children" in one["output"]:
                continue
            asked = whole(pressed(one, "", fields), mark)
            answer = people[role].post("/_dash-update-component", json=asked)
            told += answer.status_code == 200
            failed = (
                answer.status_code >= 500 if mark == MARK else OUT_OF_DATE in answer.text or answer.status_code >= 400
            )
            if failed or named(
                answer, *(str(each) for each in fields.values()), *ids[MARK].values(), FLOW[MARK], COMPARISON[MARK]
            ):
                wrong.append((one["output"][:80], answer.status_code, answer.text[:500]))
    assert wrong == []
    assert told > 10


def test_no_button_does_anything_to_the_second_brand(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]]
) -> None:
    fields, before, wrong = held(plane, MARK, ids), counts(plane), []
    for button, one in buttons(people["all"]).items():
        answer = people["all"].post("/_dash-update-component", json=pressed(one, button, fields))
        if (
            answer.status_code >= 500
            or counts(plane) != before
            or named(answer, *map(str, fields.values()), *ids[MARK].values(), FLOW[MARK], COMPARISON[MARK])
        ):
            wrong.append((button, answer.status_code, answer.text[:500]))
    assert wrong == []
    assert DEEDS.keys() <= buttons(people["all"]).keys()


# --- other reaches ---


@pytest.mark.parametrize(
    ("reach", "flows"),
    [
        (Reach(domains=frozenset({"orders"})), {"orders", "zebra-orders"}),
        (Reach(regions=frozenset({"eu"}), domains=frozenset({"orders"})), {"orders"}),
        (Reach(regions=frozenset({"zebraland"}), domains=frozenset({"inventory"})), {"stock-levels", "zebra-offers"}),
        (Reach(brands=frozenset()), set()),
    ],
)
def test_regions_and_domains_confine_as_brands_do(
    plane: Plane, people: dict[str, httpx.Client], ids: dict[str, dict[str, str]], reach: Reach, flows: set[str]
) -> None:
    token = issue_token(plane.store, plane.clock, "free-all", "p", actor="test", reach=reach)
    with httpx.Client(
        base_url=people["free"].base_url, trust_env=False, headers={"Authorization": f"Bearer {token}"}
    ) as program:
        found = {one["flow"] for one in program.get("/api/v1/flows").json()["flows"]}
        shown = {
            mark for mark in (MARK, MINE) if program.get(f"/api/v1/messages/{ids[mark]['message']}").status_code == 200
        }
        told = program.get("/api/v1/policies").json()["policies"]
    assert {flow for flow in found if flow in {*FLOW.values(), "zebra-offers", "stock-levels", "products"}} == flows
    assert shown == {mark for mark in (MARK, MINE) if FLOW[mark] in flows}
    if reach.domains is not None:
        assert {one["name"] for one in told if one["kind"] == "Domain"} <= reach.domains


# --- everybody else ---


def test_whoever_is_not_confined_costs_no_statement_more(plane: Plane, people: dict[str, httpx.Client]) -> None:
    statements: list[str] = []

    def note(*call: Any) -> None:
        statements.append(call[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert people["free"].get("/api/v1/flows").status_code == 200
        free, statements[:] = list(statements), []
        assert people["all"].get("/api/v1/flows").status_code == 200
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert not [one for one in free if "in_reach" in one or "ROLE" in one]
    assert [one for one in statements if "in_reach" in one or "ROLE" in one], "and who is confined is so by these"


def test_a_token_reaches_no_further_than_its_account(plane: Plane, people: dict[str, httpx.Client]) -> None:
    token = issue_token(plane.store, plane.clock, "free-all", "a program", actor="test", reach=NORTH)
    url = str(people["free"].base_url)
    with httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token}"}) as program:
        assert program.get("/api/v1/me").json()["reach"] == {"brands": ["north"]}
        assert not named(program.get("/api/v1/policies"))
        assert program.get("/metrics").status_code == 403
    assert people["free"].get("/metrics").status_code == 200


def test_whoever_is_not_confined_is_shown_everything_as_before(people: dict[str, httpx.Client]) -> None:
    assert people["free"].get("/api/v1/me").json()["reach"] is None
    assert named(people["free"].get("/api/v1/systems"))


def test_every_route_stands_in_the_walk(plane: Plane) -> None:
    assert {endpoint for _, _, endpoint in templates(plane)} == {
        endpoint for _, _, endpoint in routes(plane)
    } & API.keys()
