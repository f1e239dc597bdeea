"""The Amazon connector: orders, settlements and stock are read, quantities and prices offered, shipments confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from controlplane.connectors.builtin.amazon import notifications, orders, sqs
from controlplane.connectors.builtin.amazon.api import Api
from controlplane.connectors.builtin.amazon.attributes import PRICE, QUANTITY, SHOWN
from controlplane.connectors.builtin.amazon.inventory import SUMMARIES, Inventory
from controlplane.connectors.builtin.amazon.offers import TOGETHER, Offers
from controlplane.connectors.builtin.amazon.reports import SETTLEMENTS, Reports
from controlplane.connectors.builtin.amazon.shipments import Shipments
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Feed,
    Inbound,
    Level,
    Manifest,
    Page,
    ReadSpec,
    Record,
    UnsupportedError,
    Waiting,
    Write,
    WriteSpec,
)
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import read_json
from controlplane.errors import BadInputError
from rules.outcomes import Guarantee, Outcome

OVERLAP = timedelta(minutes=5)
OLDEST = timedelta(days=30)
"""How far back a first poll looks."""
QUEUED = 300.0
"""Seconds within which a change of a listing that was accepted shows, or will not."""
HOW = "the listing shows it, and no feed that it went with is still to come"


def specific(options: Mapping[str, Any]) -> Manifest:
    """Return what a System can do: it takes notifications off a queue where it names one, and then needs the secrets of it."""
    general = AmazonConnector.manifest
    if options.get(sqs.URL) is None:
        return replace(general, consumes=False, probes=("latency",))
    return replace(
        general, optional_secrets=(sqs.TOKEN, notifications.SECRET)
    )  # the queue tells it all; a webhook may, too


class AmazonConnector(Connector):
    """A seller in one marketplace. Options: seller, marketplace, location (ours, of what we ship), fba_location (of what Amazon
    ships), currency and prices_with_tax (of the marketplace, where prices are written), ship_to (whether to ask where orders go)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="amazon",
        title="Amazon (Selling Partner API)",
        reads=(
            ReadSpec("fba", snapshot=True),
            ReadSpec("offers", snapshot=True),
            ReadSpec("orders", changes=True),
            ReadSpec(SETTLEMENTS, changes=True),
        ),
        writes=(
            WriteSpec(QUANTITY, ("stock.offer",), Guarantee.READABLE, QUEUED, batch=TOGETHER, how=HOW),
            WriteSpec(PRICE, ("product.described",), Guarantee.READABLE, QUEUED, batch=TOGETHER, how=HOW),
            WriteSpec(
                "shipment_confirmation",
                ("shipment.shipped",),
                Guarantee.READABLE,
                late_effect=120.0,
                how="looked up by the package's number, or its tracking number",
            ),
        ),
        receives=notifications.TOPICS,
        consumes=True,
        probes=("latency", "depth"),
        secrets=("client_id", "client_secret", "refresh_token", notifications.SECRET, *sqs.SECRETS, sqs.TOKEN),
        webhook_secrets=(notifications.SECRET,),
        optional_secrets=(*sqs.SECRETS, sqs.TOKEN),
        check=sqs.flaws,
        specific=specific,
        options=(
            "seller",
            "marketplace",
            "location",
            "fba_location",
            "login_endpoint",
            "currency",
            "prices_with_tax",
            "ship_to",
            sqs.URL,
            sqs.REGION,
        ),
        option_schemas={
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
            "prices_with_tax": {"type": "boolean", "default": True},
            "ship_to": {"type": "boolean", "default": False},
        },
        verified_against="Amazon's models (orders 2026-01-01 and v0, FBA inventory v1, listings, feeds and reports 2021), "
        "a simulator; SQS as moto serves it",
        kind="marketplace",
        auth="token of Login with Amazon by a refresh token, in x-amz-access-token; notifications by a key in x-api-key, "
        "or off a queue by AWS's Signature 4",
        limits="a token bucket for each operation, of orders one in three minutes after 20; the token of a page is good for 30 seconds",
        gaps=(
            "whether what a settlement pays has arrived at the bank, which Amazon does not tell",
            "titles of listings, and whether they are sold",
            "destinations and subscriptions of notifications, which are made at Amazon",
        ),
        statuses={
            "order.fulfillmentStatus": {"PENDING": "not yet", "PENDING_AVAILABILITY": "not yet", "CANCELLED": "nothing"}
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.manifest = specific(context.options)  # type: ignore[misc]  # what it can do is its system's own
        self._api = Api(context)
        self._marketplace = str(context.options.get("marketplace", ""))
        self._location, self._fba = (str(context.options.get(name, "")) for name in ("location", "fba_location"))
        seller = str(context.options.get("seller", ""))
        self._inventory = Inventory(context, self._api, self._marketplace)
        self._offers = Offers(context, self._api, seller, self._marketplace)
        self._reports = Reports(context, self._api)
        self._shipments = Shipments(context, self._api, self._marketplace)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def ping(self) -> None:
        """Ask for one SKU of Amazon's warehouses."""
        self._api.ask(
            SUMMARIES, granularityType="Marketplace", granularityId=self._marketplace, marketplaceIds=self._marketplace,
            sellerSkus="TRUEUP-PING",
        )  # fmt: skip

    def receive(self, inbound: Inbound) -> Record:
        """Take a notification that an event bus forwards."""
        return notifications.receive(self.context, inbound)

    def consume(self) -> Feed:
        """Open the queue of notifications. Raises UnsupportedError where the System names none, SettingsError."""
        return sqs.NotificationFeed(self.context, self._queue(), notifications.queued)

    def waiting(self) -> Waiting:
        """Ask how much waits in the queue. Raises ConnectorError, UnsupportedError, SettingsError."""
        with closing(self._queue()) as queue:
            return queue.waiting()

    def _queue(self) -> sqs.Queue:
        if not self.manifest.consumes:
            raise UnsupportedError(f"System '{self.context.system}' names no queue; add `options.{sqs.URL}`")
        return sqs.Queue(self.context)

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the stock of Amazon's warehouses (`fba`), or what the listings offer that we ship ourselves (`offers`)."""
        if entity == "fba":
            yield from self._inventory.fba(self._fba, keys)
        elif entity == "offers":
            yield from self._offers.levels(self._location, keys)
        else:
            yield from super().snapshot(entity, keys)

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield `orders` that changed, up to two minutes ago (what is younger may not be told yet), or rows of `settlements`.

        Of orders the cursor moves at the end, of settlements with each report.
        """
        if entity == SETTLEMENTS:
            yield from self._reports.poll(cursor)
            return
        if entity != "orders":
            yield from super().poll(entity, cursor)
        now = self.context.clock.now()
        held = cursor or {}
        since = datetime.fromisoformat(held["until"]) - OVERLAP if held else now - OLDEST
        until = now - orders.SETTLES
        for records in orders.changed(self.context, self._api, self._marketplace, since, until):
            yield Page(tuple(records), held)
        yield Page((), {"until": until.isoformat()})

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read orders as `order.placed`, settlements as `payment.recorded` and `settlement.changed`; notifications lead to them."""
        told = read_json(body)
        try:
            if topic == SETTLEMENTS:
                return self._reports.drafts(told)
            if topic in notifications.TOPICS:
                way = (self._api, self._reports, self._fba, self._marketplace)
                return notifications.drafts(self.context, topic, told, *way, self._placed)
            return self._placed(told) if topic == "orders" else []
        except BadInputError:
            raise
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise BadInputError(f"the record breaks Amazon's contract: {error!r}; correct it, or drop it") from error

    def _placed(self, told: Mapping[str, Any] | None) -> list[Draft]:
        return [] if told is None else orders.draft(self.context, told, self._location, self._fba)

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Offer a quantity, set a price, or confirm a shipment."""
        self.manifest.write_spec(request.entity)
        return self._offers.put(request) if request.entity in SHOWN else self._shipments.confirm(request)

    def write_many(self, requests: Sequence[Write]) -> list[Outcome]:
        """Offer quantities, or set prices, one by one or with a feed. Raises ConnectorError."""
        self.manifest.write_spec(requests[0].entity)
        return self._offers.put_many(requests)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look at the listing and the feeds, or for the package."""
        self.manifest.write_spec(request.entity)
        return self._offers.read_back(request) if request.entity in SHOWN else self._shipments.read_back(request)
