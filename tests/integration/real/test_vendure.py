"""Stock, orders and fulfilments of a real Vendure; and an order that goes from it into a real Tryton, whose shipment comes back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors import Connections
from controlplane.connectors.builtin.tryton.connector import TrytonConnector
from controlplane.connectors.builtin.vendure.connector import VendureConnector
from controlplane.connectors.contract import Draft, Level, Write
from controlplane.errors import UnavailableError
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis, pack_folder
from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines import Sync
from rules.model.messages import parse
from rules.outcomes import Result
from tests.addresses import pairs_of
from tests.integration.real.systems import Server, Shop
from tests.integration.real.test_tryton import make
from tests.integration.real.vendure import Customer, connector_of

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def connector(shop: Shop) -> Iterator[VendureConnector]:
    made = connector_of(shop)
    yield made
    made.close()


def level(connector: VendureConnector, sku: str, location: str) -> Level:
    [found] = [one for page in connector.snapshot("levels", [(sku, location)]) for one in page]
    return found


def drafts(connector: VendureConnector, cursor: dict[str, str] | None = None) -> dict[str, Draft]:
    records = [record for page in connector.poll("orders", cursor) for record in page.records]
    return {draft.subject: draft for record in records for draft in connector.translate(record.topic, record.body)}


def offer(sku: str, quantity: int, expected: int | None, location: str = "1") -> Write:
    payload = {"sku": sku, "location": location, "channel": "vendure", "quantity": quantity, "expected": expected}
    return Write("available", f"{sku}@{location}", f"offer-{sku}-{quantity}-{expected}", payload, f"{sku}@{location}")


def shipment(name: str, order: str, **lines: int) -> Write:
    told = [{"sku": sku.replace("_", "-"), "quantity": quantity} for sku, quantity in lines.items()]
    payload = {
        "shipment": name, "order_ref": order, "location": "1", "shipped_at": datetime.now(UTC).isoformat(), "carrier": "DHL",
        "tracking": "", "lines": told,
    }  # fmt: skip
    return Write("fulfillment", name, f"key-{name}", payload, name)


def test_a_session_is_opened_and_a_wrong_password_is_named(shop: Shop, connector: VendureConnector) -> None:
    connector.ping()
    wrong = connector_of(Shop(shop.url, "not-the-password"))
    with pytest.raises(UnavailableError, match="check the secrets") as raised:
        wrong.ping()
    assert "not-the-password" not in str(raised.value.evidence)
    wrong.close()


def test_a_session_that_the_shop_forgot_is_opened_anew(connector: VendureConnector) -> None:
    connector.ping()
    connector._api.tell("mutation { logout { success } }")
    with pytest.raises(UnavailableError, match="the session is over"):
        list(connector.snapshot("levels"))
    assert len([one for page in connector.snapshot("levels") for one in page]) >= 70


def test_all_levels_are_read_with_what_is_available_apart_from_what_is_on_hand(
    shop: Shop, connector: VendureConnector
) -> None:
    Customer(shop).buy(("40", 3))
    found = {(one.sku, one.location): one for page in connector.snapshot("levels") for one in page}
    assert len(found) == 50 + 20
    sold = found["SKU-0040", "1"]
    assert sold.on_hand is not None
    assert sold.available is not None
    assert sold.on_hand - sold.available >= 3
    assert level(connector, "SKU-0040", "1").available == sold.available


def test_what_is_available_is_set_leaving_what_is_allocated_and_told_twice_it_is_set_once(
    shop: Shop, connector: VendureConnector
) -> None:
    Customer(shop).buy(("41", 2))
    before = level(connector, "SKU-0041", "1")
    asked = offer("SKU-0041", 17, before.available)
    assert connector.read_back(asked).result is Result.ABSENT
    assert connector.write(asked).result is Result.DELIVERED
    after = level(connector, "SKU-0041", "1")
    assert before.on_hand is not None
    assert before.available is not None
    assert (after.available, after.on_hand) == (17, 17 + before.on_hand - before.available)
    assert connector.write(asked).result is Result.ALREADY_DELIVERED
    assert connector.read_back(asked).result is Result.ALREADY_DELIVERED


def test_a_level_that_moved_is_not_overwritten(connector: VendureConnector) -> None:
    shown = level(connector, "SKU-0042", "1").available
    assert shown is not None
    refused = connector.write(offer("SKU-0042", 5, shown + 1))
    assert (refused.result, refused.current) == (Result.STALE, shown)
    assert level(connector, "SKU-0042", "1").available == shown


def test_what_the_shop_does_not_keep_is_rejected_with_what_to_do(connector: VendureConnector) -> None:
    assert "set its stock there once" in connector.write(offer("SKU-0049", 5, None, location="2")).detail
    assert "map the SKU" in connector.write(offer("SKU-NONE", 5, None)).detail


def test_an_order_is_read_once_it_is_placed_at_its_net_prices(shop: Shop, connector: VendureConnector) -> None:
    code = Customer(shop).buy(("43", 2), ("44", 1))
    told = drafts(connector)[code]
    order = parse(told.type, told.data)
    assert [(line.sku, line.quantity, str(line.unit_price)) for line in order.lines] == [
        ("SKU-0043", 2, "48.99"),
        ("SKU-0044", 1, "49.99"),
    ]
    assert order.currency == "USD"


def test_a_later_poll_reads_what_changed_since(shop: Shop, connector: VendureConnector) -> None:
    cursor = list(connector.poll("orders", None))[-1].cursor
    code = Customer(shop).buy(("45", 1))
    assert code in drafts(connector, cursor)
    assert drafts(connector, {"since": "2100-01-01T00:00:00+00:00"}) == {}


def test_a_shipment_becomes_one_fulfilment_that_is_shipped(shop: Shop, connector: VendureConnector) -> None:
    code = Customer(shop).buy(("46", 3))
    first = shipment(f"S1-{code}", code, SKU_0046=2)
    assert connector.read_back(first).result is Result.ABSENT
    assert connector.write(first).result is Result.DELIVERED
    assert connector.write(first).result is Result.ALREADY_DELIVERED
    assert connector.read_back(first).result is Result.ALREADY_DELIVERED
    too_many = connector.write(shipment(f"S2-{code}", code, SKU_0046=2))
    assert too_many.result is Result.REJECTED
    assert "less left to fulfil" in too_many.detail
    assert connector.write(shipment(f"S3-{code}", code, SKU_0046=1)).result is Result.DELIVERED


def test_what_stopped_before_it_was_shipped_is_taken_further(shop: Shop, connector: VendureConnector) -> None:
    code = Customer(shop).buy(("47", 1))
    asked = shipment(f"S-{code}", code, SKU_0047=1)
    made = connector._fulfilments
    _, _, refused = connector._api.tell(
        "mutation($input: FulfillOrderInput!) { addFulfillmentToOrder(input: $input) { __typename ... on Fulfillment { id } "
        "... on ErrorResult { errorCode message } } }",
        input=made._input(made._order(code), asked),
    )
    assert not refused
    assert connector.read_back(asked).result is Result.ABSENT
    assert connector.write(asked).result is Result.DELIVERED
    assert connector.read_back(asked).result is Result.ALREADY_DELIVERED


def pack(folder: Path, shop: Shop, server: Server) -> Path:
    """The pack that is shipped, with the addresses of these two."""
    text = (pack_folder("vendure") / "vendure.yaml").read_text(encoding="utf-8")
    for written, url in (("127.0.0.1:3000", shop.url), ("127.0.0.1:8000", server.url)):
        text = text.replace(f"http://{written}", url).replace(written, pairs_of(url)[0])
    (folder / "vendure.yaml").write_text(text, encoding="utf-8")
    return folder / "vendure.yaml"


def ship(erp: TrytonConnector, order: str) -> None:
    """Do what a warehouse does with what was ordered."""
    rpc = erp._rpc
    [[sale]], _ = [list(page) for page, _ in rpc.rows("sale.sale", [["reference", "=", order]], ["state"], {})], None
    found, _ = rpc.call(
        "model.stock.shipment.out.search", [["moves.origin.sale.id", "=", sale["id"], "sale.line"]], 0, None, None, {}
    )
    for step in ("assign_try", "pick", "pack", "do"):
        rpc.tell(f"model.stock.shipment.out.{step}", found, {})


def with_dollars(erp: TrytonConnector) -> None:
    """The demo shop sells for dollars, which the demo ERP does not know."""
    known = [
        row for page, _ in erp._rpc.rows("currency.currency", [["code", "=", "USD"]], ["code"], {}) for row in page
    ]
    if not known:
        rate: dict[str, Any] = {"date": {"__class__": "date", "year": 2020, "month": 1, "day": 1}}
        rate["rate"] = {"__class__": "Decimal", "decimal": "1.1"}
        made = {"name": "US Dollar", "code": "USD", "symbol": "$", "rates": [["create", [rate]]]}
        erp._rpc.tell("model.currency.currency.create", [made], {})


def test_an_order_goes_into_the_erp_and_its_shipment_comes_back_into_the_shop(
    shop: Shop, server: Server, sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("VENDURE_USER", "superadmin"), ("VENDURE_PASSWORD", shop.password), ("TRYTON_USER", "admin"),
        ("TRYTON_PASSWORD", server.password), ("INCIDENT_TOKEN", "unused"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    erp = make(server, customer="2")
    with_dollars(erp)
    code = Customer(shop).buy(("30", 2), ("31", 1))
    clock = ManualClock(datetime.now(UTC), pace=1.0)
    registry = Registry(sqlite_store, clock)
    load_genesis(sqlite_store, clock, registry, pack(tmp_path, shop, server))
    connections = Connections(registry, Settings(home=tmp_path), clock)
    sync = Sync(sqlite_store, clock, registry, connections)

    sync.poll("orders-to-erp")
    sync.drain()
    fields = ["state", "untaxed_amount"]
    [sale] = [row for page, _ in erp._rpc.rows("sale.sale", [["reference", "=", code]], fields, {}) for row in page]
    assert (sale["state"] in ("confirmed", "processing"), str(sale["untaxed_amount"])) == (True, "108.97")

    ship(erp, code)
    sync.poll("shipments-to-shop")
    sync.drain()
    asked = (
        "query($code: String!) { orders(options: {filter: {code: {eq: $code}}}) "
        "{ items { state fulfillments { state trackingCode } } } }"
    )
    with_shop = connector_of(shop)
    found, _ = with_shop._api.ask(asked, code=code)
    with_shop.close()
    [order] = found["items"]
    assert (order["state"], [one["state"] for one in order["fulfillments"]]) == ("Shipped", ["Shipped"])

    with sqlite_store.read() as connection:
        d = t.delivery.c
        rows = connection.execute(
            select(d.target, d.state).where(d.subject.in_([code, order["fulfillments"][0]["trackingCode"]]))
        )
        assert sorted(rows.all()) == [("tryton", "delivered"), ("vendure", "delivered")]
    connections.close()
    erp.close()
