"""Items of the shop: variants found by SKU, and what they show set by `productSet`, many in one bulk operation.

`productSet` deletes variants that it is not told, so it is used only on products that have but the default one. Whether an item
is sold is the shop's own affair beyond this: what is not sold any more is archived, and what is sold again is taken out of there.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import refusal, term
from controlplane.connectors.builtin.shopify.bulk import Bulk
from controlplane.connectors.contract import Context, Write
from controlplane.connectors.graphql import GraphqlClient, relay
from controlplane.connectors.http import Answer, with_evidence
from controlplane.connectors.outcomes import outcome_of
from controlplane.connectors.products import Selling, Wanted, already, handle_of, wanted
from controlplane.errors import BadInputError, ThrottledError
from rules.outcomes import Outcome, Result

PAGE, TERMS = 250, 100
FEW = 3
"""Up to so many items are set one by one; more by a bulk operation."""
REFILL = 0.02
"""Seconds for each item of a look, in which the shop restores what that costs (100 points a second, some 1.3 points an item)."""
Found = dict[str, list[dict[str, Any]]]
OPTION, VALUE = "Title", "Default Title"
"""What the vendor calls the option and the value of a product without options."""


@dataclass(frozen=True, slots=True)
class Change:
    """A line of `productSet`, made of an item and of what the shop shows of it."""

    item: Wanted
    variables: dict[str, Any]


class Products:
    """Items of one shop."""

    def __init__(self, context: Context, graphql: GraphqlClient) -> None:
        self._context, self._graphql, self._bulk = context, graphql, Bulk(context, graphql)
        self._looking = threading.Lock()

    def put(self, requests: Sequence[Write]) -> list[Outcome]:
        """Have the items shown as they are told, each looked at first; what is shown already is not written. Raises ConnectorError."""
        outcomes, items, shown, taken = self._looked(requests)
        changes: dict[int, Change] = {}
        for at, item in items.items():
            found = _decided(item, shown.get(item.sku, []), taken)
            if isinstance(found, Outcome):
                outcomes[at] = found
            else:
                changes[at] = found
        outcomes |= self._one_by_one(changes) if len(changes) <= FEW else self._together(changes)
        return [outcomes[at] for at in range(len(requests))]

    def _looked(self, requests: Sequence[Write]) -> tuple[dict[int, Outcome], dict[int, Wanted], Found, Found]:
        """Return what is refused, what is wanted, and what the shop shows under the SKUs, and under the handles of those it lacks.

        One look at a time, and after a throttled one not before there is budget for a whole one: looks that share what is
        restored in a second would each spend it on their first pages, over and over.
        """
        with self._looking:
            try:
                outcomes, items = self._told(requests, self._selling())
                shown = self._shown([item.sku for item in items.values()])
                return outcomes, items, shown, self._handles([i.sku for i in items.values() if not shown.get(i.sku)])
            except ThrottledError as error:
                wait = max(error.retry_after, REFILL * len(requests))
                raise with_evidence(ThrottledError(str(error), wait), error.evidence) from error

    def read_back(self, request: Write) -> Outcome:
        """Tell from what is shown."""
        item = wanted(self._context, request, self._selling())
        found = self._shown([item.sku])[item.sku]
        if len(found) == 1 and not _differs(found[0], item):
            return already(item.sku, str(found[0]["id"]))
        return Outcome(Result.ABSENT, f"the shop does not show {item.sku} like this")

    def _selling(self) -> Selling:
        data, answer = self._graphql.ask(documents.SELLING)
        try:
            return Selling(str(data["shop"]["currencyCode"]), bool(data["shop"]["taxesIncluded"]))
        except (KeyError, TypeError):
            answer.fail("answered its shop without currency and taxes")

    def _told(self, requests: Sequence[Write], selling: Selling) -> tuple[dict[int, Outcome], dict[int, Wanted]]:
        outcomes: dict[int, Outcome] = {}
        items: dict[str, tuple[int, Wanted]] = {}
        for at, request in enumerate(requests):
            try:
                item = wanted(self._context, request, selling)
            except BadInputError as error:
                outcomes[at] = outcome_of(error)
                continue
            if item.sku in items:
                outcomes[at] = _rejected(f"two items are called {item.sku} at the shop; correct the sku mapping")
            else:
                items[item.sku] = (at, item)
        return outcomes, dict(items.values())

    # --- looking ---
    def _shown(self, skus: Sequence[str]) -> Found:
        found: Found = defaultdict(list)
        for node in self._search(documents.VARIANTS_BY_SKU, "productVariants", "sku", skus):
            found[str(node["sku"])].append(node)
        return found

    def _handles(self, skus: Sequence[str]) -> Found:
        """Return the variants under the handle of each new SKU: the index of SKUs lags, and the handle may be somebody else's."""
        handles = [handle_of(sku) for sku in skus]
        nodes = self._search(documents.PRODUCTS_BY_HANDLE, "products", "handle", handles)
        return {str(node["handle"]): node["variants"]["nodes"] for node in nodes}

    def _search(self, document: str, field: str, name: str, values: Sequence[str]) -> Iterator[dict[str, Any]]:
        for at in range(0, len(values), TERMS):
            chosen = values[at : at + TERMS]
            query, first = " OR ".join(term(name, value) for value in chosen), min(PAGE, len(chosen) + 2)
            for nodes, _ in relay(self._fetch(document, field, query, first)):
                yield from nodes

    def _fetch(
        self, document: str, field: str, query: str, first: int
    ) -> Callable[[str | None], tuple[dict[str, Any], Answer]]:
        def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
            data, answer = self._graphql.ask(document, first=first, after=after, query=query)
            return data[field], answer

        return fetch

    # --- writing ---
    def _one_by_one(self, changes: Mapping[int, Change]) -> dict[int, Outcome]:
        outcomes = {}
        for at, change in changes.items():
            data, answer = self._graphql.tell(documents.SET_PRODUCT, **change.variables)
            payload = data.get("productSet")
            if not isinstance(payload, dict):
                answer.fail("answered productSet without a payload")
            outcomes[at] = _outcome(change.item, payload, {})
        return outcomes

    def _together(self, changes: Mapping[int, Change]) -> dict[int, Outcome]:
        name, results = self._bulk.run(documents.SET_PRODUCT, [change.variables for change in changes.values()])
        outcomes = {}
        for line, (at, change) in enumerate(changes.items()):
            row = results.get(line) or {}
            payload = (row.get("data") or {}).get("productSet")
            if isinstance(payload, dict):
                outcomes[at] = _outcome(change.item, payload, {"bulk_operation": name})
            else:
                told = str(row.get("errors") or "no line about it")[:300]
                outcomes[at] = Outcome(Result.UNKNOWN, f"{name} does not tell what became of {change.item.sku}: {told}")
        return outcomes


