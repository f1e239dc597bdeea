"""Fulfilments: the vendor de-duplicates nothing here, so ours is looked for before it is created.

It is recognised by its tracking number (our shipment id where the carrier gave none) together with the units of each
SKU. Two parcels of one order with the same tracking number and the same contents cannot be told apart.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import refusal, term
from controlplane.connectors.contract import Context, Write
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import Answer
from controlplane.errors import RejectedError
from rules.outcomes import Outcome, Result

FULFILLABLE = frozenset({"OPEN", "IN_PROGRESS", "INCOMPLETE"})
VOID = frozenset({"CANCELLED", "ERROR", "FAILURE"})


class Fulfilments:
    """Fulfilments of one shop's orders."""

    def __init__(self, context: Context, graphql: GraphqlClient) -> None:
        self._context, self._graphql = context, graphql

    def create(self, request: Write) -> Outcome:
        """Fulfil what a shipment carried, unless the order shows that already."""
        order, answer = self._order(request.payload["order_ref"])
        found = self._recognise(order, request, answer)
        if found:
            return found
        wanted = {
            "lineItemsByFulfillmentOrder": self._lines(order, self._units(request), request),
            "trackingInfo": {"number": mark(request), "company": request.payload.get("carrier") or None},
            "notifyCustomer": False,
        }
        data, answer = self._graphql.tell(documents.FULFIL, fulfillment=wanted)
        payload = data.get("fulfillmentCreate")
        if not isinstance(payload, dict):
            answer.fail("answered fulfillmentCreate without a payload")
        if payload.get("userErrors"):
            told = refusal(payload["userErrors"])
            return Outcome(Result.REJECTED, f"the shop refused: {told}", evidence=answer.evidence)
        made = payload.get("fulfillment")
        if not made:
            answer.fail("answered fulfillmentCreate with neither a fulfilment nor an error")
        return Outcome(Result.DELIVERED, target_at=_at(made), native_id=made["id"], evidence=answer.evidence)

    def read_back(self, request: Write) -> Outcome:
        """Look for the fulfilment on the order."""
        order, answer = self._order(request.payload["order_ref"])
        found = self._recognise(order, request, answer)
        return found or Outcome(Result.ABSENT, f"order {order['name']} has no fulfilment of {request.business_ref}")

    def _order(self, ref: str) -> tuple[dict[str, Any], Answer]:
        data, answer = self._graphql.ask(documents.ORDER_TO_FULFIL, query=term("name", ref))
        try:
            found = [node for node in data["orders"]["nodes"] if node["name"] == ref]
        except (KeyError, TypeError):
            answer.fail("answered a search for orders without nodes")
        if len(found) != 1:
            raise RejectedError(
                f"the shop has {len(found)} orders named {ref}; correct the order reference of the shipment"
            )
        return found[0], answer

    def _units(self, request: Write) -> Counter[str]:
        units: Counter[str] = Counter()
        for line in request.payload["lines"]:
            units[self._context.codes.theirs("sku", line["sku"])] += int(line["quantity"])
        return units

    def _recognise(self, order: dict[str, Any], request: Write, answer: Answer) -> Outcome | None:
        units = self._units(request)
        try:
            for fulfilment in order["fulfillments"]:
                numbers = {info["number"] for info in fulfilment["trackingInfo"]}
                if fulfilment["status"] in VOID or mark(request) not in numbers:
                    continue
                if _contents(fulfilment) == units:
                    detail = f"order {order['name']} shows it as {fulfilment['id']}"
                    native = fulfilment["id"]
                    return Outcome(Result.ALREADY_DELIVERED, detail, target_at=_at(fulfilment), native_id=native)
        except (KeyError, TypeError, ValueError):
            answer.fail(f"answered fulfilments of order {order['name']} that break their contract")
        return None

    def _lines(self, order: dict[str, Any], units: Counter[str], request: Write) -> list[dict[str, Any]]:
        left, groups = Counter(units), []
        for part in order["fulfillmentOrders"]["nodes"]:
            taken = _take(part, left) if part["status"] in FULFILLABLE else []
            if taken:
                groups.append({"fulfillmentOrderId": part["id"], "fulfillmentOrderLineItems": taken})
        short = {sku: count for sku, count in left.items() if count}
        if short:
            raise RejectedError(
                f"order {order['name']} has less left to fulfil than shipment {request.business_ref} carried; too many: {short}. "
                "Compare the shipment with the order's fulfilments in the shop"
            )
        return groups


def mark(request: Write) -> str:
    """Return the tracking number that the fulfilment carries: the carrier's, or else our shipment id."""
    return str(request.payload.get("tracking") or request.payload["shipment"])


def _take(part: dict[str, Any], left: Counter[str]) -> list[dict[str, Any]]:
    taken = []
    for item in part["lineItems"]["nodes"]:
        count = min(left[item["sku"]], item["remainingQuantity"])
        if count > 0:
            left[item["sku"]] -= count
            taken.append({"id": item["id"], "quantity": count})
    return taken


def _contents(fulfilment: dict[str, Any]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in fulfilment["fulfillmentLineItems"]["nodes"]:
        units[line["lineItem"]["sku"]] += line["quantity"]
    return units


def _at(fulfilment: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(fulfilment["createdAt"])
