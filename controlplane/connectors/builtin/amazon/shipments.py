"""Confirming to Amazon what we shipped. A package has a number of our own, made of the shipment: told again it is the same package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

import httpx

from controlplane.connectors.builtin.amazon import orders
from controlplane.connectors.builtin.amazon.api import Api
from controlplane.connectors.contract import Context, Write
from controlplane.errors import RejectedError
from rules.outcomes import Outcome, Result


class Shipments:
    """Packages of one seller's orders."""

    def __init__(self, context: Context, api: Api, marketplace: str) -> None:
        self._context, self._api, self._marketplace = context, api, marketplace

    def confirm(self, request: Write) -> Outcome:
        """Confirm the package, unless the order shows it."""
        order = self._order(request)
        if held := _held(order, request):
            return held
        carrier = str(request.payload.get("carrier") or "")
        package: dict[str, Any] = {
            "packageReferenceId": number(request), "carrierCode": carrier or "Other", "trackingNumber": mark(request),
            "shipDate": orders.stamp(datetime.fromisoformat(str(request.payload["shipped_at"]))),
            "orderItems": self._items(order, request),
        }  # fmt: skip
        if not carrier:
            package["carrierName"] = "Other"
        path = f"/orders/v0/orders/{quote(str(request.payload['order_ref']), safe='')}/shipmentConfirmation"
        answer = self._api.tell("POST", path, {"marketplaceId": self._marketplace, "packageDetail": package})
        if answer.status != httpx.codes.NO_CONTENT:
            answer.fail(f"answered {answer.status}, and says that it took a package by 204 only")
        return Outcome(Result.DELIVERED, native_id=package["packageReferenceId"], evidence=answer.evidence)

    def read_back(self, request: Write) -> Outcome:
        """Look for the package on the order."""
        order = self._order(request)
        return _held(order, request) or Outcome(
            Result.ABSENT, f"order {order['orderId']} has no package {mark(request)}"
        )

    def _order(self, request: Write) -> dict[str, Any]:
        ref = str(request.payload["order_ref"])
        answer = self._api.ask(
            f"{orders.PATH}/{quote(ref, safe='')}", accept=(404,), includedData="FULFILLMENT,PACKAGES"
        )
        if answer.status == 404:
            raise RejectedError(f"the seller has no order {ref}; correct the order reference of the shipment")
        try:
            found: dict[str, Any] = answer.json()["order"]
            if found["orderId"] != ref:
                raise KeyError(ref)
        except (KeyError, TypeError):
            answer.fail("answered an order that breaks its contract")
        return found

    def _items(self, order: Mapping[str, Any], request: Write) -> list[dict[str, Any]]:
        left: Counter[str] = Counter()
        for line in request.payload["lines"]:
            left[self._context.codes.theirs("sku", str(line["sku"]))] += int(line["quantity"])
        taken = []
        for item in order["orderItems"]:
            sku = str(item["product"].get("sellerSku"))
            open_ = (item.get("fulfillment") or {}).get("quantityUnfulfilled", item["quantityOrdered"])
            count = min(left[sku], int(open_))
            if count > 0:
                left[sku] -= count
                taken.append({"orderItemId": str(item["orderItemId"]), "quantity": count})
        short = {sku: count for sku, count in left.items() if count}
        if short:
            raise RejectedError(
                f"order {order['orderId']} has less left to ship than shipment {request.business_ref} carried; too many: {short}. "
                "Compare the shipment with the order's packages at Amazon"
            )
        return taken


def number(request: Write) -> str:
    """Return the package's number within its order: positive digits, made of the shipment."""
    made = blake2b(str(request.payload["shipment"]).encode(), digest_size=6).digest()
    return str(int.from_bytes(made) + 1)


def mark(request: Write) -> str:
    """Return the tracking number: the carrier's, or else our shipment id."""
    return str(request.payload.get("tracking") or request.payload["shipment"])


def _held(order: Mapping[str, Any], request: Write) -> Outcome | None:
    for package in order.get("packages") or ():
        same = package.get("packageReferenceId") == number(request) or package.get("trackingNumber") == mark(request)
        if same and (package.get("packageStatus") or {}).get("status") != "CANCELLED":
            native = str(package["packageReferenceId"])
            return Outcome(
                Result.ALREADY_DELIVERED, f"order {order['orderId']} shows package {native}", native_id=native
            )
    return None
