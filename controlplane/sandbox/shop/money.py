"""Money in the shop: refunds with their transactions, and the payments account that charges, refunds and pays out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from controlplane.sandbox.catalogue import CURRENCY
from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.records import Refund, ShopOrder, ShopPayout
from controlplane.sandbox.shop.bodies import gid
from controlplane.sandbox.shop.search import connection, matching
from controlplane.sandbox.world import World

Shown = dict[str, Any]
OURS = "shopify_payments"
RATE, EACH, CENT = Decimal("0.029"), Decimal("0.30"), Decimal("0.01")
CHARGES, REFUNDS, TRANSFERS, SALES, GIVEN_BACK = 5 * 10**12, 6 * 10**12, 7 * 10**12, 8 * 10**12, 9 * 10**12
"""Where the numbers of movements and of transactions begin, by what they are of."""


FIRST: dict[str, Any] = {"first": None, "after": None}


@dataclass(frozen=True)
class Movement:
    """Money on the balance of the payments account."""

    id: int
    type: str
    at: datetime
    amount: Decimal
    fee: Decimal
    order: ShopOrder | None
    source: int
    transaction: int | None


def money(amount: Decimal) -> Shown:
    """An amount."""
    return {"amount": str(amount), "currencyCode": CURRENCY}


def bag(amount: Decimal) -> Shown:
    """An amount in both currencies, which are one here."""
    return {"presentmentMoney": money(amount), "shopMoney": money(amount)}


def paged(rows: Any, show: Any, **page: Any) -> Shown:
    """A page of rows that have an `id`."""
    found = connection(rows, lambda row: row.id, **(FIRST | page))
    edges = [{"cursor": edge["cursor"], "node": show(edge["node"])} for edge in found["edges"]]
    return {"edges": edges, "nodes": [edge["node"] for edge in edges], "pageInfo": found["pageInfo"]}


class Money:
    """The shop's money. `views` shows orders, lines and locations."""

    def __init__(self, world: World, views: Any) -> None:
        self.world, self.views = world, views

    # --- refunds ---
    def refund(self, order: ShopOrder, one: Refund) -> Shown:
        """A refund."""
        return {
            "__typename": "Refund",
            "id": gid("Refund", one.id),
            "legacyResourceId": str(one.id),
            "createdAt": iso_s(one.created_at),
            "processedAt": iso_s(one.created_at),
            "updatedAt": iso_s(one.created_at),
            "note": None,
            "order": lambda _info: self.views.order(order),
            "totalRefundedSet": bag(one.amount),
            "refundLineItems": lambda _info, **page: self._lines(order, one, **page),
            "transactions": lambda _info, **page: paged([one] if one.amount else [], self._given_back(order), **page),
        }

    def _lines(self, order: ShopOrder, one: Refund, **page: Any) -> Shown:
        place = order.store or "WH1"
        back = one.restock_type == "RETURN"

        def show(line: Any) -> Shown:
            return {
                "id": gid("RefundLineItem", f"{one.id}{line.id}"),
                "lineItem": lambda _info: self.views.line(line),
                "location": lambda _info: self.views.location_of(place) if back else None,
                "quantity": one.lines[str(line.id)],
                "restockType": one.restock_type,
                "restocked": back,
                "subtotalSet": bag(line.price * one.lines[str(line.id)]),
            }

        return paged([line for line in order.lines if str(line.id) in one.lines], show, **page)

    @staticmethod
    def _given_back(order: ShopOrder) -> Any:
        def show(one: Refund) -> Shown:
            paid = {
                "id": gid("OrderTransaction", SALES + order.id), "kind": "SALE", "status": "SUCCESS", "gateway": one.gateway,
                "test": False, "createdAt": iso_s(order.created_at), "processedAt": iso_s(order.created_at),
                "amountSet": bag(order.total),
            }  # fmt: skip
            return paid | {
                "id": gid("OrderTransaction", GIVEN_BACK + one.id), "kind": "REFUND", "status": one.status,
                "createdAt": iso_s(one.created_at), "amountSet": bag(one.amount), "parentTransaction": paid,
                "processedAt": iso_s(one.created_at) if one.status == "SUCCESS" else None,
            }  # fmt: skip

        return show

    def find_refund(self, number: int | None) -> Shown | None:
        """A refund by its number."""
        found = ((row, one) for row in self.world.orders for one in row.refunds if one.id == number)
        return next((self.refund(row, one) for row, one in found), None)

    # --- the account ---
    def movements(self) -> Iterator[Movement]:
        """What moved on the balance: a charge for each order, what was given back, and what was paid out."""
        for order in self.world.orders:
            if order.gateway == OURS:
                fee = (order.total * RATE + EACH).quantize(CENT)
                yield Movement(
                    CHARGES + order.id, "CHARGE", order.created_at, order.total, fee, order, order.id, SALES + order.id
                )
            for one in order.refunds:
                if one.gateway == OURS and one.status == "SUCCESS" and one.amount:
                    number = GIVEN_BACK + one.id
                    yield Movement(
                        REFUNDS + one.id, "REFUND", one.created_at, -one.amount, Decimal(0), order, one.id, number
                    )
        for row in self.world.shop_payouts:
            yield Movement(TRANSFERS + row.id, "TRANSFER", row.issued_at, -row.net, Decimal(0), None, row.id, None)

    def account(self) -> Shown:
        """The payments account."""
        return {
            "__typename": "ShopifyPaymentsAccount",
            "id": gid("ShopifyPaymentsAccount", 1),
            "activated": True,
            "defaultCurrency": CURRENCY,
            "balance": lambda _info: [money(sum((one.amount - one.fee for one in self.movements()), Decimal(0)))],
            "balanceTransactions": lambda _info, **page: self._moved(**page),
            "payouts": lambda _info, **page: self._payouts(**page),
        }

    def _moved(self, query: str | None = None, sortKey: str = "", hideTransfers: bool = False, **page: Any) -> Shown:  # noqa: N803 vendor's names
        fields: dict[str, Any] = {"processed_at": lambda one: one.at, "id": lambda one: one.id}
        rows = [one for one in self.movements() if not (hideTransfers and one.type == "TRANSFER")]
        paid = {number: row for row in self.world.shop_payouts for number in row.movements}
        found = sorted(matching(rows, query, fields), key=lambda one: (one.at, one.id))
        order = {one.id: at for at, one in enumerate(found)}
        shown = connection(found, lambda one: order[one.id] if sortKey == "PROCESSED_AT" else one.id, **(FIRST | page))
        edges = [{"cursor": e["cursor"], "node": _movement(e["node"], paid.get(e["node"].id))} for e in shown["edges"]]
        return {"edges": edges, "nodes": [e["node"] for e in edges], "pageInfo": shown["pageInfo"]}

    def _payouts(
        self,
        query: str | None = None,
        transactionType: str | None = None,  # noqa: N803 vendor's name
        sortKey: str = "",  # noqa: N803 vendor's name
        **page: Any,
    ) -> Shown:
        del sortKey  # they are numbered as they are issued
        fields: dict[str, Any] = {"issued_at": lambda row: row.issued_at, "status": lambda row: row.status.lower()}
        rows = matching(self.world.shop_payouts, query, fields)
        return paged([row for row in rows if transactionType in (None, _direction(row))], _payout, **page)

    def pay_out(self) -> ShopPayout:
        """Send all that is not on its way yet to the bank; less than nothing is taken from there."""
        taken = {number for row in self.world.shop_payouts for number in row.movements}
        due = [one for one in self.movements() if one.type != "TRANSFER" and one.id not in taken]
        number = 1000 + self.world.counters.next("shop_payout")
        net = sum((one.amount - one.fee for one in due), Decimal(0))
        row = ShopPayout(
            id=number,
            issued_at=self.world.time_of("shop"),
            status="SCHEDULED",
            net=net,
            movements=[one.id for one in due],
        )
        return self.world.shop_payouts.put(str(number), row)


