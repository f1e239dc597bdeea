"""Replies that Amazon wrote (its models' own examples, its samples) given to our connector: what it makes of each is in the table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.builtin.amazon.connector import AmazonConnector
from controlplane.connectors.contract import Inbound, Write
from controlplane.connectors.numbers import StoredNumbers
from controlplane.errors import BadInputError, ConnectorError, UnreadableError
from controlplane.store import Store
from rules.model.messages import parse
from rules.outcomes import Outcome, Result
from tests.controlplane.connectors.amazon_kit import MARKET, MODELS, Walking, entry, file, opening
from tests.controlplane.connectors.conftest import START, Given
from tests.controlplane.connectors.samples import at_hand
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer
from tests.controlplane.connectors.simulators import SPECS

pytestmark = at_hand("amazon-sp-api")
SAMPLES = SPECS / "amazon-sp-api/sample-responses"
REPORT = SPECS / "amazon-sp-api/schemas/feeds/listings-feed-processing-report-schema-v2.example.json"
ROUTES = (
    ("POST", r"/auth/o2/token", "token"),
    ("GET", r"/orders/2026-01-01/orders", "searchOrders"),
    ("GET", r"/orders/2026-01-01/orders/[^/]+", "getOrder"),
    ("POST", r"/orders/v0/orders/[^/]+/shipmentConfirmation", "confirmShipment"),
    ("GET", r"/listings/2021-08-01/items/[^/]+", "searchListingsItems"),
    ("GET", r"/listings/2021-08-01/items/[^/]+/[^/]+", "getListingsItem"),
    ("PATCH", r"/listings/2021-08-01/items/[^/]+/[^/]+", "patchListingsItem"),
    ("GET", r"/reports/2021-06-30/reports", "getReports"),
    ("GET", r"/reports/2021-06-30/documents/[^/]+", "getReportDocument"),
    ("POST", r"/feeds/2021-06-30/documents", "createFeedDocument"),
    ("PUT", r"/store", "store"),
    ("GET", r"/store", "store"),
    ("POST", r"/feeds/2021-06-30/feeds", "createFeed"),
    ("GET", r"/feeds/2021-06-30/feeds", "getFeeds"),
    ("GET", r"/feeds/2021-06-30/feeds/[^/]+", "getFeed"),
    ("GET", r"/feeds/2021-06-30/documents/[^/]+", "getFeedDocument"),
)
LISTED = {
    "sku": "A", "summaries": [{"marketplaceId": MARKET, "createdDate": "2021-02-01T00:00:00Z", "productType": "LUGGAGE"}],
    "fulfillmentAvailability": [{"fulfillmentChannelCode": "DEFAULT", "quantity": 1}],
}  # fmt: skip
ORDER = {
    "orderId": "1", "createdTime": "2026-11-27T05:00:00Z", "lastUpdatedTime": "2026-11-27T05:00:00Z",
    "fulfillment": {"fulfillmentStatus": "UNSHIPPED"},
    "orderItems": [{"orderItemId": "1", "quantityOrdered": 1, "product": {"sellerSku": "A"}}],
}  # fmt: skip
MANY = [f"SKU{at}" for at in range(21)]


Said = Reply | Callable[[Asked], Reply]


class Amazon:
    """A server that says what it is told to by operation; a second page is empty."""

    def __init__(self, url: Callable[[], str], said: Mapping[str, Said]) -> None:
        self._url, self._said, self._feed = url, {**self._usual(), **said}, ""

    def _usual(self) -> dict[str, Said]:
        listed = [{**LISTED, "sku": sku} for sku in MANY]
        made = {"createdTime": "2026-11-27T05:00:00Z", "processingStatus": "DONE"}
        return {
            "token": Reply(200, {"access_token": "Atza|1", "expires_in": 3600}), "getOrder": Reply(200, {"order": ORDER}),
            "getListingsItem": Reply(200, LISTED), "createFeed": Reply(202, {"feedId": "1"}), "store": Reply(200, b""),
            "searchListingsItems": Reply(200, {"numberOfResults": len(listed), "items": listed}),
            "getReports": Reply(200, {"reports": [{"reportId": "1", "createdTime": made["createdTime"], "reportDocumentId": "1"}]}),
            "getReportDocument": Reply(200, {"reportDocumentId": "1", "url": "STORE"}),
            "createFeedDocument": Reply(201, {"feedDocumentId": "1", "url": "STORE"}),
            "getFeed": Reply(200, {**made, "feedId": "PATH", "feedType": "JSON_LISTINGS_FEED", "resultFeedDocumentId": "1"}),
            "getFeedDocument": Reply(200, {"feedDocumentId": "1", "url": "STORE"}),
        }  # fmt: skip

    def __call__(self, asked: Asked) -> Reply:
        name = next(name for verb, path, name in ROUTES if verb == asked.method and re.fullmatch(path, asked.path))
        told = self._said[name]
        if not isinstance(told, Reply):
            return told(asked)
        body = told.body
        if {"nextToken", "paginationToken"} & asked.query.keys():
            return Reply(200, {"orders": [], "reports": [], "feeds": []})
        if "pageToken" in asked.query:
            total = body["numberOfResults"]
            return Reply(
                200, {"numberOfResults": total, "items": [{**LISTED, "sku": str(at)} for at in range(1, total)]}
            )
        if name == "getFeed":
            self._feed = asked.path.rpartition("/")[2]
        if name == "store" and not body:
            shown = [
                {
                    **LISTED,
                    "sku": MANY[0],
                    "fulfillmentAvailability": [{"fulfillmentChannelCode": "DEFAULT", "quantity": 7}],
                }
            ]
            return Reply(200, {"header": {"feedId": self._feed}, "issues": [], "items": shown})
        if isinstance(body, dict) and "STORE" in body.values():
            body = {**body, "url": f"{self._url()}/store"}
        if isinstance(body, dict) and "PATH" in body.values():
            body = {**body, "feedId": self._feed}
        return told._replace(body=body)


def write(entity: str, **payload: Any) -> Write:
    told = {"sku": "A", "location": "WH1", "quantity": 7, "expected": None, **payload}
    return Write(entity, "A@WH1", f"key-{told['sku']}", told, "A@WH1")


SHIPPED = write(
    "shipment_confirmation", shipment="S1", order_ref="1", shipped_at="2026-11-27T06:00:00+00:00", carrier="UPS", tracking="T",
    lines=[{"sku": "A", "quantity": 1}],
)  # fmt: skip


def polled(connector: AmazonConnector, entity: str) -> str:
    records = [record for page in connector.poll(entity, None) for record in page.records]
    return ", ".join(translated(connector, record.topic, record.body) for record in records) or "nothing"


def translated(connector: AmazonConnector, topic: str, body: bytes) -> str:
    drafts = connector.translate(topic, body)
    for draft in drafts:
        parse(draft.type, draft.data)
    return " ".join(f"{draft.type} {draft.subject}" for draft in drafts) or "nothing"


def noticed(connector: AmazonConnector, order: str) -> str:
    told = {"NotificationType": "ORDER_CHANGE", "Payload": {"OrderChangeNotification": {"AmazonOrderId": order}}}
    record = connector.receive(Inbound({"x-api-key": "hush"}, json.dumps(told).encode()))
    return translated(connector, record.topic, record.body)


def levels(connector: AmazonConnector, entity: str) -> str:
    found = [level for page in connector.snapshot(entity) for level in page]
    return ", ".join(f"{level.sku}: {level.available} of {level.on_hand}" for level in found) or "nothing"


def told(outcome: Outcome) -> str:
    return f"{outcome.result}: {outcome.detail}"


def fed(connector: AmazonConnector) -> str:
    return told(connector.write_many([write("quantity", sku=sku) for sku in MANY])[0])


def found_again(connector: AmazonConnector) -> str:
    """Of a feed that was begun and lost sight of."""
    connector.write_many([write("quantity", sku=sku) for sku in MANY])
    assert isinstance(connector.context.clock, Walking)
    connector.context.clock.advance(2000)
    return told(connector.read_back(write("quantity", sku=MANY[0])))


DRIVES: dict[str, Callable[[AmazonConnector, Any], str]] = {
    "searchOrders": lambda connector, _: polled(connector, "orders"),
    "getOrder": lambda connector, body: noticed(connector, str((body.get("order") or {}).get("orderId", "1"))),
    "confirmShipment": lambda connector, _: told(connector.write(SHIPPED)),
    "getListingsItem": lambda connector, _: told(connector.read_back(write("quantity"))),
    "searchListingsItems": lambda connector, _: levels(connector, "offers"),
    "patchListingsItem": lambda connector, _: told(connector.write(write("quantity"))),
    "getReports": lambda connector, _: polled(connector, "settlements"),
    "getReportDocument": lambda connector, _: polled(connector, "settlements"),
    "createFeedDocument": lambda connector, _: fed(connector),
    "createFeed": lambda connector, _: fed(connector),
    "getFeed": lambda connector, _: fed(connector),
    "getFeedDocument": lambda connector, _: fed(connector),
    "getFeeds": lambda connector, _: found_again(connector),
}


@pytest.fixture
def connected(sqlite_store: Store) -> Iterator[Callable[[Mapping[str, Said]], AmazonConnector]]:
    """A connector to a server that says so."""
    servers: list[ScriptedServer] = []
    connectors: list[AmazonConnector] = []

    def connect(said: Mapping[str, Said]) -> AmazonConnector:
        server = ScriptedServer(Amazon(lambda: servers[0].url, said))
        servers.append(server)
        options = {
            "seller": "S",
            "marketplace": MARKET,
            "location": "WH1",
            "fba_location": "FBA",
            "login_endpoint": server.url,
        }
        secrets = dict.fromkeys(AmazonConnector.manifest.secrets, "secret-of-nobody") | {"notification_key": "hush"}
        clock = Walking(START, pace=1.0)
        given = Given(server.url, secrets, options, timeout=10, clock=clock)
        given.numbers = StoredNumbers(sqlite_store, clock, "amazon")
        connectors.append(AmazonConnector(given.context()))
        return connectors[-1]

    yield connect
    for connector in connectors:
        connector.close()
    for server in servers:
        server.close()


def made_of(connector: AmazonConnector, operation: str, body: Any) -> str:
    try:
        return DRIVES[operation](connector, body)
    except (BadInputError, ConnectorError) as error:
        return f"{type(error).__name__}: {error}"


def examples() -> dict[str, tuple[str, int, Any]]:
    """`operation status number` -> operation, status, and body, of the operations that are used."""
    found: dict[str, tuple[str, int, Any]] = {}
    for model in sorted(MODELS.rglob("*.json")):
        for methods in json.loads(model.read_bytes())["paths"].values():
            for told in methods.values():
                if isinstance(told, dict) and told.get("operationId") in DRIVES and not _old(model, told):
                    found |= _of(told)
    for name, (operation, status) in SAMPLED.items():
        body = json.loads((SAMPLES / f"{name}.json").read_bytes())
        found[f"sample {name}"] = (operation, status, {"reports": [body]} if operation == "getReports" else body)
    return found


def _old(model: Path, told: dict[str, Any]) -> bool:
    """Orders are read by the newest model; only packages are told by the old one."""
    return model.name == "ordersV0.json" and told["operationId"] != "confirmShipment"


def _of(told: dict[str, Any]) -> dict[str, tuple[str, int, Any]]:
    name = told["operationId"]
    return {
        f"{name} {status} {at}": (name, int(status), one["response"])
        for status, response in told["responses"].items()
        for at, one in enumerate(response.get("x-amzn-api-sandbox", {}).get("static", []))
    }


SAMPLED = {
    "feeds-createFeed": ("createFeed", 202), "feeds-createFeedDocument": ("createFeedDocument", 201), "feeds-getFeed": ("getFeed", 200),
    "feeds-getFeedDocument": ("getFeedDocument", 200), "listings-getListingsItem": ("getListingsItem", 200),
    "orders-confirmShipment": ("confirmShipment", 204), "orders-getOrder": ("getOrder", 200), "orders-getOrderItems": ("getOrder", 200),
    "pricing-patchListingsItem": ("patchListingsItem", 200), "reports-getReport": ("getReports", 200),
    "reports-getReportDocument": ("getReportDocument", 200),
}  # fmt: skip
TABLE: dict[str, str] = {
    "getFeeds 200 0": "absent: the listing shows 1, not 7: no issue told",
    "getFeeds 400 0": "unknown: it cannot be read back: theirs answered 400:",
    "createFeed 202 0": "delivered: the listing shows 7 after feed 3485934",
    "createFeed 400 0": "rejected: theirs answered 400:",
    "getFeed 200 0": "unavailable: feed FeedId1 was cancelled before it was begun",
    "getFeed 400 0": "unknown: feed 1 is begun, and cannot be looked at: theirs answered 400:",
    "createFeedDocument 201 0": "unavailable: theirs keeps a document at d34o8swod1owfl.cloudfront.net, which is no store of Amazon's",
    "createFeedDocument 400 0": "rejected: theirs answered 400:",
    "getFeedDocument 200 0": "unknown: feed 1 is begun, and cannot be looked at: theirs keeps a document at d34o8swod1owfl.cloudfron",
    "getFeedDocument 400 0": "unknown: feed 1 is begun, and cannot be looked at: theirs answered 400:",
    "getListingsItem 200 0": "absent: the listing shows 100, not 7: 90220:",
    "getListingsItem 400 0": "unknown: it cannot be read back: theirs answered 400:",
    "patchListingsItem 200 0": "unknown: queued as f1dc2914-75dd-11ea-bc55-0242ac130003; it counts when it shows",
    "patchListingsItem 200 1": "unknown: theirs answered a listing's change with the status 'VALID'",
    "patchListingsItem 200 2": "rejected: Amazon refused: 90000900:",
    "patchListingsItem 400 0": "rejected: theirs answered 400:",
    "searchListingsItems 200 0": "GM-ZDPI-9B4E: 100 of None, 1: 1 of None, 2: 1 of None",
    "searchListingsItems 400 0": "RejectedError: theirs answered 400:",
    "confirmShipment 204 0": "delivered: ",
    "confirmShipment 400 0": "rejected: theirs answered 400:",
    "searchOrders 200 0": "order.placed 250-1234567-8901234",
    "searchOrders 200 1": "order.placed 202-7654321-1098765",
    "searchOrders 200 2": "order.placed 171-2345678-9012345",
    "searchOrders 400 0": "RejectedError: theirs answered 400:",
    "getOrder 200 0": "order.placed 171-9876543-2109876",
    "getOrder 200 1": "order.placed 028-1234567-8901234",
    "getOrder 200 2": "order.placed 114-9876543-1234567",
    "getOrder 400 0": "RejectedError: theirs answered 400:",
    "getReports 200 0": "UnreadableError: theirs answered a list of reports that breaks its contract",
    "getReports 400 0": "RejectedError: theirs answered 400:",
    "getReportDocument 200 0": "UnreadableError: theirs keeps a document at d34o8swod1owfl.cloudfront.net, which is no store of Amaz",
    "getReportDocument 400 0": "RejectedError: theirs answered 400:",
    "sample feeds-createFeed": "delivered: the listing shows 7 after feed 12345614",
    "sample feeds-createFeedDocument": "unavailable: theirs keeps a document at localhost, which is no store of Amazon's",
    "sample feeds-getFeed": "delivered: the listing shows 7 after feed amzn1.tortuga.feed.3.ed4cd0d8-447b-4c22-8a3e-52b69EXAMPLE",
    "sample feeds-getFeedDocument": "unknown: feed 1 is begun, and cannot be looked at: theirs keeps a document at localhost, which",
    "sample listings-getListingsItem": "absent: the listing shows 100, not 7: no issue told",
    "sample orders-confirmShipment": "delivered: ",
    "sample orders-getOrder": "UnreadableError: theirs answered an order that breaks its contract",
    "sample orders-getOrderItems": "UnreadableError: theirs answered an order that breaks its contract",
    "sample pricing-patchListingsItem": "unknown: queued as f1dc291475dd11edb8780242ac120002; it counts when it shows",
    "sample reports-getReport": "settlement.changed 18174059732 payment.recorded 18174059732/payout, payment.recorded 18174059732/adbaf6",
    "sample reports-getReportDocument": "UnreadableError: theirs keeps a document at localhost, which is no store of Amazon's",
}
"""Example -> what is made of it, as far as it is in our words."""


def test_every_example_is_in_the_table() -> None:
    assert set(examples()) == set(TABLE)


def said(operation: str, status: int, body: Any) -> dict[str, Said]:
    """What Amazon says, and what it has to have said before."""
    found: dict[str, Said] = {operation: Reply(status, b"" if status == 204 else body)}
    if operation == "getFeed" and status == 200:
        found["createFeed"] = Reply(202, {"feedId": body["feedId"]})
    if operation == "getReports":
        found["store"] = Reply(200, file(opening("1.00"), entry("1.00")))
    return found


@pytest.mark.parametrize("name", list(TABLE))
def test_every_example_is_understood_or_refused_with_the_reason(
    connected: Callable[[Mapping[str, Said]], AmazonConnector], name: str
) -> None:
    operation, status, body = examples()[name]
    assert made_of(connected(said(operation, status, body)), operation, body).startswith(TABLE[name])


def test_the_report_of_a_feed_that_amazon_wrote_refuses_the_two_messages_that_it_names(
    connected: Callable[[Mapping[str, Said]], AmazonConnector],
) -> None:
    report = json.loads(REPORT.read_bytes())
    told: dict[str, Any] = {
        "createFeed": Reply(202, {"feedId": report["header"]["feedId"]}),
        "store": Reply(200, report),
    }
    outcomes = connected(told).write_many([write("quantity", sku=sku) for sku in MANY])
    refused = {at: one.detail for at, one in enumerate(outcomes, 1) if one.result is Result.REJECTED}
    assert refused.keys() == {issue["messageId"] for issue in report["issues"]} == {4, 5}
    assert all(issue["message"] in refused[issue["messageId"]] for issue in report["issues"])
    assert {one.result for at, one in enumerate(outcomes, 1) if at not in refused} == {Result.UNKNOWN}


def test_a_search_that_tells_of_fewer_and_fewer_comes_to_an_end(
    connected: Callable[[Mapping[str, Said]], AmazonConnector],
) -> None:
    def fewer(asked: Asked) -> Reply:
        first = {"numberOfResults": 3, "items": [LISTED], "pagination": {"nextToken": "more"}}
        return Reply(200, {"numberOfResults": 0, "items": []} if "pageToken" in asked.query else first)

    with pytest.raises(UnreadableError, match="20 searches came no further"):
        levels(connected({"searchListingsItems": fewer}), "offers")
