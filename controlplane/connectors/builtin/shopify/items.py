"""The shop's ids of items by their SKU, kept once they are looked up."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import term
from controlplane.connectors.contract import Context
from controlplane.connectors.graphql import GraphqlClient, relay
from controlplane.connectors.http import Answer
from controlplane.errors import RejectedError

PAGE = 100
TOGETHER = 50
"""SKUs that one search asks for."""


class Items:
    """The items of one shop."""

    def __init__(self, context: Context, graphql: GraphqlClient) -> None:
        self._context, self._graphql = context, graphql
        self._ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def known(self, sku: str) -> str | None:
        """Return the shop's id of an item that was looked up before."""
        with self._lock:
            return self._ids.get(sku)

    def forget(self, sku: str) -> None:
        """Look it up anew when it is asked for next."""
        with self._lock:
            self._ids.pop(sku, None)

    def id_of(self, sku: str) -> str:
        """Return the shop's id of the item. Raises LookupError when it has none, RejectedError when it has several."""
        if found := self.known(sku):
            return found
        self.learn([sku])
        if found := self.known(sku):
            return found
        raise LookupError(sku)

    def learn(self, skus: Iterable[str]) -> None:
        """Look up what is not known yet, many with one search. Raises RejectedError when the shop has several of one SKU."""
        theirs = {self._context.codes.theirs("sku", sku): sku for sku in skus if not self.known(sku)}
        names = sorted(theirs)
        for at in range(0, len(names), TOGETHER):
            self._learn(names[at : at + TOGETHER], theirs)

    def _learn(self, names: Sequence[str], ours: dict[str, str]) -> None:
        found: dict[str, list[str]] = {}
        for sku, gid in self._searched(names):
            found.setdefault(sku, []).append(gid)
        for name in names:
            if len(found.get(name, ())) > 1:
                raise RejectedError(
                    f"the shop has {len(found[name])} items with the SKU {name}; make the SKU unique in the shop"
                )
        with self._lock:
            self._ids.update({ours[name]: found[name][0] for name in names if name in found})

    def _searched(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        query = " OR ".join(term("sku", name) for name in names)

        def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
            data, answer = self._graphql.ask(documents.ITEMS_BY_SKU, first=PAGE, after=after, query=query)
            return data.get("inventoryItems") or {}, answer

        for nodes, answer in relay(fetch):
            try:
                yield from ((str(node["sku"]), str(node["id"])) for node in nodes)
            except (KeyError, TypeError):
                answer.fail("answered a search for items with one that has no id")
