"""The marketplace's HTTP: Login with Amazon, orders, stock; limits a bucket an operation, tokens of pages that run out."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from secrets import token_hex
from typing import Any

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.amazon import feeds, listings, papers
from controlplane.sandbox.amazon.errors import refused
from controlplane.sandbox.amazon.market import RATES, Market
from controlplane.sandbox.amazon.pages import paged
from controlplane.sandbox.gate import hang_up

TOKEN = "Atza|"  # noqa: S105 - how every token begins
ON_DEMAND = frozenset({"BUYER", "FULFILLMENT", "PACKAGES", "PROCEEDS", "RECIPIENT", "TAX"})
"""What is told only to who asks for it, `includedData`."""
Answer = Response | tuple[Response, int]
Handler = Callable[..., Answer]
Operation = Callable[[str], Callable[[Handler], Handler]]


def create(market: Market) -> Flask:
    """Return an application for one market. It lets in who has its market's secrets."""
    app, given = Flask("amazon"), set[str]()

    @app.post("/auth/o2/token")
    def token() -> Answer:
        form = request.form
        told = tuple(form.get(name) for name in ("client_id", "client_secret", "refresh_token"))
        if told != (market.client, market.secret, market.refresh):
            return jsonify(error="invalid_grant", error_description="The request has an invalid grant parameter"), 400
        made = TOKEN + token_hex(16)
        given.add(made)
        return jsonify(access_token=made, refresh_token=market.refresh, token_type="bearer", expires_in=3600)  # noqa: S106

    def operation(name: str) -> Callable[[Handler], Handler]:
        def decorated(handle: Handler) -> Handler:
            @wraps(handle)
            def answered(**path: str) -> Answer:
                if request.headers.get("x-amz-access-token") not in given:
                    return refused(403, "Unauthorized", "Access to requested resource is denied.")
                with market.lock:
                    if market.limited and not market.buckets[name].take(market.now()):
                        answer, _ = refused(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")
                        answer.headers["x-amzn-RateLimit-Limit"] = str(RATES[name][0])
                        return answer, 429
                    market.settle()
                    feeds.work(market)
                    made = handle(**path)
                    market.watched.get(name, _nothing)()
                    if market.lost[name]:
                        market.lost[name] -= 1
                        return hang_up()
                    return made

            return answered

        return decorated

    _orders(app, market, operation)
    _stock(app, market, operation)
    listings.serve(app, market, operation)
    feeds.serve(app, market, operation)
    papers.reports(app, market, operation)
    papers.store(app, market)
    return app


def _nothing() -> None:
    """Nobody watches."""


def _orders(app: Flask, market: Market, operation: Operation) -> None:
    @app.get("/orders/2026-01-01/orders")
    @operation("searchOrders")
    def search_orders() -> Answer:
        asked = request.args
        if ("lastUpdatedAfter" in asked) == ("createdAfter" in asked):
            return refused(400, "InvalidInput", "Specify either createdAfter or lastUpdatedAfter.")
        field, name = ("lastUpdatedTime", "lastUpdated") if "lastUpdatedAfter" in asked else ("createdTime", "created")
        latest = market.now() - market.settles
        end = min(latest, _at(asked[f"{name}Before"])) if f"{name}Before" in asked else latest
        rows = [one for one in market.orders.values() if _at(asked[f"{name}After"]) <= _at(one[field]) <= end]
        page = paged(market, sorted(rows, key=lambda one: (one[field], one["orderId"])), "paginationToken")
        if page is None:
            return refused(400, "InvalidInput", "The pagination token is invalid or has expired.")
        some, following = page
        pagination = {"pagination": {"nextToken": following}} if following else {}
        return jsonify(
            orders=[_shown(one) for one in some], lastUpdatedBefore=end.strftime("%Y-%m-%dT%H:%M:%SZ"), **pagination
        )

    @app.get("/orders/2026-01-01/orders/<ref>")
    @operation("getOrder")
    def get_order(ref: str) -> Answer:
        if ref not in market.orders:
            return refused(404, "NotFound", f"The order {ref} was not found.")
        return jsonify(order=_shown(market.orders[ref]))

    @app.post("/orders/v0/orders/<ref>/shipmentConfirmation")
    @operation("confirmShipment")
    def confirm(ref: str) -> Answer:
        if ref not in market.orders:
            return refused(404, "NotFound", f"The order {ref} was not found.")
        package = request.get_json()["packageDetail"]
        if not package["packageReferenceId"].isdigit():
            return refused(400, "InvalidInput", "PackageReferenceId has to be a positive number.")
        if package["carrierCode"] == "Other" and not package.get("carrierName"):
            return refused(400, "InvalidInput", "carrierName is required when carrierCode is Other.")
        wrong = market.ship(ref, package)
        return refused(400, "InvalidInput", wrong) if wrong else Response(status=204)


def _at(told: str) -> datetime:
    return datetime.fromisoformat(told)


def _shown(order: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, of the order and of its lines; the rest is not told."""
    wanted = set(request.args.get("includedData", "").split(","))
    hidden = {name for name in order if name.upper() in ON_DEMAND - wanted}
    lines = [
        {name: value for name, value in line.items() if name.upper() not in ON_DEMAND - wanted}
        for line in order["orderItems"]
    ]
    return {name: value for name, value in order.items() if name not in hidden} | {"orderItems": lines}


def _stock(app: Flask, market: Market, operation: Operation) -> None:
    @app.get("/fba/inventory/v1/summaries")
    @operation("getInventorySummaries")
    def summaries() -> Answer:
        wanted = request.args.get("sellerSkus")
        chosen = wanted.split(",") if wanted else None
        if chosen and len(chosen) > 50:
            return refused(400, "InvalidInput", "At most 50 sellerSkus are allowed.")
        rows = [one for one in sorted(market.stock.items()) if chosen is None or one[0] in chosen]
        page = paged(market, rows, "nextToken")
        if page is None:
            return refused(400, "InvalidInput", "Next token is invalid or has expired.")
        some, following = page
        payload = {
            "granularity": {"granularityType": "Marketplace", "granularityId": market.marketplace},
            "inventorySummaries": [_summary(sku, held) for sku, held in some],
        }
        return jsonify(payload=payload, **({"pagination": {"nextToken": following}} if following else {}))


def _summary(sku: str, held: dict[str, Any]) -> dict[str, Any]:
    details = {
        "fulfillableQuantity": held["fulfillable"], "inboundWorkingQuantity": 0, "inboundShippedQuantity": 0,
        "inboundReceivingQuantity": 0, "reservedQuantity": {
            "totalReservedQuantity": held["reserved"], "pendingCustomerOrderQuantity": held["reserved"],
            "pendingTransshipmentQuantity": 0, "fcProcessingQuantity": 0,
        },
    }  # fmt: skip
    return {
        "asin": "B000000001", "fnSku": f"X{sku}", "sellerSku": sku, "condition": "NewItem", "inventoryDetails": details,
        "lastUpdatedTime": held["changed"], "productName": sku, "totalQuantity": held["fulfillable"] + held["reserved"],
    }  # fmt: skip
