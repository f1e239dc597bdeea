"""What the shop shows of each order: where it stands, and how many units of it are fulfilled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import term
from controlplane.connectors.builtin.shopify.fulfilments import VOID
from controlplane.connectors.contract import Entry
from controlplane.connectors.graphql import GraphqlClient, relay
from controlplane.connectors.http import Answer

PAGE = 25
TOGETHER = 20
"""Orders that one search asks for by name."""
STATES = {
    "FULFILLED": "shipped",
    "PARTIALLY_FULFILLED": "partially_shipped",
    "RESTOCKED": "cancelled",
}
"""As the vendor calls it -> ours; of any other, nothing has left."""


def entries(graphql: GraphqlClient, subjects: Sequence[str] | None, since: datetime | None) -> Iterator[list[Entry]]:
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


def _entry(node: Mapping[str, Any], answer: Answer) -> Entry:
    try:
        done = [one for one in node["fulfillments"] if one["status"] not in VOID]
        state = "cancelled" if node["cancelledAt"] else STATES.get(node["displayFulfillmentStatus"], "allocated")
        fields: dict[str, Any] = {"state": state, "shipped": sum(int(one["totalQuantity"]) for one in done)}
        at = datetime.fromisoformat(node["createdAt"])
        return Entry(str(node["name"]), fields, at, answer.started, answer.ended)
    except (KeyError, TypeError, ValueError):
        answer.fail("answered an order that breaks its contract")
