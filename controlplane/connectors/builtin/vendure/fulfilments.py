"""Fulfilments of Vendure's orders. The shop de-duplicates nothing: ours is looked for before it is made, by tracking code and contents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane.connectors.builtin.vendure.api import Api
from controlplane.connectors.contract import Context, Write
from controlplane.errors import RejectedError
from rules.outcomes import Outcome, Result

VOID, PENDING, SHIPPED = "Cancelled", "Pending", "Shipped"
ORDER = """
query($skip: Int!, $take: Int!, $code: String!) {
  orders(options: {skip: $skip, take: $take, sort: {id: ASC}, filter: {code: {eq: $code}}}) {
    totalItems items { id code state lines { id quantity productVariant { sku } }
      fulfillments { id state trackingCode updatedAt lines { orderLineId quantity } } } } }"""
FULFIL = """
mutation($input: FulfillOrderInput!) { addFulfillmentToOrder(input: $input) {
  __typename ... on Fulfillment { id state }
  ... on ErrorResult { errorCode message } ... on CreateFulfillmentError { fulfillmentHandlerError } } }"""
SHIP = """
mutation($id: ID!) { transitionFulfillmentToState(id: $id, state: "Shipped") {
  __typename ... on Fulfillment { id state }
  ... on FulfillmentStateTransitionError { errorCode message transitionError } } }"""


class Fulfilments:
    """Fulfilments of one shop's orders, made by the handler `manual-fulfillment`."""

    def __init__(self, context: Context, api: Api) -> None:
        self._context, self._api = context, api

    def create(self, request: Write) -> Outcome:
        """Make the fulfilment where the order shows none of it, and have it shipped."""
        order = self._order(str(request.payload["order_ref"]))
        held = self._recognised(order, request)
        if held is None:
            made, answer, refused = self._api.tell(FULFIL, input=self._input(order, request))
            if refused:
                return Outcome(Result.REJECTED, f"the shop refused: {refused}", evidence=answer.evidence)
            held = made
        elif held["state"] != PENDING:
            return _shown(order, held)
        _, answer, refused = self._api.tell(SHIP, id=held["id"])
        if refused:
            return Outcome(Result.REJECTED, f"the shop did not ship it: {refused}", evidence=answer.evidence)
        return Outcome(Result.DELIVERED, native_id=str(held["id"]), evidence=answer.evidence)

    def read_back(self, request: Write) -> Outcome:
        """Look for it on the order; one that is not shipped yet counts as absent: writing goes on where it stopped."""
        order = self._order(str(request.payload["order_ref"]))
        held = self._recognised(order, request)
        if held is None or held["state"] == PENDING:
            return Outcome(
                Result.ABSENT, f"order {order['code']} has no fulfilment of {request.business_ref} that is shipped"
            )
        return _shown(order, held)

    def _order(self, code: str) -> dict[str, Any]:
        found = [row for rows, _ in self._api.pages(ORDER, code=code) for row in rows]
        if len(found) != 1:
            raise RejectedError(f"the shop has {len(found)} orders with the code {code}; correct the order reference")
        return found[0]

    def _recognised(self, order: Mapping[str, Any], request: Write) -> dict[str, Any] | None:
        skus = {line["id"]: (line["productVariant"] or {}).get("sku") for line in order["lines"]}
        wanted = self._units(request)
        for one in order["fulfillments"] or ():
            units: Counter[str] = Counter()
            for line in one["lines"]:
                units[str(skus.get(line["orderLineId"]))] += int(line["quantity"])
            if one["state"] != VOID and one["trackingCode"] == _mark(request) and units == wanted:
                return dict(one)
        return None

    def _units(self, request: Write) -> Counter[str]:
        units: Counter[str] = Counter()
        for line in request.payload["lines"]:
            units[self._context.codes.theirs("sku", line["sku"])] += int(line["quantity"])
        return units

    def _input(self, order: Mapping[str, Any], request: Write) -> dict[str, Any]:
        left, taken = self._units(request), []
        gone: Counter[str] = Counter()
        for one in order["fulfillments"] or ():
            if one["state"] != VOID:
                gone.update({line["orderLineId"]: int(line["quantity"]) for line in one["lines"]})
        for line in order["lines"]:
            sku = str((line["productVariant"] or {}).get("sku"))
            count = min(left[sku], int(line["quantity"]) - gone[line["id"]])
            if count > 0:
                left[sku] -= count
                taken.append({"orderLineId": line["id"], "quantity": count})
        short = {sku: count for sku, count in left.items() if count}
        if short:
            raise RejectedError(
                f"order {order['code']} has less left to fulfil than shipment {request.business_ref} carried; too many: {short}. "
                "Compare the shipment with the order's fulfilments in the shop"
            )
        told = {"method": str(request.payload.get("carrier") or "shipment"), "trackingCode": _mark(request)}
        arguments = [{"name": name, "value": value} for name, value in told.items()]
        return {"lines": taken, "handler": {"code": "manual-fulfillment", "arguments": arguments}}


def _mark(request: Write) -> str:
    """The tracking code that the fulfilment carries: the carrier's, or else our shipment id."""
    return str(request.payload.get("tracking") or request.payload["shipment"])


def _shown(order: Mapping[str, Any], held: Mapping[str, Any]) -> Outcome:
    detail = f"order {order['code']} shows it as fulfilment {held['id']}, {held['state']}"
    changed = datetime.fromisoformat(held["updatedAt"])
    return Outcome(Result.ALREADY_DELIVERED, detail, target_at=changed, native_id=str(held["id"]))
