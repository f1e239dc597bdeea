"""Listings: one, a search that pages through so many and no more, and changes that are accepted and carried out later."""

from collections.abc import Callable
from datetime import datetime
from secrets import token_hex
from typing import Any

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.amazon.errors import refused
from controlplane.sandbox.amazon.market import MERCHANT, Market
from controlplane.sandbox.amazon.pages import paged

Answer = Response | tuple[Response, int]
Operation = Callable[[str], Callable[[Callable[..., Answer]], Callable[..., Answer]]]
SORTED = {"sku": "sku", "createdDate": "created", "lastUpdatedDate": "changed"}


def serve(app: Flask, market: Market, operation: Operation) -> None:
    """Serve the listings of the one seller."""

    @app.get("/listings/2021-08-01/items/<seller>/<sku>")
    @operation("getListingsItem")
    def listing(seller: str, sku: str) -> Answer:
        if seller != market.seller or sku not in market.listings:
            return refused(404, "NOT_FOUND", f"SKU '{sku}' not found in marketplace {market.marketplace}")
        return jsonify(_shown(market, sku))

    @app.get("/listings/2021-08-01/items/<seller>")
    @operation("searchListingsItems")
    def search(seller: str) -> Answer:
        asked = request.args
        if ("identifiers" in asked) != ("identifiersType" in asked):
            return refused(400, "InvalidInput", "identifiers and identifiersType go together.")
        skus = _found(market, asked) if seller == market.seller else []
        page = paged(market, skus[: market.most], "pageToken", int(asked.get("pageSize", 10)))
        if page is None:
            return refused(400, "InvalidInput", "The page token is invalid or has expired.")
        some, following = page
        pagination = {"pagination": {"nextToken": following}} if following else {}
        return jsonify(numberOfResults=len(skus), items=[_shown(market, sku) for sku in some], **pagination)

    @app.patch("/listings/2021-08-01/items/<seller>/<sku>")
    @operation("patchListingsItem")
    def patch(seller: str, sku: str) -> Answer:
        made = token_hex(16)
        if seller != market.seller or sku not in market.listings:
            return refused(400, "InvalidInput", f"SKU '{sku}' not found")
        [told] = request.get_json()["patches"]
        quantity = told["value"][0].get("quantity")
        if not isinstance(quantity, int) or quantity < 0:
            issue = {
                "code": "90220",
                "message": "'quantity' is no whole number",
                "severity": "ERROR",
                "categories": ["INVALID_ATTRIBUTE"],
            }
            return jsonify(sku=sku, status="INVALID", submissionId=made, issues=[issue])
        market.queued.append((market.now(), sku, quantity))
        return jsonify(sku=sku, status="ACCEPTED", submissionId=made, issues=[])


def _found(market: Market, asked: Any) -> list[str]:
    """SKUs that are searched for, in the order that is asked for: newest change first, unless told."""
    chosen = asked["identifiers"].split(",") if "identifiers" in asked else list(market.listings)
    since = datetime.fromisoformat(asked["createdAfter"]) if "createdAfter" in asked else None
    rows = [{"sku": sku, **market.listings[sku]} for sku in chosen if sku in market.listings]
    rows = [row for row in rows if since is None or datetime.fromisoformat(row["created"]) >= since]
    field, falling = SORTED[asked.get("sortBy", "lastUpdatedDate")], asked.get("sortOrder", "DESC") == "DESC"
    return [str(row["sku"]) for row in sorted(rows, key=lambda row: (row[field], row["sku"]), reverse=falling)]


def _shown(market: Market, sku: str) -> dict[str, Any]:
    """What was asked for, and nothing else."""
    wanted, held = request.args.get("includedData", "summaries").split(","), market.listings[sku]
    summary = {
        "marketplaceId": market.marketplace, "asin": "B000000001", "productType": "LUGGAGE", "status": ["BUYABLE"],
        "itemName": sku, "createdDate": held["created"], "lastUpdatedDate": held["changed"],
    }  # fmt: skip
    shipped = {"fulfillmentChannelCode": held["channel"]}
    if held["channel"] == MERCHANT:
        shipped["quantity"] = held["quantity"]
    told = {"summaries": [summary], "fulfillmentAvailability": [shipped]}
    return {"sku": sku, **{name: value for name, value in told.items() if name in wanted}}
