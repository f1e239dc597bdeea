"""ShipHero: stock exported as one file, and the credits that a walk over pages waits for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from graphql import build_schema, parse, validate

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.shiphero import documents
from controlplane.connectors.builtin.shiphero.connector import ShipHeroConnector
from controlplane.connectors.contract import Connector, Level
from controlplane.connectors.jobs import JobRunningError
from controlplane.errors import ConnectorError, ThrottledError, UnavailableError, UnreadableError
from tests.controlplane.connectors.conftest import START, Given, Retailer
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]
SECRETS = {"refresh_token": "r" * 20, "webhook_secret": "w" * 20}


def wms(url: str, refresh_token: str = "r" * 20, pace: float = 0.001, **options: Any) -> Connector:
    given = Given(
        url, SECRETS | {"refresh_token": refresh_token}, {"locations": ["WH1"], **options}, timeout=10 / pace,
        clock=ManualClock(START, pace=pace),
    )  # fmt: skip
    return ShipHeroConnector(given.context())


def levels(connector: Connector, keys: list[tuple[str, str]] | None = None) -> list[Level]:
    return [level for page in connector.snapshot("inventory", keys) for level in page]


def test_every_document_fits_what_the_simulator_speaks() -> None:
    from importlib.resources import files

    schema = build_schema((files("controlplane.sandbox.wms") / "schema.graphql").read_text(encoding="utf-8"))
    for document in documents.ALL:
        assert validate(schema, parse(document)) == []


def test_an_exported_snapshot_has_the_levels_that_pages_bring(retailer: Retailer) -> None:
    retailer.sandbox.bring_to_warehouse("B-1", ("0007-BLK-M", 3))
    exported = levels(wms(f"{retailer.sandbox.url}/wms", retailer.sandbox.secret("wms_refresh_token"), snapshot="job"))
    paged = levels(retailer.connector("wms"))
    assert {(one.sku, one.on_hand, one.available) for one in exported} == {
        (one.sku, one.on_hand, one.available) for one in paged
    }
    assert all((one.location, one.source_at) == ("WH1", None) for one in exported)
    assert ("0007-BLK-M", 40, 37) in {(one.sku, one.on_hand, one.available) for one in exported}
    assert all(one.read_from <= one.read_to for one in exported)


def test_an_export_that_ends_with_an_error_is_a_failed_reading(retailer: Retailer) -> None:
    connector = wms(
        f"{retailer.sandbox.url}/wms", retailer.sandbox.secret("wms_refresh_token"), pace=0.05, snapshot="job"
    )
    told = {"data": {"warehouse_id": "WH1"}}
    begun = retailer.sandbox.wms(documents.GENERATE_SNAPSHOT, **told)["data"]["inventory_generate_snapshot"]["snapshot"]
    assert (begun["status"], begun["snapshot_url"]) == ("enqueued", None)
    failed = retailer.sandbox.control("POST", "/wms/snapshots", {"fail": "out of memory", "hold": True}).json()
    assert failed == {"hold": True, "failed": 1}
    ended = retailer.sandbox.wms(documents.SNAPSHOT, id=begun["snapshot_id"])["data"]["inventory_snapshot"]["snapshot"]
    assert (ended["status"], ended["error"]) == ("error", "out of memory")
    retailer.sandbox.control("POST", "/wms/snapshots", {"hold": False})
    assert len(levels(connector)) == 8


def test_a_file_is_good_for_a_day(retailer: Retailer) -> None:
    begun = retailer.sandbox.wms(documents.GENERATE_SNAPSHOT, data={"warehouse_id": "WH1"})["data"]
    name = begun["inventory_generate_snapshot"]["snapshot"]["snapshot_id"]
    for _ in range(2):
        found = retailer.sandbox.wms(documents.SNAPSHOT, id=name)["data"]["inventory_snapshot"]["snapshot"]
    assert retailer.sandbox.http.get(found["snapshot_url"]).status_code == 200
    assert retailer.sandbox.http.get(found["snapshot_url"].partition("?")[0]).status_code == 403
    retailer.advance(86401)
    assert retailer.sandbox.http.get(found["snapshot_url"]).status_code == 403


class Warehouse:
    """Begins one export; answers each look with the next, the last one for ever; has one file."""

    def __init__(self, *looks: dict[str, Any] | Reply, file: Any = None, status: int = 200) -> None:
        self.looks, self.file, self.status, self.aborted, self.url = list(looks), file, status, 0, ""

    def __call__(self, asked: Asked) -> Reply:
        if asked.path.endswith("/auth/refresh"):
            return Reply(body={"access_token": "t" * 20, "expires_in": 10**7})
        if asked.method == "GET":
            return Reply(self.status, self.file)
        text = asked.json()["query"]
        if "GenerateSnapshot" in text:
            assert asked.json()["variables"]["data"] == {"warehouse_id": "WH1", "new_format": True}
            return Reply(body={"data": {"inventory_generate_snapshot": {"snapshot": {"snapshot_id": "S1"}}}})
        if "AbortSnapshot" in text:
            self.aborted += 1
            return Reply(body={"data": {"inventory_abort_snapshot": {"snapshot": {"status": "aborted"}}}})
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Reply):
            return look
        url = (
            {"snapshot_url": f"{self.url}/file.json?signature=abcdefghijkl"} if look.get("status") == "success" else {}
        )
        return Reply(body={"data": {"inventory_snapshot": {"snapshot": look | url}}})

    def connector(self, scripted: Begin) -> Connector:
        self.url = scripted(self).url
        return wms(self.url, snapshot="job")


DONE = {"status": "success", "error": None}
SPENT = {"code": 30, "message": "There are not enough credits", "time_remaining": "5 seconds"}


def product(sku: str, warehouse: str = "WH1", on_hand: int = 4, available: int = 3) -> dict[str, Any]:
    return {"sku": sku, "warehouse_products": {warehouse: {"on_hand": on_hand, "available": available}}}


def test_both_forms_of_the_file_are_read_and_other_warehouses_left_out(scripted: Begin) -> None:
    for products in (
        {"A": product("A"), "B": product("B", "WH2")},
        {"acc": {"A": product("A"), "B": product("B", "WH2")}},
    ):
        found = levels(Warehouse(DONE, file={"products": products}).connector(scripted))
        assert [(one.sku, one.on_hand, one.available) for one in found] == [("A", 4, 3)]


def test_credits_that_run_out_while_it_is_looked_at_are_waited_for(scripted: Begin) -> None:
    spent = Reply(body={"errors": [SPENT], "data": None})
    warehouse = Warehouse(spent, {"status": "processing"}, spent, DONE, file={"products": {"A": product("A")}})
    assert len(levels(warehouse.connector(scripted))) == 1


@pytest.mark.parametrize(
    ("look", "file", "error", "told"),
    [
        ({"status": "error", "error": "broke"}, None, UnavailableError, "broke"),
        ({"status": "aborted", "error": None}, None, UnavailableError, "aborted"),
        (DONE, b'{"products": {"A": {', UnreadableError, "is no snapshot"),
        (DONE, {"snapshot_id": "S1"}, UnreadableError, "is no snapshot"),
        (
            DONE,
            {"products": {"A": {"sku": "A", "warehouse_products": {"WH1": {}}}}},
            UnreadableError,
            "breaks its contract",
        ),
        (DONE, {"products": {"a": {"A": product("A")}, "b": {"A": product("A")}}}, UnreadableError, "several accounts"),
    ],
)
def test_what_is_no_whole_snapshot_is_a_failed_reading(
    scripted: Begin, look: dict[str, Any], file: Any, error: type[ConnectorError], told: str
) -> None:
    with pytest.raises(error, match=told):
        levels(Warehouse(look, file=file).connector(scripted))


def test_an_address_that_has_run_out_is_unavailable_and_its_signature_not_kept(scripted: Begin) -> None:
    with pytest.raises(UnavailableError, match="cannot be had any more") as caught:
        levels(Warehouse(DONE, file=b"denied", status=403).connector(scripted))
    assert "abcdefghijkl" not in str(caught.value.evidence)


def test_an_export_that_takes_too_long_is_aborted(scripted: Begin) -> None:
    warehouse = Warehouse({"status": "processing"})
    with pytest.raises(JobRunningError):
        levels(warehouse.connector(scripted))
    assert warehouse.aborted == 1


# --- credits in a walk ---
def paging(spent_at: dict[int, int]) -> Callable[[Asked], Reply]:
    """Three pages; before page `n` the credits are short so many times."""
    state = {"page": 0, **{f"short{at}": times for at, times in spent_at.items()}}

    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/auth/refresh"):
            return Reply(body={"access_token": "t" * 20, "expires_in": 10**7})
        after = int(asked.json()["variables"]["after"] or 0)
        if state.get(f"short{after}", 0):
            state[f"short{after}"] -= 1
            return Reply(body={"errors": [SPENT], "data": None})
        row = {"sku": f"S{after}", "on_hand": 1, "available": 1, "updated_at": "2026-11-27T06:00:00Z"}
        info = {"hasNextPage": after < 2, "endCursor": str(after + 1)}
        page = {"edges": [{"node": row}], "pageInfo": info}
        return Reply(body={"data": {"warehouse_products": {"data": page}}})

    return answer


def test_a_walk_waits_for_the_credits_that_its_first_pages_spent_and_begins_none_without(scripted: Begin) -> None:
    assert [one.sku for one in levels(wms(scripted(paging({1: 3, 2: 1})).url))] == ["S0", "S1", "S2"]
    with pytest.raises(ThrottledError):
        levels(wms(scripted(paging({0: 1})).url))


def test_a_walk_whose_credits_do_not_come_back_is_a_failed_reading(scripted: Begin) -> None:
    with pytest.raises(ThrottledError):
        levels(wms(scripted(paging({1: 10**6})).url))


def test_a_snapshot_of_few_keys_is_never_exported(retailer: Retailer) -> None:
    connector = wms(
        f"{retailer.sandbox.url}/wms", retailer.sandbox.secret("wms_refresh_token"), pace=1.0, snapshot="job"
    )
    retailer.sandbox.control("POST", "/wms/snapshots", {"hold": True})
    assert [one.sku for one in levels(connector, [("0007-BLK-M", "WH1")])] == ["0007-BLK-M"]
    assert json.dumps(connector.manifest.option_schemas["snapshot"])
