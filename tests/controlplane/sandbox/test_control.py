"""The control API's own rules."""

from tests.controlplane.sandbox.client import Client

SKU = "0007-BLK-M"


def test_without_its_header_it_refuses(sandbox: Client) -> None:
    assert sandbox.http.get("/control/truth").status_code == 403
    assert sandbox.http.post("/control/advance", json={"to": "2026-11-27T07:00:00Z"}).status_code == 403


def test_health_needs_no_header(sandbox: Client) -> None:
    assert sandbox.http.get("/healthz").json()["status"] == "ok"


def test_time_goes_only_forward_and_by_moments(sandbox: Client) -> None:
    sandbox.advance("2026-11-27T07:00:00Z")
    past = sandbox.control("POST", "/advance", {"to": "2026-11-27T06:00:00Z"})
    naive = sandbox.control("POST", "/advance", {"to": "2026-11-27T08:00:00"})
    assert (past.status_code, "forward" in past.text) == (400, True)
    assert (naive.status_code, "zone" in naive.text) == (400, True)


def test_the_journal_is_read_from_where_one_stopped(sandbox: Client) -> None:
    everything = sandbox.journal()
    assert [event["seq"] for event in everything] == list(range(1, len(everything) + 1))
    last = everything[-1]["seq"]
    assert sandbox.control("GET", f"/journal?after={last}").json() == {"events": [], "next": last}
    sandbox.order((SKU, 1))
    fresh = sandbox.control("GET", f"/journal?after={last}&limit=1").json()
    assert (fresh["events"][0]["kind"], fresh["next"]) == ("document", last + 1)


def test_a_hand_edit_by_hand_needs_delta_or_set(sandbox: Client) -> None:
    assert sandbox.control("POST", "/hand-edit", {"sku": SKU}).status_code == 400
    assert sandbox.control("POST", "/hand-edit", {"sku": SKU, "set": 5}).json()["available"] == 5
    assert sandbox.control("POST", "/hand-edit", {"sku": SKU, "delta": -2}).json()["available"] == 3


def test_the_catalogue_gives_every_name(sandbox: Client) -> None:
    listing = sandbox.control("GET", "/catalogue").json()
    item = next(item for item in listing["items"] if item["sku"] == SKU)
    assert (item["plu"], item["erp_id"]) == ("900007", "1007")
    assert [place["location"] for place in listing["locations"]] == ["WH1", "ST1", "ST2"]


def test_mistakes_name_the_remedy(sandbox: Client) -> None:
    unknown = sandbox.control("POST", "/order", {"lines": [{"sku": "NOPE", "quantity": 1}]})
    fault = sandbox.control("POST", "/faults", {"kind": "latency", "target": "moon"})
    gone = sandbox.control("DELETE", "/faults/none")
    assert [answer.status_code for answer in (unknown, fault, gone)] == [400, 400, 404]
    assert "catalogue" in unknown.json()["error"]
    assert "target" in fault.json()["error"]
