"""What the conformance suite has to know: how a shop is started, how its data is made, and what took effect in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import ClassVar

from acme_shop.connector import AcmeConnector
from acme_shop.system import SIGNING, SKUS, TOKEN, Shop, serve
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.contract import Connector, Inbound, Record, Write


class AcmeBench(Bench):
    """A shop of its own for each run."""

    connector: ClassVar[type[Connector]] = AcmeConnector
    against = "a shop that fits into one file"
    several_pages: ClassVar = {"orders": 35, "stock": SKUS}
    enums: ClassVar = {"orders": ("status", "currency")}
    amounts: ClassVar = {"orders": ("price",)}
    known_amounts: ClassVar = {"orders": "19.90"}

    def start(self, folder: Path) -> Place:
        """Open the shop."""
        self.shop, self._next = Shop(), count(1)
        self._server = serve(self.shop)
        secrets = {"token": TOKEN, "webhook_secret": SIGNING}
        return Place(f"http://127.0.0.1:{self._server.server_port}", secrets, {"location": "SHOP"})

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._server.server_close()

    def things(self, entity: str, at_least: int) -> set[str]:
        """Have people order until there are enough; levels there are as many as articles."""
        if entity == "stock":
            return {f"{sku}@SHOP" for sku in self.shop.levels}
        for _ in range(at_least - len(self.shop.orders)):
            self.shop.order()
        return set(self.shop.orders)

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the order's reference."""
        return {json.loads(record.body)["ref"]}

    def stir(self, entity: str) -> None:
        """Sell a piece; have an order change and another one come."""
        if entity == "stock":
            self.shop.sell(self._sku())
        else:
            self.shop.touch(next(iter(self.shop.orders)))
            self.shop.order()

    def _sku(self) -> str:
        return f"SKU-{next(self._next) % SKUS:03d}"

    def write(self, entity: str) -> Write:
        """Return an offer of one piece less, or a shipment of a new order."""
        return self._level() if entity == "level" else self._shipment()

    def _level(self, moved: int = 0) -> Write:
        sku, key = self._sku(), f"offer-{next(self._next)}"
        shown = self.shop.levels[sku]["available"]
        self.shop.effects = [one for one in self.shop.effects if one != sku]
        data = {"sku": sku, "location": "SHOP", "channel": "shop", "quantity": shown - 1, "expected": shown + moved}
        return Write("level", f"{sku}@SHOP", key, data, sku)

    def _shipment(self) -> Write:
        name, order = f"S-{next(self._next)}", self.shop.order()["ref"]
        data = {"shipment": name, "order_ref": order, "lines": [{"sku": "SKU-001", "quantity": 2}]}
        return Write("fulfilment", name, f"delivery-{name}", data, name)

    def effects(self, request: Write) -> int:
        """Count what the shop wrote down of the article, or of the order."""
        return self.shop.effects.count(request.payload["sku" if request.entity == "level" else "order_ref"])

    def stale(self, entity: str) -> Write:
        """Return an offer computed from what is not there."""
        return self._level(moved=3)

    def refused(self, entity: str) -> Write:
        """Return an offer of an article, or a shipment of an order, that there is not."""
        good = self.write(entity)
        wrong = {"sku": "SKU-999"} if entity == "level" else {"order_ref": "A-none"}
        return replace(good, payload={**good.payload, **wrong})

    def webhooks(self) -> Sequence[Inbound]:
        """Return what the shop tells of two orders."""
        return [Inbound(*self.shop.webhook(self.shop.order())) for _ in range(2)]

    def under_another_id(self, inbound: Inbound) -> Inbound:
        """Return it under another id of the event, which is not signed."""
        return replace(inbound, headers={**inbound.headers, "x-acme-event": f"evt-again-{next(self._next)}"})
