"""Every cause for which a record waits, as it arises on the live way: from the system's own words to the case."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from controlplane.store import tables as t
from tests.controlplane.sync.quarantine.conftest import OTHER, SKU, Bench, row


def why(bench: Bench) -> tuple[str, str, str, str]:
    """Stage, cause, fault and owner of the one open case."""
    case = bench.case()
    return case["stage"], case["reason_code"], case["fault"], case["owner"]


def test_a_row_in_pieces_is_sold_in_pieces(bench: Bench) -> None:
    bench.till(row(qty="2"))
    assert bench.cases() == []
    assert bench.erp.effects["cash_sale", "ST1/R1/1"] == 1


def test_a_carton_is_sold_as_its_pieces_at_the_price_of_one(bench: Bench) -> None:
    bench.till(row(qty="2", unit="KT", unit_price="30,00"))
    with bench.store.read() as connection:
        [data] = [
            one.data for one in connection.execute(t.message.select()).all() if one.type == "sale.recorded"
        ]  # fmt: skip
    assert (data["quantity"], data["unit_price"], data["tax_code"]) == (24, "2.50000000", "STD")


def test_an_unmapped_unit(bench: Bench) -> None:
    bench.till(row(unit="PAL"))
    assert why(bench) == ("intake", "unmapped_unit", "PAL", "store-ops")
    assert bench.case()["flow"] == "till-sales"


def test_an_unmapped_tax_code(bench: Bench) -> None:
    bench.till(row(tax_code="Z"))
    assert why(bench) == ("intake", "unmapped_tax_code", "Z", "store-ops")


def test_an_unmapped_sku(bench: Bench) -> None:
    bench.till(row(plu="999999"), row("R2"))
    assert why(bench) == ("intake", "unmapped_sku", "999999", "store-ops")
    assert bench.erp.effects["cash_sale", "ST1/R2/1"] == 1, "its neighbour went on"


@pytest.mark.parametrize(
    ("changed", "fault"),
    [({"qty": "two"}, "qty"), ({"unit_price": "x"}, "unit_price"), ({"sold_at": "today"}, "sold_at")],
)
def test_a_row_that_breaks_its_contract(bench: Bench, changed: dict[str, str], fault: str) -> None:
    bench.till(row(**changed))
    assert why(bench) == ("intake", "schema", fault, "store-ops")


def test_canonical_data_that_breaks_its_schema_names_the_field(bench: Bench) -> None:
    bench.hook("wms", "stock.level", f"{SKU}@WH1", {"sku": SKU, "location": "WH1", "on_hand": "many"})
    bench.run()
    assert why(bench)[:3] == ("intake", "schema", "on_hand")


def test_a_message_whose_stored_data_cannot_be_read_any_more(bench: Bench) -> None:
    bench.level(SKU, 11, version="odd")
    while bench.sync.translate():
        pass
    with bench.store.write() as connection:
        accepted = t.message.c.state == "accepted"
        connection.execute(update(t.message).where(accepted).values(data={"sku": SKU}))
    bench.run()
    assert why(bench)[:3] == ("process", "schema", "location")


def test_an_order_for_an_item_that_is_not_sold_any_more(bench: Bench) -> None:
    bench.product(SKU, "4.00", active=False)
    bench.run()
    bench.order("#1001", SKU, 2)
    bench.order("#1002", OTHER, 1)
    bench.run()
    assert why(bench) == ("process", "inactive_sku", SKU, "ecommerce")
    case = bench.case()
    assert (str(case["money"]), case["currency"]) == ("20.00", "USD")
    assert list(bench.erp.effects) == [("sales_order", "#1002")]


def test_a_till_sale_of_an_item_that_is_not_sold_any_more(bench: Bench) -> None:
    bench.product(SKU, "4.00", active=False)
    bench.till(row())
    assert why(bench) == ("process", "inactive_sku", SKU, "store-ops")


def test_an_item_that_is_sold_again_is_no_reason_to_wait(bench: Bench) -> None:
    for active in (False, True):
        bench.product(SKU, "4.10", active=active)
        bench.run()
        bench.clock.advance(1)
    bench.order("#1001", SKU, 2)
    bench.run()
    assert bench.cases() == []


def test_a_sale_at_a_store_that_no_policy_knows(bench: Bench) -> None:
    bench.till(row(store="ST9"))
    assert why(bench) == ("process", "unknown_location", "ST9", "store-ops")


def test_a_stock_level_of_a_place_that_no_policy_knows(bench: Bench) -> None:
    data = {
        "sku": SKU, "location": "WH9", "on_hand": 1, "allocated": 0, "available": 1, "in_transit": 0,
        "source_at": bench.clock.now().isoformat(),
    }  # fmt: skip
    bench.hook("wms", "stock.level", f"{SKU}@WH9", data)
    bench.run()
    assert why(bench)[:3] == ("process", "unknown_location", "WH9")


def test_a_document_that_breaks_a_business_rule(bench: Bench) -> None:
    bench.shipment("SH1", "#1001", SKU, 1)
    bench.run()
    assert why(bench) == ("process", "unknown_order", "#1001", "warehouse-ops")


def test_two_orders_of_one_reference_contradict_each_other(bench: Bench) -> None:
    bench.order("#1001", SKU, 1)
    bench.run()
    line = {"line": 1, "native_id": "L1", "sku": SKU, "location": "WH1", "quantity": 9, "unit_price": "10.00"}
    data = {
        "ref": "#1001", "native_id": "gid/other", "placed_at": bench.clock.now().isoformat(), "currency": "USD",
        "lines": [line],
    }  # fmt: skip
    bench.hook("shop", "order.placed", "#1001", data, version="another")
    bench.run()
    assert why(bench)[:2] == ("process", "contradiction")
    assert bench.erp.effects["sales_order", "#1001"] == 1


def test_a_write_that_the_target_refuses(bench: Bench) -> None:
    bench.erp.faults.append("rejected")
    bench.order("#1001", SKU, 2)
    bench.run()
    assert why(bench) == ("delivery", "rejected", "", "ecommerce")
    assert (str(bench.case()["money"]), bench.case()["currency"]) == ("20.00", "USD")


def test_a_write_for_which_the_target_has_no_code(bench: Bench) -> None:
    bench.erp.faults.append("unmapped")
    bench.till(row())
    assert why(bench) == ("delivery", "unmapped_tax_code", "STD", "store-ops")


def test_a_write_that_gave_up(bench: Bench) -> None:
    bench.erp.down = True
    bench.till(row())
    bench.clock.advance(bench.registry.snapshot().retry_policies["default"].spec.budget.total_seconds() + 3600)
    bench.run(minutes=5)
    assert why(bench) == ("delivery", "gave_up", "", "store-ops")


def test_a_state_that_is_refused_while_a_newer_one_waits_holds_nobody_up(bench: Bench) -> None:
    bench.shop.faults.append("rejected")
    bench.clock.advance(1)
    bench.level(SKU, 20)
    while bench.sync.translate() or bench.sync.process():
        pass
    [request] = bench.sync.delivering.turn("shop", [], 1).requests
    sents = bench.sync.delivering.send("shop", request)
    bench.clock.advance(1)
    bench.level(SKU, 30)  # routed while the first is on its way
    while bench.sync.translate() or bench.sync.process():
        pass
    bench.sync.delivering.turn("shop", sents, 0)
    bench.run()
    assert bench.shop.levels[SKU, "WH1"] == 30 - 2
    assert bench.cases() == []