def _decided(
    item: Wanted, found: Sequence[dict[str, Any]], taken: Mapping[str, list[dict[str, Any]]]
) -> Outcome | Change:
    if not found:
        return _new(item, taken.get(handle_of(item.sku)))
    if len(found) > 1:
        return _rejected(f"the shop has {len(found)} variants with the SKU {item.sku}; leave one of them")
    if not _differs(found[0], item):
        return already(item.sku, str(found[0]["id"]))
    return _changed(item, found[0])


def _new(item: Wanted, under: Sequence[dict[str, Any]] | None) -> Outcome | Change:
    handle = handle_of(item.sku)
    if under is not None:
        if len(under) == 1 and under[0]["sku"] == item.sku:
            return _decided(item, under, {})
        return _rejected(
            f"the shop has another product under the handle '{handle}' of the new {item.sku}; give it another handle, "
            "or the SKU to its variant"
        )
    if item.price is None:
        return _rejected(f"{item.sku} is new to the shop and has no price; give it one at the source")
    status = "ACTIVE" if item.active else "ARCHIVED"
    told = {"title": item.title, "handle": handle, "status": status, **_variant(item)}
    return Change(item, {"identifier": {"handle": handle}, "input": told})


def _changed(item: Wanted, row: Mapping[str, Any]) -> Outcome | Change:
    if not row["product"]["hasOnlyDefaultVariant"]:
        return _rejected(
            f"the product of {item.sku} has variants, which are not written; change it in the shop, or take the item out of the flow"
        )
    told = {"title": item.title, **_variant(item, str(row["id"]))}
    if _misplaced(row, item):
        told["status"] = "ACTIVE" if item.active else "ARCHIVED"
    return Change(item, {"identifier": {"id": row["product"]["id"]}, "input": told})


def _variant(item: Wanted, native_id: str | None = None) -> dict[str, Any]:
    priced = {} if item.price is None else {"price": format(item.price, "f")}
    variant = {"sku": item.sku, "optionValues": [{"optionName": OPTION, "name": VALUE}], **priced}
    if native_id:
        variant["id"] = native_id
    return {"productOptions": [{"name": OPTION, "position": 1, "values": [{"name": VALUE}]}], "variants": [variant]}


def _outcome(item: Wanted, payload: Mapping[str, Any], evidence: dict[str, Any]) -> Outcome:
    errors = payload.get("userErrors") or []
    if errors:
        return Outcome(Result.REJECTED, f"the shop refused {item.sku}: {refusal(errors)}", evidence=evidence)
    try:
        [row] = payload["product"]["variants"]["nodes"]
        differs = _differs(row, item)
    except (KeyError, TypeError, ValueError):
        return Outcome(Result.UNKNOWN, f"the shop answered for {item.sku} without a variant", evidence=evidence)
    if differs:
        return Outcome(
            Result.UNKNOWN, f"the shop answered for {item.sku} with something else than was told", evidence=evidence
        )
    told = {"title": item.title, "price": row["price"], "status": row["product"]["status"]}
    return Outcome(Result.DELIVERED, native_id=str(row["id"]), evidence={**evidence, "to": told})


def _rejected(detail: str) -> Outcome:
    return Outcome(Result.REJECTED, detail)


def _misplaced(row: Mapping[str, Any], item: Wanted) -> bool:
    return bool(row["product"]["status"] == ("ARCHIVED" if item.active else "ACTIVE"))


def _differs(row: Mapping[str, Any], item: Wanted) -> bool:
    if item.price is not None and _amount(row["price"]) != item.price:
        return True
    return bool(row["sku"] != item.sku or row["product"]["title"] != item.title) or _misplaced(row, item)


def _amount(text: Any) -> Decimal | None:
    try:
        return Decimal(str(text))
    except InvalidOperation:
        return None
