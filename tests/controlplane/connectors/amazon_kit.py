"""What tests of the Amazon connector share: a marketplace, a connector to it, settlement files as marketplaces write them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.amazon.connector import AmazonConnector
from controlplane.connectors.contract import Draft, NoNumbers, Numbers, Page
from controlplane.sandbox.amazon.app import create
from controlplane.sandbox.amazon.market import Market
from tests.controlplane.connectors.conftest import START, Given
from tests.controlplane.connectors.simulators import SPECS, hanging_up, held_against
from tests.openapi import Contract

MODELS = SPECS / "amazon-sp-api/models"
FILES = (
    "orders-api-model/orders_2026-01-01.json", "orders-api-model/ordersV0.json", "fba-inventory-api-model/fbaInventory.json",
    "listings-items-api-model/listingsItems_2021-08-01.json", "reports-api-model/reports_2021-06-30.json",
    "feeds-api-model/feeds_2021-06-30.json",
)  # fmt: skip
MARKET = "ATVPDKIKX0DER"
OPTIONS = {"seller": "SELLER1", "marketplace": MARKET, "location": "WH1", "fba_location": "FBA"}
LOGIN = {"client_id": "client", "client_secret": "secret", "refresh_token": "refresh"}
COLUMNS = (
    "settlement-id", "settlement-start-date", "settlement-end-date", "deposit-date", "total-amount", "currency", "transaction-type",
    "order-id", "merchant-order-id", "adjustment-id", "shipment-id", "marketplace-name", "amount-type", "amount-description", "amount",
    "fulfillment-id", "posted-date", "posted-date-time", "order-item-code", "merchant-order-item-id", "merchant-adjustment-item-id",
    "sku", "quantity-purchased", "promotion-id",
)  # fmt: skip


def line(**cells: str) -> str:
    """A row; columns are named with `_` for `-`."""
    told = {name.replace("_", "-"): value for name, value in cells.items()}
    return "\t".join(told.get(name, "") for name in COLUMNS)


def opening(
    total: str, name: str = "18174059732", deposited: str = "2026-11-20 02:00:00 UTC", currency: str = "USD"
) -> str:
    """The row that opens a settlement."""
    return line(settlement_id=name, deposit_date=deposited, total_amount=total, currency=currency)


def entry(
    amount: str,
    of: str = "Order",
    type_: str = "ItemPrice",
    what: str = "Principal",
    name: str = "18174059732",
    **more: str,
) -> str:
    """A row of an amount."""
    told = {
        "settlement_id": name, "transaction_type": of, "order_id": "111-1", "shipment_id": "S1", "amount_type": type_,
        "amount_description": what, "amount": amount, "posted_date": "2026-11-10", "posted_date_time": "2026-11-10 05:23:19 UTC",
    } | more  # fmt: skip
    return line(**told)


def file(*lines: str, charset: str = "utf-8") -> bytes:
    """A whole report."""
    return "\r\n".join(("\t".join(COLUMNS), *lines, "")).encode(charset)


class Walking(ManualClock):
    """A clock that goes as far as is waited for."""

    def stopwatch(self) -> float:
        return self.now().timestamp()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.advance(seconds)
        return event.is_set()


@dataclass
class Bench:
    """A marketplace, a connector to it, and one clock for both."""

    market: Market
    connector: AmazonConnector
    contract: Contract | None
    given: Given
    others: list[AmazonConnector] = field(default_factory=list)

    def again(self) -> AmazonConnector:
        """A connector of another process, which knows nothing but what was kept."""
        self.others.append(AmazonConnector(self.given.context()))
        return self.others[-1]

    def pages(self, cursor: dict[str, Any] | None = None, entity: str = "settlements") -> list[Page]:
        return list(self.connector.poll(entity, cursor))

    def drafts(self, cursor: dict[str, Any] | None = None, entity: str = "orders") -> dict[str, Draft]:
        records = [record for page in self.pages(cursor, entity) for record in page.records]
        found = [draft for record in records for draft in self.connector.translate(record.topic, record.body)]
        return {draft.dedupe_key.partition(":")[2] if entity != "orders" else draft.subject: draft for draft in found}

    def advance(self, seconds: float) -> None:
        self.given.clock.advance(seconds)


@contextmanager
def marketplace(clock: ManualClock | None = None, numbers: Numbers | None = None) -> Iterator[Bench]:
    """Serve a marketplace with small pages; what breaks the vendor's models fails the test."""
    options = dict(OPTIONS)
    clock = clock or ManualClock(START, pace=0.02)
    given = Given("", options=options, timeout=10 / clock.pace, clock=clock)
    given.secrets = dict(LOGIN)
    market = Market(given.clock.now, page=3)
    app = create(market)
    contract = held_against(app, [MODELS / name for name in FILES], {"/auth/o2/token", "/tortuga"})
    with hanging_up(app) as port:
        given.endpoint = f"http://127.0.0.1:{port}"
        given.options["login_endpoint"] = given.endpoint
        given.numbers = numbers or NoNumbers()
        connector = AmazonConnector(given.context())
        bench = Bench(market, connector, contract, given)
        yield bench
        for one in (connector, *bench.others):
            one.close()
    assert contract is None or contract.broken == []
