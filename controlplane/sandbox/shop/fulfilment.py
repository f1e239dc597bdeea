"""`fulfillmentCreate`: books what remains, refuses what does not; there is no idempotency key, as with the vendor."""

from typing import Any

from graphql import GraphQLResolveInfo

from controlplane.sandbox.records import ShopOrder
from controlplane.sandbox.shop.bodies import fulfilment_state, number_of
from controlplane.sandbox.shop.counter import Counter
from controlplane.sandbox.shop.views import Views


class RefusedError(Exception):
    """A business error: where it lies and what the vendor says."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.field = ["fulfillment", *path]


class CreateFulfilment:
    """The mutation."""

    def __init__(self, counter: Counter, views: Views) -> None:
        self.counter, self.views, self.world = counter, views, counter.world

    def __call__(self, _: object, _info: GraphQLResolveInfo[Any], **arguments: Any) -> dict[str, Any]:
        given = arguments["fulfillment"]
        try:
            _check_quantities(given)
            order, pieces = self._wanted(given["lineItemsByFulfillmentOrder"])
        except RefusedError as refusal:
            return {"fulfillment": None, "userErrors": [{"field": refusal.field, "message": str(refusal)}]}
        row = self.counter.fulfil(order, pieces, given.get("trackingInfo") or {})
        return {"fulfillment": self.views.fulfilment(order, row), "userErrors": []}

    def _wanted(self, groups: list[dict[str, Any]]) -> tuple[ShopOrder, dict[int, int]]:
        orders = [self._order(group["fulfillmentOrderId"]) for group in groups]
        if not orders:
            raise RefusedError("Fulfillment order does not exist.")
        if len({order.id for order in orders}) > 1:
            numbers = ", ".join(str(order.id) for order in orders)
            raise RefusedError(
                "All fulfillment orders must belong to the same order. "
                f"Multiple orders with ids [{numbers}] were found."
            )
        pieces: dict[int, int] = {}
        for group in groups:
            for line_id, quantity in _pieces(orders[0], group).items():
                pieces[line_id] = pieces.get(line_id, 0) + quantity
        remaining = {line.id: line.quantity - line.fulfilled for line in orders[0].lines}
        if any(quantity > remaining[line_id] for line_id, quantity in pieces.items()):
            raise RefusedError("Invalid fulfillment order line item quantity requested.")
        return orders[0], pieces

    def _order(self, fulfilment_order: str) -> ShopOrder:
        order = self.world.orders.get(str(number_of(fulfilment_order, "FulfillmentOrder")))
        if order is None:
            raise RefusedError("Fulfillment order does not exist.")
        if fulfilment_state(order) == "fulfilled":
            raise RefusedError(f"Fulfillment order {order.id} has an unfulfillable status= closed.")
        return order


def _check_quantities(given: dict[str, Any]) -> None:
    for at, group in enumerate(given["lineItemsByFulfillmentOrder"]):
        for inner, line in enumerate(group.get("fulfillmentOrderLineItems") or []):
            if line["quantity"] <= 0:
                path = ("lineItemsByFulfillmentOrder", str(at), "fulfillmentOrderLineItems", str(inner), "quantity")
                raise RefusedError("Quantity must be greater than 0", *path)


def _pieces(order: ShopOrder, group: dict[str, Any]) -> dict[int, int]:
    wanted = group.get("fulfillmentOrderLineItems")
    if not wanted:
        return {line.id: line.quantity - line.fulfilled for line in order.lines if line.quantity > line.fulfilled}
    known = {line.id for line in order.lines}
    pieces: dict[int, int] = {}
    for one in wanted:
        line_id = number_of(one["id"], "FulfillmentOrderLineItem")
        if line_id is None or line_id not in known:
            raise RefusedError("Fulfillment order line item does not exist.")
        pieces[line_id] = pieces.get(line_id, 0) + one["quantity"]
    return pieces
