"""What the shop shows of each order (where it stands, how many units are fulfilled) and of each article (its price, whether it is sold)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import term
from controlplane.connectors.builtin.shopify.exports import Exports, with_parents
from controlplane.connectors.builtin.shopify.fulfilments import VOID
from controlplane.connectors.builtin.shopify.levels import EXPORTED, FEW, Read
from controlplane.connectors.contract import Context, Entry
from controlplane.connectors.graphql import GraphqlClient, relay
from controlplane.connectors.http import Answer, with_evidence
from controlplane.errors import UnreadableError

PAGE = 25
ARTICLES = 100
TOGETHER = 20
"""Orders that one search asks for by name."""
STATES = {
    "FULFILLED": "shipped",
    "PARTIALLY_FULFILLED": "partially_shipped",
    "RESTOCKED": "cancelled",
}
"""As the vendor calls it -> ours; of any other, nothing has left."""


def orders(graphql: GraphqlClient, subjects: Sequence[str] | None, since: datetime | None) -> Iterator[list[Entry]]:
    """Yield what is shown of orders created since, or of those with the names. Raises ConnectorError."""
    if subjects is None:
        yield from _pages(graphql, f"created_at:>='{since.strftime('%Y-%m-%dT%H:%M:%SZ')}'" if since else None)
        return
    for at in range(0, len(subjects), TOGETHER):
        wanted = set(subjects[at : at + TOGETHER])
        for page in _pages(graphql, " OR ".join(term("name", name) for name in sorted(wanted))):
            yield [entry for entry in page if entry.subject in wanted]


def _pages(graphql: GraphqlClient, query: str | None) -> Iterator[list[Entry]]:
    def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
        data, answer = graphql.ask(documents.ORDERS_SHOWN, first=PAGE, after=after, query=query)
        return data["orders"], answer

    for nodes, answer in relay(fetch):
        yield [_entry(node, answer) for node in nodes]


def articles(context: Context, graphql: GraphqlClient, subjects: Sequence[str] | None) -> Iterator[list[Entry]]:
    """Yield price and status of the articles, or of those with the SKUs (ours). Raises ConnectorError, UnmappedError."""
    if context.options.get("snapshot") == "bulk" and (subjects is None or len(subjects) > FEW):
        wanted = None if subjects is None else set(subjects)
        for page in _in_bulk(context, graphql):
            yield [entry for entry in page if wanted is None or entry.subject in wanted]
        return
    ours = context.codes.ours
    if subjects is None:
        searches: list[str | None] = [None]
    else:
        named = [term("sku", context.codes.theirs("sku", sku)) for sku in subjects]
        searches = [" OR ".join(named[at : at + TOGETHER]) for at in range(0, len(named), TOGETHER)]

    for search in searches:

        def fetch(after: str | None, search: str | None = search) -> tuple[dict[str, Any], Answer]:
            data, answer = graphql.ask(documents.VARIANTS_SHOWN, first=ARTICLES, after=after, query=search)
            return data["productVariants"], answer

        for nodes, answer in relay(fetch):
            yield [_article(ours("sku", node["sku"]), node, answer) for node in nodes if node.get("sku")]


def _in_bulk(context: Context, graphql: GraphqlClient) -> Iterator[list[Entry]]:
    """Yield every article as the vendor exported it: a product, and its variants with the product's id."""
    exports = Exports(context, graphql)
    export = exports.run(documents.EVERY_PRODUCT)
    read = Read(export.read_from, export.read_to)
    coming = (
        _article(context.codes.ours("sku", variant["sku"]), {**variant, "product": product}, read)
        for product, variant in with_parents(exports.rows(export))
        if variant.get("sku")
    )
    while page := list(islice(coming, EXPORTED)):
        yield page


def _article(sku: str, node: Mapping[str, Any], read: Answer | Read) -> Entry:
    try:
        sold = "yes" if node["product"]["status"] == "ACTIVE" else "no"
        return Entry(sku, {"price": Decimal(node["price"]), "active": sold}, None, read.started, read.ended)
    except (KeyError, TypeError, InvalidOperation) as error:
        evidence = read.evidence if isinstance(read, Answer) else {}
        told = UnreadableError(f"the system answered an article {sku} that breaks its contract")
        raise with_evidence(told, evidence) from error


def _entry(node: Mapping[str, Any], answer: Answer) -> Entry:
    try:
        done = [one for one in node["fulfillments"] if one["status"] not in VOID]
        state = "cancelled" if node["cancelledAt"] else STATES.get(node["displayFulfillmentStatus"], "allocated")
        fields: dict[str, Any] = {"state": state, "shipped": sum(int(one["totalQuantity"]) for one in done)}
        at = datetime.fromisoformat(node["createdAt"])
        return Entry(str(node["name"]), fields, at, answer.started, answer.ended)
    except (KeyError, TypeError, ValueError):
        answer.fail("answered an order that breaks its contract")
