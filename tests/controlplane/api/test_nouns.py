"""Every noun of the plane is read over REST: each word of the glossary and each table has its route, or a reason why not; lists are
narrowed and read in parts, and what is personal is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import event

from controlplane.api.contract import CONTRACTS
from controlplane.app import create_app
from controlplane.clock import ManualClock
from controlplane.store import tables as t
from controlplane.wiring import Plane
from tests.conftest import START
from tests.dashboards.seed import Seed
from tests.web import a_plane, served, signed_in

HOUSE = Path(__file__).parents[3] / "docs/house.md"
NOUNS: dict[str, tuple[str, ...]] = {
    "system": ("installed.list_systems", "installed.get_system"),
    "connector": ("installed.list_connectors",),
    "domain": ("installed.list_domains", "installed.get_domain"),
    "flow": ("rooms.get_flows", "rooms.get_flow"),
    "message": ("moving.list_messages", "rooms.get_message", "messages.accept"),
    "delivery": ("moving.list_deliveries", "moving.get_delivery"),
    "attempt": ("moving.list_attempts",),
    "quarantine": ("quarantine.list_cases", "quarantine.get_case"),
    "observation": ("measured.list_observations",),
    "indicator": ("measured.list_indicators", "measured.get_indicator"),
    "SLO": ("measured.list_service_levels", "measured.get_service_level", "measured.list_verdicts"),
    "comparison": ("rooms.get_comparisons", "measured.get_comparison", "measured.get_comparison_run"),
    "finding": ("rooms.get_findings", "rooms.get_finding"),
    "drift": ("rooms.get_findings",),
    "indeterminate": ("rooms.get_comparisons", "measured.get_comparison_run"),
    "policy": ("rooms.get_policies", "rooms.get_policy"),
    "reach": ("people.list_accounts", "people.list_tokens"),
    "change request": ("deeds.list_requests", "deeds.get_request"),
    "incident": ("rooms.get_incidents", "rooms.get_incident"),
}
"""Word of the glossary -> where it is read."""
TABLES: dict[str, tuple[str, ...] | str] = {
    "action": ("audit.actions", "audit.export"),
    "audit_head": "where the chain of actions ends: in the export",
    "audit_checkpoint": ("audit.checkpoints",),
    "account": ("people.list_accounts",),
    "login_session": "what lets somebody in: nobody reads it",
    "service_token": ("people.list_tokens",),
    "request_key": "read by sending the request again",
    "policy_revision": ("rooms.get_policies", "rooms.get_policy"),
    "registry_version": "a number that rows carry; what it stands for is told by /governed",
    "change_request": ("deeds.list_requests", "deeds.get_request"),
    "change_vote": ("deeds.get_request",),
    "simulation": ("deeds.get_request",),
    "source_cursor": "opaque to all but its connector; how old it is stands at the flow",
    "control_number": "counts what a connector sent; which number a delivery bears stands with its attempts",
    "system_state": ("installed.list_systems", "installed.get_system"),
    "flow_state": ("rooms.get_flow",),
    "intake": ("moving.list_intake", "moving.get_arrival"),
    "message": ("moving.list_messages", "rooms.get_message"),
    "message_seen": "fingerprints of what retention has deleted: they tell nothing",
    "archive": ("ledger.get_parts", "ledger.get_part"),
    "product": ("business.list_products", "business.get_product"),
    "stock_position": ("business.list_stock", "business.get_position"),
    "stock_change": ("business.list_stock_changes", "business.get_position"),
    "order_state": ("business.list_orders", "business.get_order"),
    "order_line": ("business.get_order",),
    "posting": ("business.list_postings", "business.get_posting", "rooms.get_balances"),
    "delivery": ("moving.list_deliveries", "moving.get_delivery"),
    "delivery_seen": "fingerprints of what retention has deleted: they tell nothing",
    "attempt": ("moving.list_attempts", "moving.get_delivery"),
    "target_level": ("business.list_target_levels", "business.get_position"),
    "target_effect": ("business.get_position",),
    "quarantine": ("quarantine.list_cases", "quarantine.get_case"),
    "quarantine_event": ("quarantine.get_case",),
    "replay": ("operators.list_replays", "operators.get_replay"),
    "run": ("installed.list_runs", "installed.get_run", "installed.list_schedules"),
    "lease": "who does what only one may do: between processes",
    "sample": ("measured.list_observations",),
    "rollup": ("measured.list_indicators", "measured.get_indicator"),
    "comparison_run": ("rooms.get_comparisons", "measured.get_comparison_run"),
    "finding": ("rooms.get_findings", "rooms.get_finding"),
    "finding_event": ("rooms.get_finding",),
    "heal": ("rooms.get_finding", "comparing.preview_healing"),
    "verdict": ("measured.list_verdicts", "measured.get_service_level"),
    "incident": ("rooms.get_incidents", "rooms.get_incident"),
    "incident_event": ("rooms.get_incident",),
}
"""Table -> where it is read, or why it is not."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with a_plane(tmp_path_factory.mktemp("home"), ManualClock(START)) as found:
        yield found


