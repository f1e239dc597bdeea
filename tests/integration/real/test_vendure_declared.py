"""A real Vendure shop by its manifest alone: no line of Python was written for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Draft, Write
from controlplane.connectors.declared.connector import DeclaredConnector
from controlplane.errors import UnreadableError
from rules.model.messages import OrderPlaced, StockLevel, parse
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import Given
from tests.integration.real.systems import Shop

pytestmark = pytest.mark.timeout(900)


def make(shop: Shop) -> DeclaredConnector:
    given = Given(
        shop.url, {"user": "superadmin", "password": shop.password}, {"manifest": "vendure", "location": "WH"}, timeout=60,
        clock=ManualClock(datetime.now(UTC), pace=1.0),
    )  # fmt: skip
    return DeclaredConnector(given.context())


@pytest.fixture
def connector(shop: Shop) -> Iterator[DeclaredConnector]:
    made = make(shop)
    yield made
    made.close()


def drafts(connector: DeclaredConnector, entity: str, cursor: dict[str, str] | None = None) -> list[Draft]:
    records = [record for page in connector.poll(entity, cursor) for record in page.records]
    return [draft for record in records for draft in connector.translate(record.topic, record.body)]


def test_a_session_is_opened_and_a_wrong_password_is_named(shop: Shop, connector: DeclaredConnector) -> None:
    connector.ping()
    wrong = make(Shop(shop.url, "not-the-password"))
    with pytest.raises(UnreadableError, match="check the secrets") as raised:
        wrong.ping()
    assert "not-the-password" not in str(raised.value.evidence)
    wrong.close()


def test_a_session_that_somebody_ended_is_opened_anew(shop: Shop, connector: DeclaredConnector) -> None:
    connector.ping()
    session = connector.source.entrance.session  # type: ignore[attr-defined]
    assert session is not None
    headers = dict(session._held or {})
    done = httpx.post(f"{shop.url}/admin-api", json={"query": "mutation { logout { success } }"}, headers=headers)
    assert done.json() == {"data": {"logout": {"success": True}}}
    connector.ping()
    assert dict(session._held or {}) != headers


def test_stock_is_read_into_canonical_positions_of_each_location(connector: DeclaredConnector) -> None:
    found = {draft.subject: parse(draft.type, draft.data) for draft in drafts(connector, "stock")}
    assert len(found) == 50 + 20, "twenty articles lie at the second location too"
    level = found["SKU-0010@DC2"]
    assert isinstance(level, StockLevel)
    assert (level.on_hand, level.available) == (10, 10)
    levels = {(one.sku, one.location): one for page in connector.snapshot("stock") for one in page}
    assert len(levels) == 70
    assert levels["SKU-0010", "DC2"].available == 10
    assert levels["SKU-0010", "DC2"].source_at is not None


def test_items_and_orders_are_read_with_exact_money_and_later_polls_ask_for_changes(
    connector: DeclaredConnector,
) -> None:
    pages = list(connector.poll("items", None))
    assert sum(len(page.records) for page in pages) == 50
    assert drafts(connector, "items")[0].data["unit_price"] == "6.99"
    assert drafts(connector, "items", {"since": "2100-01-01T00:00:00+00:00"}) == []
    orders = [parse(draft.type, draft.data) for draft in drafts(connector, "orders")]
    assert len(orders) >= 3
    assert all(isinstance(one, OrderPlaced) and one.value > 0 for one in orders)
    assert drafts(connector, "orders", {"since": "2100-01-01T00:00:00+00:00"}) == []


def test_a_shipment_is_written_once_found_again_and_one_without_an_order_waits(connector: DeclaredConnector) -> None:
    shipped = {draft.data["order_ref"] for draft in drafts(connector, "shipments")}
    order = next(draft for draft in drafts(connector, "orders") if draft.subject not in shipped)
    lines = [{"sku": one["sku"], "quantity": 1} for one in order.data["lines"]]
    ref = f"SHP-{order.subject}"
    payload = {
        "shipment": ref,
        "order_ref": order.subject,
        "location": "WH",
        "carrier": "dhl",
        "tracking": "T-1",
        "lines": lines,
    }
    request = Write("fulfillment", ref, f"delivery-{ref}", payload, ref)
    if connector.read_back(request).result is Result.ABSENT:  # a server that is used again has it
        first = connector.write(request)
        assert (first.result, bool(first.native_id)) == (Result.DELIVERED, True), first
    assert connector.read_back(request).result is Result.ALREADY_DELIVERED
    early = Write("fulfillment", "SHP-X", "delivery-X", {**payload, "order_ref": "NO-SUCH-ORDER"}, "SHP-X")
    outcome = connector.write(early)
    assert (outcome.result, "waits for it" in outcome.detail) == (Result.UNAVAILABLE, True)
    assert connector.read_back(early).result is Result.ABSENT


def test_an_error_inside_http_200_is_a_refusal_in_the_vendors_words(connector: DeclaredConnector) -> None:
    order = drafts(connector, "orders")[0]
    lines = [{"sku": order.data["lines"][0]["sku"], "quantity": 999}]
    payload = {
        "shipment": "SHP-9",
        "order_ref": order.subject,
        "location": "WH",
        "carrier": "",
        "tracking": "",
        "lines": lines,
    }
    outcome = connector.write(Write("fulfillment", "SHP-9", "delivery-9", payload, "SHP-9"))
    assert outcome.result is Result.REJECTED
    assert "says inside its answer" in outcome.detail