def _direction(row: ShopPayout) -> str:
    return "DEPOSIT" if row.net >= 0 else "WITHDRAWAL"


def _payout(row: ShopPayout) -> Shown:
    return {
        "__typename": "ShopifyPaymentsPayout",
        "id": gid("ShopifyPaymentsPayout", row.id),
        "legacyResourceId": str(row.id),
        "issuedAt": iso_s(row.issued_at),
        "net": money(row.net),
        "status": row.status,
        "transactionType": _direction(row),
    }


def _movement(one: Movement, payout: ShopPayout | None) -> Shown:
    paid = (
        {"id": gid("ShopifyPaymentsPayout", payout.id), "status": payout.status}
        if payout
        else {"id": None, "status": "PENDING"}
    )
    return {
        "__typename": "ShopifyPaymentsBalanceTransaction",
        "id": gid("ShopifyPaymentsBalanceTransaction", one.id),
        "type": one.type,
        "test": False,
        "amount": money(one.amount),
        "fee": money(one.fee),
        "net": money(one.amount - one.fee),
        "transactionDate": iso_s(one.at),
        "associatedOrder": {"id": gid("Order", one.order.id), "name": one.order.name} if one.order else None,
        "associatedPayout": paid,
        "sourceId": str(one.source),
        "sourceType": one.type,
        "sourceOrderTransactionId": str(one.transaction) if one.transaction else None,
    }
