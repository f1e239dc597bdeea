"""Reports, and the store of objects behind them: an address is good for five minutes, and what lies there is compressed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.amazon.errors import refused
from controlplane.sandbox.amazon.market import Market

STORE = "/tortuga"
KEPT = timedelta(days=90)
Answer = Response | tuple[Response, int]
Operation = Callable[[str], Callable[[Callable[..., Answer]], Callable[..., Answer]]]


def address(market: Market, name: str) -> str:
    """Return an address of a document that is good for a while."""
    mark = token_hex(16)
    market.documents[name].signed[mark] = market.now() + timedelta(seconds=market.good_for)
    return f"{market.store or request.host_url.rstrip('/')}{STORE}?key={name}&X-Amz-Expires=300&X-Amz-Signature={mark}"


def store(app: Flask, market: Market) -> None:
    """Keep documents. An address that ran out, or that nobody signed, is refused in XML as the store does."""

    @app.get(STORE)
    def kept() -> Response:
        with market.lock:
            paper = market.documents.get(request.args.get("key", ""))
            until = paper.signed.get(request.args.get("X-Amz-Signature", "")) if paper else None
            if paper is None or until is None or market.now() > until or not paper.content:
                told = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
                return Response(told, 403, content_type="application/xml")
            return Response(paper.content, content_type=paper.kind)

    @app.put(STORE)
    def put() -> Response:
        with market.lock:
            paper = market.documents.get(request.args.get("key", ""))
            until = paper.signed.get(request.args.get("X-Amz-Signature", "")) if paper else None
            wrong = request.content_type != paper.kind if paper else True
            if paper is None or until is None or market.now() > until or wrong or not paper.expected:
                told = "<Error><Code>SignatureDoesNotMatch</Code><Message>Request has expired</Message></Error>"
                return Response(told, 403, content_type="application/xml")
            paper.content, paper.expected = request.get_data(), False
            return Response(status=200)


def reports(app: Flask, market: Market, operation: Operation) -> None:
    """List reports and tell where their documents are. Of a page token nothing else may be asked."""

    @app.get("/reports/2021-06-30/reports")
    @operation("getReports")
    def get_reports() -> Answer:
        asked, at = request.args, 0
        if "nextToken" in asked:
            if len(asked) > 1 or asked["nextToken"] not in market.tokens:
                return refused(400, "InvalidInput", "nextToken has to be the only parameter, and valid.")
            at, rows = market.tokens[asked["nextToken"]][1], market.listed[asked["nextToken"]]
        elif "reportTypes" not in asked:
            return refused(400, "InvalidInput", "Either reportTypes or nextToken is required.")
        else:
            rows = _chosen(market, asked)
        some, more = rows[at : at + market.page], {}
        if at + market.page < len(rows):
            token = token_hex(12)
            market.tokens[token], market.listed[token] = (market.now(), at + market.page), rows
            more = {"nextToken": token}
        return jsonify(reports=some, **more)

    documents(app, market, operation("getReportDocument"), "reports", "reportDocumentId")


def documents(
    app: Flask, market: Market, named: Callable[[Callable[..., Answer]], Callable[..., Answer]], api: str, field: str
) -> None:
    """Tell where a document lies, by its name in one of the two APIs."""

    def get_document(name: str) -> Answer:
        if name not in market.documents:
            return refused(404, "NotFound", f"The document {name} was not found.")
        packed = {"compressionAlgorithm": "GZIP"} if market.documents[name].packed else {}
        return jsonify(**{field: name}, url=address(market, name), **packed)

    app.add_url_rule(f"/{api}/2021-06-30/documents/<name>", f"{api}_document", named(get_document))


def _chosen(market: Market, asked: Any) -> list[dict[str, Any]]:
    """Newest first, as the vendor lists them."""
    since = datetime.fromisoformat(asked["createdSince"]) if "createdSince" in asked else market.now() - KEPT
    states = asked["processingStatuses"].split(",") if "processingStatuses" in asked else None
    rows = [
        one
        for one in market.reports.values()
        if one["reportType"] in asked["reportTypes"].split(",")
        and datetime.fromisoformat(one["createdTime"]) >= max(since, market.now() - KEPT)
        and (states is None or one["processingStatus"] in states)
    ]
    return sorted(rows, key=lambda one: (one["createdTime"], one["reportId"]), reverse=True)
