"""The Amazon connector against a simulated marketplace; where the vendor's models are at hand, every exchange is held against them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.connectors.builtin.amazon.connector import AmazonConnector
from controlplane.connectors.contract import Write
from controlplane.errors import BadInputError, RejectedError, ThrottledError, UnavailableError
from rules.model.messages import parse
from rules.outcomes import Result
from tests.addresses import opened
from tests.controlplane.connectors.amazon_kit import MODELS, Bench, marketplace
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer


@pytest.fixture
def bench() -> Iterator[Bench]:
    with marketplace() as bench:
        yield bench


def offer(quantity: int, expected: int | None, sku: str = "A") -> Write:
    payload = {"sku": sku, "location": "WH1", "channel": "amazon", "quantity": quantity, "expected": expected}
    return Write("quantity", f"{sku}@WH1", f"offer-{quantity}", payload, f"{sku}@WH1")


def shipment(name: str, order: str, *lines: tuple[str, int], tracking: str = "") -> Write:
    payload = {
        "shipment": name, "order_ref": order, "location": "WH1", "shipped_at": "2026-11-27T06:00:00+00:00", "carrier": "",
        "tracking": tracking, "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines],
    }  # fmt: skip
    return Write("shipment_confirmation", name, f"key-{name}", payload, name)


@pytest.mark.skipif(not MODELS.is_dir(), reason="the vendor's models are not at hand (TRUEUP_SHARED)")
def test_every_operation_that_is_used_is_described_by_the_vendor(bench: Bench) -> None:
    bench.market.order("1", ("A", 1, "9.99"))
    bench.market.keep("A", 1)
    bench.market.list_item("A", 1)
    bench.connector.ping()
    list(bench.connector.snapshot("fba"))
    list(bench.connector.snapshot("offers"))
    list(bench.connector.poll("orders", None))
    bench.connector.write(offer(2, 1))
    bench.connector.write(shipment("S1", "1", ("A", 1)))
    bench.market.report(b"")
    list(bench.connector.poll("settlements", None))
    assert bench.contract is not None
    assert bench.contract.used == {
        "searchOrders", "getOrder", "confirmShipment", "getInventorySummaries", "getListingsItem", "patchListingsItem",
        "searchListingsItems",
        "getReports", "getReportDocument",
    }  # fmt: skip


def test_orders_are_read_once_their_payment_is_authorised_and_what_is_young_is_left_for_later(bench: Bench) -> None:
    bench.market.order("111", ("A", 2, "9.99"), ("B", 1, "0.50"))
    bench.market.order("112", ("A", 1, "9.99"), by="AMAZON", status="SHIPPED")
    bench.market.order("113", ("A", 1, "9.99"), status="PENDING")
    bench.market.order("114", ("A", 1, "9.99"), status="CANCELLED")
    assert bench.drafts() == {}, "nothing is reliable before two minutes have gone by"
    bench.advance(180)
    found = {ref: parse(draft.type, draft.data) for ref, draft in bench.drafts().items()}
    assert found.keys() == {"111", "112"}
    assert [(line.sku, line.quantity, str(line.unit_price), line.location) for line in found["111"].lines] == [
        ("A", 2, "9.99", "WH1"),
        ("B", 1, "0.50", "WH1"),
    ]
    assert found["112"].lines[0].location == "FBA"


def test_an_order_that_is_paid_later_is_found_by_a_later_poll(bench: Bench) -> None:
    bench.market.order("113", ("A", 1, "9.99"), status="PENDING")
    bench.advance(180)
    cursor = list(bench.connector.poll("orders", None))[-1].cursor
    bench.advance(600)
    bench.market.pay("113", "9.99")
    bench.advance(180)
    assert bench.drafts(cursor).keys() == {"113"}


def test_all_pages_are_read_and_a_page_token_that_ran_out_ends_the_walk_as_an_outage(bench: Bench) -> None:
    for at in range(8):
        bench.market.keep(f"SKU{at}", at + 1, reserved=at)
    bench.market.buckets["getInventorySummaries"].burst = bench.market.buckets["getInventorySummaries"].left = 50
    found = {one.sku: (one.on_hand, one.available) for page in bench.connector.snapshot("fba") for one in page}
    assert found == {f"SKU{at}": (2 * at + 1, at + 1) for at in range(8)}
    assert [one.sku for page in bench.connector.snapshot("fba", [("SKU3", "FBA"), ("X", "FBA")]) for one in page] == [
        "SKU3"
    ]
    pages = bench.connector.snapshot("fba")
    next(pages)
    bench.advance(31)
    with pytest.raises(UnavailableError, match="page token ran out"):
        next(pages)


def test_an_empty_bucket_is_waited_for_as_long_as_its_rate_says(bench: Bench) -> None:
    for _ in range(20):
        list(bench.connector.poll("orders", None))
    with pytest.raises(ThrottledError) as raised:
        list(bench.connector.poll("orders", None))
    assert raised.value.retry_after == pytest.approx(1 / 0.0056)


@pytest.mark.parametrize("body", [b"<html>slow down</html>", b'{"errors": [{"code": "QuotaExceeded"}]}'])
def test_a_wait_that_is_asked_for_in_the_usual_way_is_kept_whoever_asks(
    scripted: Callable[[Callable[[Asked], Reply]], ScriptedServer], bench: Bench, body: bytes
) -> None:
    server = scripted(lambda _: Reply(429, body, {"Retry-After": "7"}))
    way = replace(
        bench.given.context(), endpoint=server.url, internal=opened(server.url) | opened(bench.given.endpoint)
    )
    other = AmazonConnector(way)
    with pytest.raises(ThrottledError) as raised:
        other.ping()
    assert raised.value.retry_after == 7
    other.close()


@pytest.mark.parametrize(
    ("body", "raised"),
    [(b'{"errors": [{"code": "Unauthorized"}]}', UnavailableError), (b"<html>no way</html>", RejectedError)],
)
def test_what_amazon_forbids_is_an_outage_and_what_some_proxy_forbids_is_not(
    scripted: Callable[[Callable[[Asked], Reply]], ScriptedServer], bench: Bench, body: bytes, raised: type[Exception]
) -> None:
    server = scripted(lambda _: Reply(403, body))
    way = replace(
        bench.given.context(), endpoint=server.url, internal=opened(server.url) | opened(bench.given.endpoint)
    )
    other = AmazonConnector(way)
    with pytest.raises(raised):
        other.ping()
    other.close()


def test_a_quantity_counts_when_it_shows(bench: Bench) -> None:
    bench.market.list_item("A", 5)
    asked = offer(7, 5)
    assert bench.connector.write(asked).result is Result.UNKNOWN
    assert bench.connector.read_back(asked).result is Result.ABSENT
    bench.advance(90)
    assert bench.connector.read_back(asked).result is Result.ALREADY_DELIVERED
    assert bench.connector.write(asked).result is Result.ALREADY_DELIVERED
    assert bench.market.queued == []


def test_a_listing_that_shows_something_else_is_left_alone(bench: Bench) -> None:
    bench.market.list_item("A", 5)
    refused = bench.connector.write(offer(7, 4))
    assert (refused.result, refused.current) == (Result.STALE, 5)
    assert bench.market.queued == []
    assert bench.connector.write(offer(7, None, sku="B")).result is Result.REJECTED


def test_a_shipment_is_confirmed_once_also_when_the_answer_is_lost(bench: Bench) -> None:
    bench.market.order("1", ("A", 3, "9.99"))
    asked = shipment("S1", "1", ("A", 2), tracking="TRACK")
    assert bench.connector.read_back(asked).result is Result.ABSENT
    bench.market.lost["confirmShipment"] = 1
    lost = bench.connector.write(asked)
    assert lost.result is Result.UNKNOWN
    assert bench.connector.read_back(asked).result is Result.ALREADY_DELIVERED
    assert bench.connector.write(asked).result is Result.ALREADY_DELIVERED
    assert len(bench.market.orders["1"]["packages"]) == 1
    assert bench.connector.write(shipment("S2", "1", ("A", 2))).result is Result.REJECTED
    assert bench.connector.write(shipment("S3", "1", ("A", 1))).result is Result.DELIVERED
    assert bench.market.orders["1"]["fulfillment"]["fulfillmentStatus"] == "SHIPPED"


def test_a_token_that_is_refused_is_an_outage_that_names_the_secrets_and_tells_none(bench: Bench) -> None:
    bench.given.secrets["refresh_token"] = "another-one"
    wrong = AmazonConnector(bench.given.context())
    with pytest.raises((UnavailableError, BadInputError)) as raised:
        wrong.ping()
    assert "another-one" not in f"{raised.value} {getattr(raised.value, 'evidence', '')}"
    wrong.close()


def test_a_token_is_fetched_anew_before_it_runs_out(bench: Bench) -> None:
    bench.connector.ping()
    bench.advance(timedelta(hours=2).total_seconds())
    bench.connector.ping()


LINE = b'{"orderId": "1", "createdTime": "2026-11-27T06:00:00Z", "orderItems": [{"orderItemId": "1", "quantityOrdered": 1, "product": '
UNPRICED = LINE + b'{"sellerSku": "A"}}]}'
STRANGE = LINE + b'{"sellerSku": "A", "price": {"unitPrice": {"amount": "nine", "currencyCode": "USD"}}}}]}'


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"[]", "not an object"),
        (b"{}", "orderId"),
        (LINE + b"{}}]}", "no SKU"),
        (UNPRICED, "no price yet"),
        (STRANGE, "breaks Amazon's contract"),
    ],
)
def test_an_order_that_breaks_the_contract_is_refused_by_name(bench: Bench, body: bytes, names: str) -> None:
    with pytest.raises(BadInputError, match=names):
        bench.connector.translate("orders", body)
