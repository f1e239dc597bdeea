"""References of documents: what comes in gets the prefix, what is written back loses it, and what was there before keeps its name."""

from __future__ import annotations

import pytest

from rules.references import Naming

US = Naming("US-", "US-")


def nothing(message_type: str, ref: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("kind", "data", "found"),
    [
        ("order.placed", {"ref": "#1001", "native_id": "7"}, {"ref": "US-#1001", "native_id": "US-7"}),
        ("sale.recorded", {"ref": "7"}, {"ref": "US-7"}),
        ("return.received", {"return_ref": "R1", "order_ref": "#1001"}, {"return_ref": "US-R1", "order_ref": "US-#1001"}),
        ("shipment.shipped", {"shipment": "S1", "order_ref": "#1001"}, {"shipment": "US-S1", "order_ref": "US-#1001"}),
        ("receipt.received", {"receipt": "A1", "purchase_order": "PO1"}, {"receipt": "US-A1", "purchase_order": "PO1"}),
        ("payment.recorded", {"ref": "ch_1", "order_ref": ""}, {"ref": "ch_1", "order_ref": ""}),
        ("stock.level", {"sku": "A"}, {"sku": "A"}),
    ],
)  # fmt: skip
def test_what_a_shop_tells_of_gets_its_prefix(kind: str, data: dict[str, str], found: dict[str, str]) -> None:
    assert US.inward(kind, data, nothing) == found


def test_a_warehouse_has_a_prefix_for_its_own_documents_and_names_orders_as_it_was_told() -> None:
    data = {"shipment": "S1", "order_ref": "US-#1001"}
    assert Naming("EAST-").inward("shipment.shipped", data, nothing) == {"shipment": "EAST-S1", "order_ref": "US-#1001"}


def test_a_payment_provider_names_the_orders_of_the_shop_that_it_is_for() -> None:
    found = Naming(orders="US-").inward("payment.recorded", {"ref": "ch_1", "order_ref": "#1001"}, nothing)
    assert found == {"ref": "ch_1", "order_ref": "US-#1001"}


def test_what_was_taken_in_without_the_prefix_keeps_its_reference() -> None:
    def told(kind: str, ref: str) -> bool:
        return (kind, ref) == ("order.placed", "#1001")

    old = {"ref": "#1001", "native_id": "7"}
    assert US.inward("order.placed", old, told) == old
    found = US.inward("return.received", {"return_ref": "R1", "order_ref": "#1001"}, told)
    assert found == {"return_ref": "US-R1", "order_ref": "#1001"}
    new = {"ref": "#1002", "native_id": "8"}
    assert US.inward("order.placed", new, told) == {"ref": "US-#1002", "native_id": "US-8"}


def test_what_was_taken_in_with_a_former_prefix_keeps_that() -> None:
    renamed = Naming("USA-", "USA-", ("US-",))

    def told(kind: str, ref: str) -> bool:
        return ref == "US-#1001"

    assert renamed.inward("order.placed", {"ref": "#1001", "native_id": "7"}, told) == {
        "ref": "US-#1001", "native_id": "US-7",
    }  # fmt: skip
    assert renamed.inward("order.placed", {"ref": "#1002"}, told)["ref"] == "USA-#1002"
    assert [renamed.outward({"order_ref": ref}) for ref in ("US-#1001", "USA-#1002", "#7")] == [
        {"order_ref": "#1001"}, {"order_ref": "#1002"}, {"order_ref": "#7"},
    ]  # fmt: skip


def test_a_prefix_that_was_taken_away_is_still_known_by_its_former_documents() -> None:
    bare = Naming(former=("US-",))
    assert bare.inward("order.placed", {"ref": "#1001"}, lambda _, ref: ref == "US-#1001")["ref"] == "US-#1001"
    assert bare.inward("order.placed", {"ref": "#1002"}, nothing) == {"ref": "#1002"}
    assert bare.outward({"order_ref": "US-#1001"}) == {"order_ref": "#1001"}


@pytest.mark.parametrize(
    ("given", "written"),
    [("US-#1001", "#1001"), ("EU-#1001", "EU-#1001"), ("#1001", "#1001"), ("US-", "US-"), ("", "")],
)
def test_only_its_own_orders_are_written_to_a_system_as_it_calls_them(given: str, written: str) -> None:
    assert US.outward({"shipment": "US-S1", "order_ref": given}) == {"shipment": "US-S1", "order_ref": written}


def test_coming_in_and_going_out_are_each_others_inverse() -> None:
    for ref in ("#1001", "US-#1001", "US-"):
        order = US.inward("order.placed", {"ref": ref}, nothing)["ref"]
        assert US.outward({"order_ref": order}) == {"order_ref": ref}


def test_a_document_that_names_no_order_is_written_as_it_is() -> None:
    data = {"sku": "A", "quantity": 1}
    assert US.outward(data) is data
