"""Every kind of fault, striking where and when it was told to."""

import time
from collections.abc import Callable

import httpx
import pytest

from tests.controlplane.sandbox.client import Client, Listener
from tests.controlplane.sandbox.conftest import quiet

SKU = "0007-BLK-M"
SHOP_NAME = "{ shop { name } }"


def receipt(ref: str) -> dict[str, object]:
    items = [{"item": {"externalId": SKU}, "quantity": 1, "location": {"id": "1"}}]
    return {"custbody_business_ref": ref, "item": {"items": items}}


@pytest.mark.parametrize("kind", ["timeout_after_effect", "lost_response"])
def test_a_lost_answer_is_carried_out_all_the_same(sandbox: Client, kind: str) -> None:
    sandbox.fault(kind=kind, target="erp", operation="write", seconds=1)
    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.put("itemReceipt", "r", receipt("RCV-1"))
    assert sandbox.truth(SKU)["erp_on_hand"] == 41
    assert sandbox.erp("GET", "/record/v1/itemReceipt/eid:r").status_code == 200


def test_a_fault_can_aim_at_one_operation(sandbox: Client) -> None:
    sandbox.fault(kind="error", target="shop", operation="inventorySetQuantities", status=502)
    query = """mutation { inventorySetQuantities(input: {name: "available", reason: "other", quantities: []}) {
      userErrors { code } } }"""
    head = {"X-Shopify-Access-Token": sandbox.secret("shop_access_token")}
    path = "/shop/admin/api/2026-04/graphql.json"
    assert sandbox.http.post(path, json={"query": query}, headers=head).status_code == 502
    assert sandbox.shop(SHOP_NAME)["data"]["shop"]["name"] == "Trueup Sandbox"


@pytest.mark.parametrize(("system", "code"), [("erp", 429), ("shop", 200), ("wms", 200), ("pager", 429)])
def test_each_system_throttles_in_its_own_way(sandbox: Client, system: str, code: int) -> None:
    sandbox.fault(kind="throttled", target=system)
    paths = {"erp": "/erp/services/rest/query/v1/suiteql", "wms": "/wms/graphql", "pager": "/pager/events"}
    path = paths.get(system, "/shop/admin/api/2026-04/graphql.json")
    answer = sandbox.http.post(path, json={"query": SHOP_NAME})
    assert answer.status_code == code
    assert code != 200 or answer.json()["errors"]
    assert [event["system"] for event in sandbox.journal("throttled")] == [system]


def test_latency_costs_the_wall_only_seconds_times_pace(sandbox: Client) -> None:
    sandbox.fault(kind="latency", target="shop", seconds=100)
    began = time.monotonic()
    sandbox.shop(SHOP_NAME)
    assert 0.1 <= time.monotonic() - began < 2


def test_a_system_that_is_down_answers_nobody_and_holds_its_webhooks(sandbox: Client, listener: Listener) -> None:
    sandbox.order((SKU, 1))
    fault = sandbox.fault(kind="down", target="shop", until="10m")
    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.shop(SHOP_NAME)
    assert sandbox.control("POST", "/order", {"lines": [{"sku": SKU, "quantity": 1}]}).status_code == 409
    sandbox.advance("2026-11-27T06:09:00Z")
    assert listener.got == []
    sandbox.advance("2026-11-27T06:11:00Z")
    assert "orders/create" in listener.topics()
    assert [(e["kind"], e["system"]) for e in sandbox.journal("down", "up")] == [("down", "shop"), ("up", "shop")]
    assert [f["active"] for f in sandbox.control("GET", "/faults").json() if f["id"] == fault] == [False]


def test_a_system_can_be_down_with_503(sandbox: Client) -> None:
    sandbox.fault(kind="down", target="erp", mode="503")
    assert sandbox.erp("GET", "/record/v1/salesOrder/eid:1").status_code == 503


def test_the_lost_are_never_sent_and_only_of_their_topic(sandbox: Client, listener: Listener) -> None:
    sandbox.fault(kind="lost_webhook", target="shop", topic="orders/create")
    sandbox.order((SKU, 1))
    sandbox.advance("2026-11-27T06:01:00Z")
    assert listener.topics() == ["inventory_levels/update"]
    fates = {event["topic"]: event["fate"] for event in sandbox.journal("webhook")}
    assert fates == {"orders/create": "lost", "inventory_levels/update": "sent"}


def test_the_duplicated_come_twice_under_one_id(sandbox: Client, listener: Listener) -> None:
    sandbox.fault(kind="duplicate_webhook", target="shop", topic="orders/create")
    sandbox.order((SKU, 1))
    sandbox.advance("2026-11-27T06:01:00Z")
    heads = [head for _, head, _ in listener.got if head["X-Shopify-Topic"] == "orders/create"]
    assert len(heads) == 2
    assert len({head["X-Shopify-Webhook-Id"] for head in heads}) == 1


def test_the_late_and_the_reordered_arrive_after_their_successors(sandbox: Client, listener: Listener) -> None:
    sandbox.fault(id="late", kind="late_webhook", target="shop", topic="orders/create", seconds=300)
    first = sandbox.order((SKU, 1))
    sandbox.control("DELETE", "/faults/late")
    sandbox.fault(kind="reordered_webhook", target="shop", topic="orders/create")
    second = sandbox.order((SKU, 1))
    sandbox.advance("2026-11-27T06:06:00Z")
    told = [(e["fate"], e["keys"]) for e in sandbox.journal("webhook") if e["topic"] == "orders/create"]
    assert told == [("reordered", [second]), ("late", [first])]


def test_a_hand_edit_changes_the_shop_and_nothing_else(start: Callable[..., Client], listener: Listener) -> None:
    fault = {"kind": "hand_edit", "target": "shop", "at": "40m", "pick": SKU, "delta": 7}
    sandbox = start(quiet(faults=[fault]))
    sandbox.advance("2026-11-27T06:41:00Z")
    row = sandbox.truth(SKU)
    assert (row["shop_available"], row["ats"], row["wms_on_hand"]) == (45, 38, 40)
    (edit,) = sandbox.journal("hand_edit")
    assert (edit["at"], edit["from"], edit["to"]) == ("2026-11-27T06:40:00.000Z", 38, 45)
    assert listener.topics() == ["inventory_levels/update"]


def test_probability_strikes_a_repeatable_share(start: Callable[..., Client]) -> None:
    sandbox = start(quiet(faults=[{"kind": "lost_webhook", "target": "shop", "probability": 0.3}]))
    for _ in range(30):
        sandbox.order((SKU, 1))
    (fault,) = sandbox.control("GET", "/faults").json()
    assert fault["seen"] == 60
    assert 8 <= fault["hits"] <= 28


def test_a_fault_is_over_when_its_time_is(start: Callable[..., Client]) -> None:
    sandbox = start(quiet(faults=[{"kind": "error", "target": "erp", "from": "10m", "until": "20m", "status": 500}]))
    path = "/record/v1/salesOrder/eid:1"
    codes = []
    for minute in (5, 15, 25):
        sandbox.advance(f"2026-11-27T06:{minute:02d}:00Z")
        codes.append(sandbox.erp("GET", path).status_code)
    assert codes == [404, 500, 404]
    assert [event["state"] for event in sandbox.journal("fault")] == ["on", "hit", "off"]