@pytest.fixture(scope="module")
def ids(plane: Plane) -> dict[str, str]:
    story = Seed(plane)
    story.everything()
    story.business()
    return story.ids


@pytest.fixture(scope="module")
def vic(plane: Plane, ids: dict[str, str]) -> Iterator[httpx.Client]:
    """A viewer."""
    with served(plane) as url, closing(signed_in(url, "vic")) as client:
        yield client


def test_every_word_of_the_glossary_is_read_somewhere(plane: Plane) -> None:
    words = re.findall(r"^\| ([A-Za-z, ]+) \| ", HOUSE.read_text().split("## Words")[1], re.MULTILINE)
    told = {word for row in words for word in row.split(", ")} - {"word"}
    assert told == set(NOUNS), "say where the noun is read"
    routes = {rule.endpoint for rule in create_app(plane, mounts=[]).url_map.iter_rules()}
    assert {name for names in NOUNS.values() for name in names} <= routes


def test_every_table_is_read_somewhere_or_says_why_not(plane: Plane) -> None:
    assert {table.name for table in t.metadata.sorted_tables} == set(TABLES), "say where its rows are read, or why not"
    routes = {rule.endpoint for rule in create_app(plane, mounts=[]).url_map.iter_rules()}
    assert {name for names in TABLES.values() if isinstance(names, tuple) for name in names} <= routes


LISTS: tuple[tuple[str, str, dict[str, str], int], ...] = (
    ("/intake", "intake", {"system": "tills"}, 1),
    ("/messages", "messages", {"type": "order.placed"}, 1),
    ("/messages", "messages", {"flow": "orders"}, 1),
    ("/messages", "messages", {"subject": "TEE-005@WH1"}, 9),
    ("/deliveries", "deliveries", {"target": "erp"}, 1),
    ("/deliveries", "deliveries", {"flow": "stock-offers", "subject": "TEE-005@WH1", "state": "delivered"}, 9),
    ("/attempts", "attempts", {"system": "erp", "outcome": "unavailable"}, 4),
    ("/indicators", "indicators", {"indicator": "queue_depth"}, 1),
    ("/indicators/queue_depth", "minutes", {"series": "target=erp"}, 51),
    ("/observations", "observations", {"indicator": "queue_depth"}, 51),
    ("/verdicts", "verdicts", {"state": "breached"}, 1),
    ("/findings", "findings", {"side": "shop", "cause": "changed_at_target"}, 1),
    ("/findings", "findings", {"state": "closed"}, 0),
    ("/incidents", "incidents", {"severity": "ticket"}, 1),
    ("/products", "products", {"active": "1"}, 1),
    ("/stock", "stock", {"location": "WH1"}, 1),
    ("/stock-changes", "stock_changes", {"sku": "TEE-005"}, 1),
    ("/target-levels", "target_levels", {"system": "shop"}, 1),
    ("/orders", "orders", {"state": "released_to_warehouse"}, 14),
    ("/postings", "postings", {"document": "#1001"}, 1),
    ("/runs", "runs", {"schedule": "evaluate", "state": "done"}, 2),
)


@pytest.mark.parametrize(("path", "rows", "narrow", "count"), LISTS)
def test_a_list_is_narrowed_and_read_in_parts(
    vic: httpx.Client, path: str, rows: str, narrow: dict[str, str], count: int
) -> None:
    whole = vic.get(f"/api/v1{path}", params={**narrow, "limit": 1000}).json()
    assert (len(whole[rows]), whole["next"]) == (count, None)
    found, cursor = [], None
    while True:
        asked = {**narrow, "limit": 3, **({"cursor": cursor} if cursor else {})}
        page = vic.get(f"/api/v1{path}", params=asked).json()
        found += page[rows]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == whole[rows]


