"""The control API's part of the shop: sales at its tills, refunds, payouts, and bulk operations that end badly."""

from decimal import Decimal
from typing import Any

from controlplane.sandbox.records import Refund, ShopOrder
from controlplane.sandbox.shop.bulk import Bulk
from controlplane.sandbox.shop.counter import Counter
from controlplane.sandbox.shop.money import Money
from controlplane.sandbox.world import World

Told = dict[str, Any]


class ShopControl:
    """What people do in the shop. Each takes the body of a request; raises ValueError with the remedy. Called with the world locked."""

    def __init__(self, world: World, counter: Counter, bulk: Bulk, money: Money) -> None:
        self.world, self.counter, self.bulk, self.money = world, counter, bulk, money

    def end_bulk(self, body: Told) -> Told:
        """`{"status", "error_code"}`: bulk operations that run end in the middle."""
        if body.get("status") not in ("FAILED", "CANCELED", "EXPIRED"):
            raise ValueError("status: send FAILED, CANCELED or EXPIRED")
        return {"ended": self.bulk.end(str(body["status"]), body.get("error_code"))}

    def sell(self, body: Told) -> Told:
        """`{"store", "lines", "ships"}`: a till of the shop takes an order."""
        if body.get("store") not in self.world.catalogue.locations:
            raise ValueError(f"store: {body.get('store')!r} is none; see GET /control/catalogue")
        wanted = [(str(line["sku"]), int(line["quantity"])) for line in body.get("lines") or ()]
        order = self.counter.sell_at(str(body["store"]), wanted, ships=bool(body.get("ships", False)))
        return {"order": order.name}

    def refund(self, body: Told) -> Told:
        """`{"order", "quantity", "restock_type", "amount", "gateway", "status"}`: so many of each line, and so much money."""
        order = self._order(body)
        pieces = {str(line.id): int(body.get("quantity", 0)) for line in order.lines if int(body.get("quantity", 0))}
        row = Refund(
            id=900_000_000_000 + self.world.counters.next("refund"), created_at=self.world.time_of("shop"), lines=pieces,
            restock_type=str(body.get("restock_type", "NO_RESTOCK")), amount=Decimal(str(body.get("amount", "0"))),
            gateway=str(body.get("gateway", order.gateway)), status=str(body.get("status", "SUCCESS")),
        )  # fmt: skip
        return {"refund": self.counter.give_back(order, row).id}

    def settle(self, body: Told) -> Told:
        """`{"refund"}`: a refund that was pending has been carried out."""
        for order in self.world.orders:
            for row in order.refunds:
                if row.id == body.get("refund"):
                    row.status, order.updated_at = "SUCCESS", self.world.time_of("shop")
                    self.world.orders.put(str(order.id), order)
                    return {"refund": row.id}
        raise ValueError(f"refund: there is no {body.get('refund')!r}")

    def pay_out(self, body: Told) -> Told:
        """`{}` begins a payout of all that is due; `{"payout", "status"}` moves one on."""
        if "payout" not in body:
            return {"payout": self.money.pay_out().id}
        row = self.world.shop_payouts.get(str(body["payout"]))
        if row is None:
            raise ValueError(f"payout: there is no {body['payout']!r}")
        row.status = str(body.get("status"))
        self.world.shop_payouts.put(str(row.id), row)
        return {"payout": row.id}

    def _order(self, body: Told) -> ShopOrder:
        found = self.world.order_named(str(body.get("order")))
        if found is None:
            raise ValueError(f"order: there is no {body.get('order')!r}")
        return found
