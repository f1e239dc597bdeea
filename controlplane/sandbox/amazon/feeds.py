"""Feeds of listings: a document is put into the store, a feed waits, is worked on, and leaves a report with a word for each message."""

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.amazon import changes
from controlplane.sandbox.amazon.errors import refused
from controlplane.sandbox.amazon.listings import shown
from controlplane.sandbox.amazon.market import Market, Paper, stamp
from controlplane.sandbox.amazon.pages import paged
from controlplane.sandbox.amazon.papers import address, documents

KIND = "JSON_LISTINGS_FEED"
KEPT = timedelta(days=90)
Answer = Response | tuple[Response, int]
Operation = Callable[[str], Callable[[Callable[..., Answer]], Callable[..., Answer]]]


def serve(app: Flask, market: Market, operation: Operation) -> None:
    """Serve the feeds of the one seller, and the documents that they begin and end with."""
    _documents(app, market, operation)
    _lists(app, market, operation)

    @app.post("/feeds/2021-06-30/feeds")
    @operation("createFeed")
    def create() -> Answer:
        told = request.get_json()
        paper = market.documents.get(told["inputFeedDocumentId"])
        if told["feedType"] != KIND or told["marketplaceIds"] != [market.marketplace] or not paper or not paper.content:
            return refused(400, "InvalidInput", "Unknown feed type, marketplace or document.")
        name = str(50_000_000 + len(market.feeds))
        market.feeds[name] = {
            "feedId": name, "feedType": KIND, "marketplaceIds": [market.marketplace], "createdTime": stamp(market.now()),
            "processingStatus": "IN_QUEUE", "_began": market.now(), "_content": paper.content,
        }  # fmt: skip
        return jsonify(feedId=name), 202


def _documents(app: Flask, market: Market, operation: Operation) -> None:
    @app.post("/feeds/2021-06-30/documents")
    @operation("createFeedDocument")
    def create_document() -> Answer:
        name = f"amzn1.tortuga.4.na.{token_hex(8)}"
        market.documents[name] = Paper(kind=request.get_json()["contentType"], expected=True)
        return jsonify(feedDocumentId=name, url=address(market, name)), 201

    documents(app, market, operation("getFeedDocument"), "feeds", "feedDocumentId")


def _lists(app: Flask, market: Market, operation: Operation) -> None:
    @app.get("/feeds/2021-06-30/feeds")
    @operation("getFeeds")
    def get_feeds() -> Answer:
        if "feedTypes" not in request.args and "nextToken" not in request.args:
            return refused(400, "InvalidInput", "Either feedTypes or nextToken is required.")
        if "nextToken" in request.args and len(request.args) > 1:
            return refused(400, "InvalidInput", "nextToken has to be the only parameter.")
        if "nextToken" not in request.args:
            market.listed["feeds"] = _chosen(market, request.args)
        page = paged(market, market.listed["feeds"], "nextToken", int(request.args.get("pageSize", 100)))
        if page is None:
            return refused(400, "InvalidInput", "nextToken is invalid or has expired.")
        some, following = page
        return jsonify(feeds=some, **({"nextToken": following} if following else {}))

    @app.get("/feeds/2021-06-30/feeds/<name>")
    @operation("getFeed")
    def get_feed(name: str) -> Answer:
        if name not in market.feeds:
            return refused(404, "NotFound", f"The feed {name} was not found.")
        return jsonify(_told(market.feeds[name]))


def work(market: Market) -> None:
    """Go on with the feeds, as far as the time has come for it."""
    for feed in market.feeds.values():
        if feed["processingStatus"] == "IN_QUEUE" and market.now() >= feed["_began"] + market.feed_waits:
            feed |= {"processingStatus": "IN_PROGRESS", "processingStartTime": stamp(market.now())}
        over_at = feed["_began"] + market.feed_waits + market.feed_takes
        if feed["processingStatus"] == "IN_PROGRESS" and market.now() >= over_at:
            _carry_out(market, feed)


def _carry_out(market: Market, feed: dict[str, Any]) -> None:
    status, last = market.feed_ends.pop(0) if market.feed_ends else ("DONE", 0)
    told = json.loads(feed["_content"])
    messages = told["messages"][: last or None] if status == "DONE" or last else []
    issues = [found for message in messages if (found := _one(market, message))]
    feed |= {"processingStatus": status, "processingEndTime": stamp(market.now())}
    if status != "CANCELLED":
        feed["resultFeedDocumentId"] = _reported(market, feed, told, messages, issues)


def _one(market: Market, message: dict[str, Any]) -> dict[str, Any] | None:
    """Carry out one message; return what is wrong with it."""
    sku, words = message["sku"], ""
    try:
        name, value = changes.read(message["patches"], market.marketplace)
        if sku not in market.listings:
            words = "The SKU does not exist in your catalog."
    except ValueError as error:
        words = str(error)
    if words:
        return {"messageId": message["messageId"], "sku": sku, "code": "90220", "severity": "ERROR", "message": words}
    if market.feed_shows:
        market.show(sku, name, value)
    else:
        market.queued.append((market.now(), sku, name, value))
    return None


def _reported(
    market: Market, feed: dict[str, Any], told: dict[str, Any], messages: list[Any], issues: list[dict[str, Any]]
) -> str:
    wrong = {one["sku"] for one in issues}
    included = told["header"].get("report", {}).get("includedData", [])
    items = [shown(market, one["sku"], included) for one in messages if one["sku"] not in wrong] if included else []
    summary = {
        "errors": len(issues), "warnings": 0, "messagesProcessed": len(messages), "messagesAccepted": len(messages) - len(wrong),
        "messagesInvalid": len(wrong),
    }  # fmt: skip
    report = {"header": told["header"] | {"feedId": feed["feedId"]}, "issues": issues, "summary": summary}
    name = f"amzn1.tortuga.4.na.{token_hex(8)}"
    content = json.dumps(report | ({"items": items} if items else {})).encode()
    market.documents[name] = Paper(gzip.compress(content), "application/json", packed=True)
    return name


def _chosen(market: Market, asked: Any) -> list[dict[str, Any]]:
    """Newest first, as the vendor lists them."""
    since = datetime.fromisoformat(asked["createdSince"]) if "createdSince" in asked else market.now() - KEPT
    until = datetime.fromisoformat(asked["createdUntil"]) if "createdUntil" in asked else market.now()
    rows = [
        feed
        for feed in market.feeds.values()
        if feed["feedType"] in asked["feedTypes"].split(",")
        and since <= datetime.fromisoformat(feed["createdTime"]) <= until
    ]
    return [_told(feed) for feed in reversed(rows)]


def _told(feed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in feed.items() if not name.startswith("_")}