@pytest.mark.parametrize(
    ("path", "rows", "at"),
    [
        ("/messages", "messages", "accepted_at"), ("/deliveries", "deliveries", "created_at"), ("/intake", "intake", "received_at"),
        ("/attempts", "attempts", "finished_at"), ("/orders", "orders", "placed_at"), ("/observations", "observations", "at"),
        ("/verdicts", "verdicts", "at"), ("/runs", "runs", "scheduled_for"), ("/findings", "findings", "first_seen_at"),
        ("/indicators/queue_depth", "minutes", "minute"),
    ],
)  # fmt: skip
def test_a_list_is_read_of_a_stretch_of_time(vic: httpx.Client, path: str, rows: str, at: str) -> None:
    every = sorted(one[at] for one in vic.get(f"/api/v1{path}", params={"limit": 1000}).json()[rows])
    since, until = every[len(every) // 3], every[-1]
    asked = {"since": since, "until": until, "limit": "1000"}
    found = sorted(one[at] for one in vic.get(f"/api/v1{path}", params=asked).json()[rows])
    assert found == [one for one in every if since <= one < until]
    assert vic.get(f"/api/v1{path}", params={"since": "1969-01-01T00:00:00Z", "limit": 1000}).json()[rows]


ONE: tuple[tuple[str, str, str, str], ...] = (
    ("/intake", "intake", "id", "/intake/{}"),
    ("/messages", "messages", "id", "/messages/{}"),
    ("/deliveries", "deliveries", "id", "/deliveries/{}"),
    ("/service-levels", "service_levels", "name", "/service-levels/{}"),
    ("/comparisons", "runs", "id", "/comparison-runs/{}"),
    ("/products", "products", "sku", "/products/{}"),
    ("/orders", "orders", "ref", "/orders/{}"),
    ("/postings", "postings", "posting_key", "/postings/{}"),
    ("/systems", "systems", "name", "/systems/{}"),
    ("/domains", "domains", "name", "/domains/{}"),
    ("/schedules", "schedules", "run", "/runs/{}"),
)


@pytest.mark.parametrize(("path", "rows", "name", "single"), ONE)
def test_one_of_a_list_is_read_by_its_name_and_what_is_not_there_says_where_the_list_is(
    vic: httpx.Client, path: str, rows: str, name: str, single: str
) -> None:
    for one in vic.get(f"/api/v1{path}").json()[rows]:
        answer = vic.get(f"/api/v1{single.format(quote(one[name], safe='/'))}")
        assert answer.status_code == 200, answer.text
        assert one[name] in answer.text
    missing = vic.get(f"/api/v1{single.format('nothing')}")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:trueup:notfound")
    assert "'nothing'" in missing.json()["detail"]


def test_a_system_says_whether_it_may_be_asked_and_how_fast(vic: httpx.Client) -> None:
    erp = vic.get("/api/v1/systems/erp").json()
    assert {name: erp["standing"][name] for name in ("paused", "circuit", "blocked_reason")} == {
        "paused": False, "circuit": "open", "blocked_reason": "9 failures in a row",
    }  # fmt: skip
    assert (erp["owed"], erp["policy"]["kind"]) == ({"pending": 1}, "System")
    shop = vic.get("/api/v1/systems/shop").json()["standing"]
    assert (shop["circuit"], shop["rate"]) == ("closed", shop["promised_rate"])


def test_a_delivery_comes_with_its_attempts_in_order(vic: httpx.Client) -> None:
    [owed] = vic.get("/api/v1/deliveries", params={"target": "erp"}).json()["deliveries"]
    tried = vic.get(f"/api/v1/deliveries/{owed['id']}").json()["attempts"]
    assert [one["number"] for one in tried] == [1, 2, 3, 4]


def test_a_key_of_stock_comes_with_what_its_targets_show(vic: httpx.Client) -> None:
    found = vic.get("/api/v1/stock/TEE-005/WH1").json()
    assert (found["position"]["available"], found["levels"][0]["value"], found["effects"][0]["delta"]) == (21, 19, -1)


def test_what_is_personal_is_hidden_in_what_arrived_and_in_what_is_sent(
    plane: Plane, ids: dict[str, str], vic: httpx.Client
) -> None:
    at, story = plane.clock.now(), Seed(plane)
    data = {"ref": "#9", "email": "somebody@example.org"}
    message = story.message("order.placed", "shop", "#9", at, data, causation_id=ids["message"])
    sent = story.delivery(message, "orders", "wms", "order", "#9", at, payload=data)
    answers = [
        vic.get(f"/api/v1{path}").text
        for path in ("/intake", f"/intake/{_intake(vic)}", "/messages", f"/messages/{message}", f"/messages/{ids['message']}",
                     "/deliveries", f"/deliveries/{sent}")
    ]  # fmt: skip
    assert [text for text in answers if "somebody@example.org" in text] == []


def _intake(vic: httpx.Client) -> str:
    return str(vic.get("/api/v1/intake", params={"system": "shop"}).json()["intake"][0]["id"])


def test_lists_take_the_same_number_of_queries_however_many_rows_there_are(plane: Plane, vic: httpx.Client) -> None:
    asked: list[str] = []

    def note(*args: Any) -> None:
        asked.append(args[2])

    event.listen(plane.store.engine, "before_cursor_execute", note)
    try:
        for path in ("/messages", "/deliveries", "/attempts", "/orders", "/systems", "/schedules", "/indicators"):
            counts = []
            for limit in ({"limit": 1}, {"limit": 1000}) if path not in ("/systems", "/schedules") else ({}, {}):
                asked.clear()
                assert vic.get(f"/api/v1{path}", params=limit).status_code == 200
                counts.append(len(asked))
            assert counts[0] == counts[1], path
    finally:
        event.remove(plane.store.engine, "before_cursor_execute", note)


def test_a_flow_that_there_is_not_is_no_filter(vic: httpx.Client) -> None:
    answer = vic.get("/api/v1/messages", params={"flow": "nothing"})
    assert (answer.status_code, "there are: " in answer.json()["detail"]) == (422, True)


def test_every_list_that_grows_is_read_in_parts_by_the_one_mechanism() -> None:
    for made in CONTRACTS.values():
        fields = set(made.query.model_fields) if made.query else set()
        answers = [told for told in made.gives.values() if isinstance(told, dict)]
        assert all(("next" in told) <= ("cursor" in fields) or made.body is not None for told in answers), made
