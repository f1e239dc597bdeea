"""The Vendure connector: stock and orders are read; availability, fulfilments and items written. Not a manifest, though one reads it:

what is available is computed from two counts, and a fulfilment takes a look and two mutations, of which a refusal is a member of a union.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from controlplane.connectors import settings
from controlplane.connectors.builtin.vendure import orders
from controlplane.connectors.builtin.vendure.api import Api
from controlplane.connectors.builtin.vendure.fulfilments import Fulfilments
from controlplane.connectors.builtin.vendure.products import Products
from controlplane.connectors.builtin.vendure.stock import Stock
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Level,
    Manifest,
    Page,
    ReadSpec,
    Setting,
    Write,
    WriteSpec,
)
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import read_json
from controlplane.errors import BadInputError
from rules.outcomes import Guarantee, Outcome

OVERLAP = timedelta(minutes=5)
LATE = 60.0
TOGETHER = 100
"""Items that are written with one look and few mutations; the shop gives no more than a hundred at once."""
PLACES = """
query($skip: Int!, $take: Int!) {
  stockLocations(options: {skip: $skip, take: $take, sort: {id: ASC}}) { totalItems items { id } } }"""
ME = "{ me { id } }"


class VendureConnector(Connector):
    """A Vendure shop. Options: locations (ours, mapped to the ids of stock locations; online orders are shipped from the first), channel
    (the token of a channel; else the shop's own)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="vendure",
        title="Vendure (Admin API)",
        reads=(ReadSpec("levels", snapshot=True), ReadSpec("orders", changes=True)),
        writes=(
            WriteSpec(
                "available", ("stock.offer",), Guarantee.READABLE, late_effect=LATE, how="set absolutely, read back"
            ),
            WriteSpec(
                "fulfillment",
                ("shipment.shipped",),
                Guarantee.READABLE,
                late_effect=LATE,
                how="looked up by tracking code and contents",
            ),
            WriteSpec(
                "product",
                ("product.described",),
                Guarantee.READABLE,
                late_effect=LATE,
                batch=TOGETHER,
                how="looked up by SKU",
            ),
        ),
        secrets=("user", "password"),
        options=("locations", "channel"),
        verified_against="Vendure 3.7, running",
        kind="shop",
        auth="session of an administrator by a login, whose token is a header",
        limits="pages of 100",
        gaps=(
            "refunds",
            "an order that is shipped while its stock is written",
            "currencies kept in other than hundredths",
        ),
        statuses={"order.state": {"Cancelled": "nothing", "ArrangingPayment": "not yet", "AddingItems": "not yet"}},
        option_schemas={"locations": {"type": "array", "items": {"type": "string"}}},
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._api = Api(context)
        self._locations = [str(name) for name in context.options.get("locations", ())]
        self._stock, self._fulfilments = Stock(context, self._api), Fulfilments(context, self._api)
        self._products = Products(context, self._api)

    def close(self) -> None:
        """Close the connections."""
        self._api.http.close()

    def ping(self) -> None:
        """Ask who we are, which proves the session too."""
        self._api.ask(ME)

    def settings(self) -> list[Setting]:
        """Read whether each stock location is there."""
        known = {str(row["id"]): True for rows, _ in self._api.pages(PLACES) for row in rows}
        return settings.locations(self.context, settings.among(known), "Settings > Stock Locations")

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the `levels` of the configured locations, or of the keys."""
        if entity != "levels":
            yield from super().snapshot(entity, keys)
        yield from self._stock.snapshot(self._locations, keys)

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield `orders` that changed since the cursor, which moves at the end: pages come by id."""
        if entity != "orders":
            yield from super().poll(entity, cursor)
        held = cursor or {}
        since = datetime.fromisoformat(held["since"]) - OVERLAP if held else None
        seen = held.get("since", "")
        for records, latest in orders.changed(self._api, self.context, since):
            seen = max(seen, latest)
            yield Page(tuple(records), held)
        yield Page((), {"since": seen} if seen else {})

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read orders as `order.placed`."""
        told = read_json(body)
        if not self._locations:
            raise BadInputError(
                "the System has no `options.locations`; name the location that online orders are shipped from"
            )
        try:
            return orders.draft(self.context, told, self._locations[0])
        except BadInputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"the order breaks the shop's contract: {error!r}; correct it, or drop it") from error

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Set what is available, make a fulfilment, or have an item shown as it is told."""
        self.manifest.write_spec(request.entity)
        if request.entity == "product":
            return self._products.put([request])[0]
        if request.entity == "available":
            return self._stock.set_available(request)
        return self._fulfilments.create(request)

    def write_many(self, requests: Sequence[Write]) -> list[Outcome]:
        """Have up to a hundred items shown as they are told. Raises ConnectorError."""
        if any(request.entity != "product" for request in requests):
            return super().write_many(requests)
        return self._products.put(requests)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look at the level, for the fulfilment, or at the item."""
        self.manifest.write_spec(request.entity)
        if request.entity == "product":
            return self._products.read_back(request)
        if request.entity == "available":
            return self._stock.read_back(request)
        return self._fulfilments.read_back(request)
