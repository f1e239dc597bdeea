"""The blueprint: who is of record for what a message says, and what a blueprint cannot say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from rules.model.messages import OrderLine, OrderPlaced, ProductDescribed, StockLevel
from rules.policy.blueprint import Record, records, waits
from rules.policy.kinds import EntityOwnership, FlowSpec
from rules.policy.reading import read_policies
from tests.rules.policy.test_lint import FLOW, document, problems_of

NOW = datetime(2026, 3, 2, tzinfo=UTC)
TITLED = ProductDescribed(sku="A", title="Shirt", unit_cost=Decimal(4), unit_price=None, currency="EUR")


def record_of(kind: str, ownership: str) -> Record:
    """Return what a Domain with one entity says of a message type."""
    text = document("Domain", f"  owner: ops\n  latency: 1m\n  escalation: path\n  entities: {ownership}\n")
    entries, refused = read_policies([("new.yaml", text)])
    assert refused == []
    return records(entry.document for entry in entries)[kind]


def level(location: str = "WH1", in_transit: int = 0) -> StockLevel:
    return StockLevel(
        sku="A", location=location, on_hand=5, allocated=0, available=5, in_transit=in_transit, source_at=NOW
    )


def order() -> OrderPlaced:
    line = OrderLine(line=1, native_id="1", sku="A", location="WH1", quantity=1, unit_price=Decimal(1))
    return OrderPlaced(ref="#1", native_id="1", placed_at=NOW, currency="EUR", lines=(line,))


def test_one_system_of_record_says_everything_and_another_nothing() -> None:
    record = record_of("product.described", "{product: {system_of_record: erp}}")
    assert record.whole("erp")
    assert record.foreign("erp", TITLED) == frozenset()
    assert record.foreign("shop", TITLED) == {"title", "unit_cost", "currency", "active"}, "unit_price is not told"


def test_a_field_of_another_system_is_that_systems_alone() -> None:
    record = record_of("product.described", "{product: {system_of_record: erp, fields: {title: shop}}}")
    assert not record.whole("erp")
    assert record.foreign("erp", TITLED) == {"title"}
    assert record.foreign("shop", TITLED) == {"unit_cost", "currency", "active"}
    assert record.of("title", ()) == "shop"
    assert record.of("active", ()) == "erp"


def test_a_location_of_another_system_is_that_systems_alone() -> None:
    record = record_of("stock.level", "{stock: {system_of_record: wms, locations: {ST1: tills}}}")
    assert record.foreign("wms", level()) == frozenset()
    assert record.foreign("wms", level("ST1")) == {"on_hand", "allocated", "available", "in_transit"}
    assert record.foreign("tills", level("ST1", in_transit=-1)) == frozenset()
    assert record.foreign("tills", level(in_transit=-1)) == {"on_hand", "allocated", "available"}, (
        "not known is not told"
    )


def test_several_shops_are_each_of_record_for_their_own_orders() -> None:
    record = record_of("order.placed", "{order: {system_of_record: [shop-eu, shop-us]}}")
    assert record.foreign("shop-eu", order()) == record.foreign("shop-us", order()) == frozenset()
    assert record.foreign("erp", order()) == {"order"}
    assert record.of("order", ["WH1"]) == "shop-eu or shop-us"


def test_one_system_is_written_as_it_was_and_several_as_a_list() -> None:
    for given in ("erp", ["shop-eu", "shop-us"]):
        assert EntityOwnership(system_of_record=given).model_dump(mode="json")["system_of_record"] == given
    assert EntityOwnership(system_of_record="erp").system_of_record == ("erp",)


def owned(ownership: str) -> str:
    """A domain in whose tenth line stands how an entity is owned."""
    return document("Domain", "  owner: ops\n  latency: 1m\n  escalation: path\n  entities:\n" + ownership)


@pytest.mark.parametrize(
    ("ownership", "place", "rule", "remedy"),
    [
        (
            "    product: {system_of_record: [erp, shop]}\n", "system_of_record",
            "of 'product' there is one state, and several systems would overwrite each other", "name one",
        ),
        ("    order: {system_of_record: erp, locations: {A: shop}}\n", "locations", "at one location", "take it out"),
        ("    product: {system_of_record: erp, fields: {titel: shop}}\n", "fields.titel", "has no field 'titel'", "'title'?"),
        ("    order: {system_of_record: erp, fields: {lines: shop}}\n", "fields.lines", "is a document", "take it out"),
        ("    order: {system_of_record: []}\n", "system_of_record", "at least one is needed", "a System"),
        ("    order: {system_of_record: [erp, shpo]}\n", "system_of_record", "there is no System 'shpo'", "'shop'?"),
    ],
)  # fmt: skip
def test_a_blueprint_that_cannot_be_kept_is_refused(ownership: str, place: str, rule: str, remedy: str) -> None:
    (found,) = problems_of(owned(ownership))
    entity = ownership.split(":")[0].strip()
    assert found.path.startswith(f"spec.entities.{entity}.{place}")
    assert rule in found.rule
    assert remedy in found.remedy


def test_what_a_channel_shows_may_have_an_owner_and_so_may_what_no_message_speaks_of() -> None:
    domain = owned("    incident: {system_of_record: pager, fields: {anything: erp}}\n")
    assert problems_of(domain) == []
    shown = document("Domain", "  owner: ops\n  latency: 1m\n  escalation: path\n  entities: {stock: "
                     "{system_of_record: erp, fields: {available_to_sell: shop}}}\n", name="stock")  # fmt: skip
    assert not [one for one in problems_of(shown) if "available_to_sell" in one.rule]


def test_a_flow_from_a_system_that_is_not_of_record_is_refused() -> None:
    (found,) = problems_of(
        document("Flow", FLOW.replace("source: erp", "source: shop") + "  message_types: [stock.level]\n")
    )
    assert found.path == "spec.message_types.0"
    assert "'shop' is not of record for 'stock' (erp is, by Domain 'stock')" in found.rule
    assert problems_of(document("Flow", FLOW + "  message_types: [stock.level]\n")) == []


STANDBY = FLOW.replace("source: erp", "source: shop") + "  message_types: [stock.level]\n  standby: true\n"


def test_a_flow_on_standby_is_there_before_its_source_is_of_record_and_waits_for_it() -> None:
    assert problems_of(document("Flow", STANDBY + "  read: levels\n")) == []
    (found,) = problems_of(document("Flow", STANDBY))
    assert (found.path, found.rule) == (
        "spec.standby",
        "only what is read can wait: what a system sends comes anyhow",
    )


@pytest.mark.parametrize(
    ("source", "standby", "types", "waiting"),
    [
        ("shop", True, ["stock.level"], True),
        ("shop", False, ["stock.level"], False),
        ("erp", True, ["stock.level"], False),
        ("tills", True, ["stock.level"], False),
        ("shop", True, ["stock.level", "product.described"], False),
    ],
)
def test_a_flow_waits_while_its_source_is_of_record_for_nothing_that_it_brings(
    source: str, standby: bool, types: list[str], waiting: bool
) -> None:
    known = {"stock.level": record_of("stock.level", "{stock: {system_of_record: erp, locations: {ST1: tills}}}")}
    spec = FlowSpec(
        domain="stock", owner="ops", source=source, message_types=tuple(types), method="poll", standby=standby, retry="retry",
        promise=timedelta(minutes=1),
    )  # fmt: skip
    assert waits(spec, known) is waiting
