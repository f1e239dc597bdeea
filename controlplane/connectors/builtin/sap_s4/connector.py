"""The SAP S/4HANA connector: stock and products read; orders, deliveries, goods movements and journal entries written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from controlplane.connectors.builtin.sap_s4 import items, journals
from controlplane.connectors.builtin.sap_s4.api import DEFAULTS, Api
from controlplane.connectors.builtin.sap_s4.deliveries import Deliveries
from controlplane.connectors.builtin.sap_s4.journals import Journals
from controlplane.connectors.builtin.sap_s4.movements import Movements
from controlplane.connectors.builtin.sap_s4.orders import Orders
from controlplane.connectors.builtin.sap_s4.stock import Stock
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Level,
    Manifest,
    Page,
    ReadSpec,
    Write,
    WriteSpec,
)
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import read_json
from controlplane.errors import BadInputError
from rules.outcomes import Guarantee, Outcome

OVERLAP = timedelta(minutes=10)
LATE = 300.0
"""Seconds that a gateway gives a request at most, whoever asked it having gone."""
MOST = 10
"""Orders of one batch: SAP takes a second or two for each, and a gateway waits a minute."""
BY_MARK = "looked up by a mark in the reference document"
ORGANISATION = ("sales_organization", "distribution_channel", "division", "sold_to_party", "company_code")


class SapS4Connector(Connector):
    """A tenant. Locations are mapped to plant and storage location, as in `1010/101A`."""

    manifest: ClassVar[Manifest] = Manifest(
        name="sap_s4",
        title="SAP S/4HANA (OData V2 and V4, SOAP)",
        reads=(ReadSpec("inventory_balance", snapshot=True), ReadSpec("items", changes=True)),
        writes=(
            WriteSpec(
                "sales_order", ("order.placed",), Guarantee.READABLE, late_effect=LATE, batch=MOST,
                how="looked up by the customer's reference and the sold-to party",
            ),
            WriteSpec(
                "item_fulfillment", ("shipment.shipped",), Guarantee.READABLE, late_effect=LATE,
                how="looked up by the bill of lading among the order's deliveries",
            ),
            WriteSpec("item_receipt", ("receipt.received",), Guarantee.READABLE, late_effect=LATE, how=BY_MARK),
            WriteSpec("inventory_adjustment", ("return.received",), Guarantee.READABLE, late_effect=LATE, how=BY_MARK),
            WriteSpec("cash_sale", ("sale.recorded",), Guarantee.READABLE, late_effect=LATE, how=BY_MARK),
            WriteSpec(
                "journal_entry", ("posting.made",), Guarantee.READABLE, late_effect=journals.LATE, settles=False,
                how="looked up in the ledger by a mark in the document's reference; what may be in SAP's queue is not sent again",
            ),
        ),
        secrets=("user", "password"),
        options=(*ORGANISATION, *DEFAULTS, "orders_api", "valuation_area", "journal_path", "locations"),
        verified_against="SAP's OpenAPI descriptions and EDMX of sales orders, deliveries, material documents and stock; "
        "a simulator; orders: mock-sap",
        kind="erp",
        auth="user and password of a communication user (HTTP Basic), CSRF token with its cookies",
        limits="none published; gateways cut off after one to five minutes; 500 materials a page, 10 orders a batch",
        gaps=(
            "products, the ledger's items and the journal's SOAP are known from prose only",
            "a journal entry that fails in SAP's queue is told by its monitor only: it waits for somebody who looks there",
            "what is promised to orders is not taken off stock",
            "receipts are posted without their purchase order",
            "OAuth 2; business events",
        ),
        statuses={"product.CrossPlantStatus": {"": "sold"}, "delivery.OverallGoodsMovementStatus": {"C": "shipped"}},
        option_schemas={
            "locations": {"type": "array", "items": {"type": "string"}},
            "orders_api": {"enum": ["v2", "v4"], "default": "v2", "description": "which of SAP's services of sales orders"},
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "default": "USD"},
            **{name: {"type": "string", "default": value} for name, value in DEFAULTS.items() if name != "currency"},
            **{name: {"type": "string"} for name in (*ORGANISATION, "valuation_area", "journal_path")},
        },
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._api = Api(context)
        self._stock = Stock(self._api, [str(name) for name in context.options.get("locations", ())])
        self._orders, self._movements, self._journals = Orders(self._api), Movements(self._api), Journals(self._api)
        self._deliveries = Deliveries(self._api, self._orders)

    def close(self) -> None:
        """Close the connections."""
        self._api.http.close()

    def ping(self) -> None:
        """Read one material."""
        self._api.stock.ask("/A_MaterialStock", top="1")

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the `inventory_balance` of the configured locations (all, if none is named), or of the keys."""
        if entity != "inventory_balance":
            yield from super().snapshot(entity, keys)
        yield from self._stock.snapshot(keys)

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield `items` changed since the cursor, which moves at the end: pages come by number."""
        if entity != "items":
            yield from super().poll(entity, cursor)
        held = cursor or {}
        since = datetime.fromisoformat(held["since"]) - OVERLAP if held else None
        seen = held.get("since", "")
        for records, latest in items.changed(self._api, since):
            seen = max(seen, latest)
            yield Page(tuple(records), held)
        yield Page((), {"since": seen} if seen else {})

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read products as `product.described`."""
        told = read_json(body)
        try:
            return items.draft(self._api, told)
        except BadInputError:
            raise
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise BadInputError(f"the product breaks SAP's contract: {error!r}; correct it, or drop it") from error

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Look whether SAP has the document, and book it where it has not."""
        self.manifest.write_spec(request.entity)
        match request.entity:
            case "sales_order":
                return self._orders.create(request)
            case "item_fulfillment":
                return self._deliveries.ship(request)
            case "journal_entry":
                return self._journals.post(request)
        return self._movements.post(request)

    def write_many(self, requests: Sequence[Write]) -> list[Outcome]:
        """Book several sales orders."""
        if any(one.entity != "sales_order" for one in requests):
            return super().write_many(requests)
        return self._orders.create_many(requests)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look whether SAP has the document."""
        self.manifest.write_spec(request.entity)
        match request.entity:
            case "sales_order":
                return self._orders.read_back(request)
            case "item_fulfillment":
                return self._deliveries.read_back(request)
            case "journal_entry":
                return self._journals.read_back(request)
        return self._movements.read_back(request)
