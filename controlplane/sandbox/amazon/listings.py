"""Listings: one, a search that pages through so many and no more, and changes that are accepted and carried out later."""

from collections.abc import Callable, Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.amazon import changes
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
        return jsonify(shown(market, sku, _wanted()))

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
        return jsonify(numberOfResults=len(skus), items=[shown(market, sku, _wanted()) for sku in some], **pagination)

    @app.patch("/listings/2021-08-01/items/<seller>/<sku>")
    @operation("patchListingsItem")
    def patch(seller: str, sku: str) -> Answer:
        made = token_hex(16)
        if seller != market.seller or sku not in market.listings:
            return refused(400, "InvalidInput", f"SKU '{sku}' not found")
        try:
            name, value = changes.read(request.get_json()["patches"], market.marketplace)
        except ValueError as error:
            return jsonify(sku=sku, status="INVALID", submissionId=made, issues=[changes.issue(str(error))])
        market.queued.append((market.now(), sku, name, value))
        return jsonify(sku=sku, status="ACCEPTED", submissionId=made, issues=[])


def _wanted() -> list[str]:
    return request.args.get("includedData", "summaries").split(",")


def _found(market: Market, asked: Any) -> list[str]:
    """SKUs that are searched for, in the order that is asked for: newest change first, unless told."""
    chosen = asked["identifiers"].split(",") if "identifiers" in asked else list(market.listings)
    since = datetime.fromisoformat(asked["createdAfter"]) if "createdAfter" in asked else None
    rows = [{"sku": sku, **market.listings[sku]} for sku in chosen if sku in market.listings]
    rows = [row for row in rows if since is None or datetime.fromisoformat(row["created"]) >= since]
    field, falling = SORTED[asked.get("sortBy", "lastUpdatedDate")], asked.get("sortOrder", "DESC") == "DESC"
    return [str(row["sku"]) for row in sorted(rows, key=lambda row: (row[field], row["sku"]), reverse=falling)]


def shown(market: Market, sku: str, wanted: Sequence[str]) -> dict[str, Any]:
    """Return a listing with what was asked for, and nothing else."""
    held = market.listings[sku]
    summary = {
        "marketplaceId": market.marketplace, "asin": "B000000001", "productType": "LUGGAGE", "status": ["BUYABLE"],
        "itemName": sku, "createdDate": held["created"], "lastUpdatedDate": held["changed"],
    }  # fmt: skip
    shipped = {"fulfillmentChannelCode": held["channel"]}
    if held["channel"] == MERCHANT:
        shipped["quantity"] = held["quantity"]
    price = {"currencyCode": "USD", "amount": held["price"]}
    offer = {"marketplaceId": market.marketplace, "offerType": "B2C", "price": price}
    told = {"summaries": [summary], "fulfillmentAvailability": [shipped], "offers": [offer]}
    return {"sku": sku, **{name: value for name, value in told.items() if name in wanted}}
