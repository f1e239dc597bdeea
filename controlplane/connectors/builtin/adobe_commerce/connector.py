"""The Adobe Commerce connector: source items and orders are read, source items and shipments written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from controlplane.connectors import settings
from controlplane.connectors.builtin.adobe_commerce import orders
from controlplane.connectors.builtin.adobe_commerce.api import OAUTH, Api
from controlplane.connectors.builtin.adobe_commerce.shipments import Shipments
from controlplane.connectors.builtin.adobe_commerce.stock import Stock
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


class AdobeCommerceConnector(Connector):
    """A store. Options: store (view code in the address), locations (ours, mapped to source codes; online orders ship from the first)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="adobe_commerce",
        title="Adobe Commerce (Magento 2, REST)",
        reads=(ReadSpec("source_items", snapshot=True), ReadSpec("orders", changes=True)),
        writes=(
            WriteSpec(
                "source_item", ("stock.level",), Guarantee.READABLE, late_effect=LATE, how="set absolutely, read back"
            ),
            WriteSpec(
                "shipment",
                ("shipment.shipped",),
                Guarantee.READABLE,
                late_effect=LATE,
                how="looked up by track number and contents",
            ),
        ),
        secrets=OAUTH,
        optional_secrets=("consumer_key", "consumer_secret", "access_token_secret"),
        options=("store", "locations"),
        verified_against="Adobe's description of 2.4.9, a simulator",
        kind="shop",
        auth="OAuth 1.0a, HMAC-SHA256; or an integration's bearer token",
        limits="pages of 300 rows; 20 entities a call, where the store's limits are switched on",
        gaps=(
            "bulk operations",
            "credit memos and returns",
            "salable quantities",
            "webhooks, which the core has none of",
        ),
        statuses={
            "order.state": {
                "processing": "placed",
                "complete": "placed",
                "closed": "placed",
                "pending_payment": "not yet",
            }
        },
        option_schemas={
            "store": {"type": "string", "default": "default"},
            "locations": {"type": "array", "items": {"type": "string"}},
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._api = Api(context)
        self._locations = [str(name) for name in context.options.get("locations", ())]
        self._stock, self._shipments = Stock(context, self._api, self._locations), Shipments(context, self._api)

    def close(self) -> None:
        """Close the connections."""
        self._api.http.close()

    def ping(self) -> None:
        """Read how the stores are set."""
        self._api.ask("/store/storeConfigs")

    def settings(self) -> list[Setting]:
        """Read whether each source is there and enabled."""
        rows = [row for page, _ in self._api.rows("/inventory/sources", sort="source_code") for row in page]
        known = {str(row["source_code"]): bool(row.get("enabled")) for row in rows}
        return settings.locations(self.context, settings.among(known), "Stores > Inventory > Sources")

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the `source_items` of the configured sources, or of the keys."""
        if entity != "source_items":
            yield from super().snapshot(entity, keys)
        yield from self._stock.snapshot(keys)

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield `orders` that changed since the cursor, which moves at the end: pages come by id."""
        if entity != "orders":
            yield from super().poll(entity, cursor)
        held = cursor or {}
        since = orders.read_stamp(held["since"]) - OVERLAP if held else None
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
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise BadInputError(f"the order breaks the store's contract: {error!r}; correct it, or drop it") from error

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Set what lies at a source, or ship."""
        self.manifest.write_spec(request.entity)
        return self._stock.set_on_hand(request) if request.entity == "source_item" else self._shipments.create(request)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look at the source, or for the shipment."""
        self.manifest.write_spec(request.entity)
        return self._stock.read_back(request) if request.entity == "source_item" else self._shipments.read_back(request)
