"""Listings of one seller: one by its SKU, some by theirs, or all of them.

A search tells at most 1,000 listings, however many there are. So all of them are walked in the order in which they were made, which never
changes: where a search ends, or its page token runs out, the next one begins at the instant that the last listing was made at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from controlplane.connectors.builtin.amazon.api import Api, listed
from controlplane.connectors.http import Answer
from controlplane.connectors.paging import ExpiredPageError, by_token, expiring

LISTINGS = "/listings/2021-08-01/items"
PAGE = 20
MOST = 1_000
"""Listings that one search pages through at most."""
TRIES = 20
"""Searches that are begun at one instant at most: a walk always ends."""
Listing = dict[str, Any]


class Listings:
    """The listings of one seller in one marketplace. `included`: what is told of each, in Amazon's words."""

    def __init__(self, api: Api, seller: str, marketplace: str) -> None:
        self._api, self._seller, self.marketplace = api, seller, marketplace

    def one(self, sku: str, included: str) -> tuple[Listing, Answer] | None:
        """Return a listing, None where there is none. Raises ConnectorError."""
        asked = {"marketplaceIds": self.marketplace, "includedData": included}
        answer = self._api.ask(self._path(sku), accept=(404,), paced="listing", **asked)
        if answer.status == 404:
            return None
        found = answer.json()
        if not isinstance(found, dict) or "sku" not in found:
            answer.fail("answered a listing without its SKU")
        return found, answer

    def some(self, skus: Sequence[str], included: str) -> dict[str, tuple[Listing, Answer]]:
        """Return those of the SKUs that there are, twenty with one request. Raises ConnectorError."""
        odd = [sku for sku in skus if "," in sku or sku != sku.strip()]  # a list of SKUs is parted by commas
        found = {sku: listing for sku in odd if (listing := self.one(sku, included))}
        plain = [sku for sku in dict.fromkeys(skus) if sku not in odd]
        for at in range(0, len(plain), PAGE):
            chosen = plain[at : at + PAGE]
            asked = {"identifiersType": "SKU", "identifiers": ",".join(chosen)}
            for answer in by_token(expiring(partial(self._search, included, asked)), _next, listed("items")):
                found |= {str(item["sku"]): (item, answer) for item in _items(answer)[0] if item["sku"] in chosen}
        return found

    def whole(self, included: str) -> Iterator[tuple[list[Listing], Answer]]:
        """Yield every listing once, a page at a time. Raises ConnectorError where it cannot bring all of them."""
        walk = _Walk(self.marketplace)
        while not walk.over:
            asked = {"sortBy": "createdDate", "sortOrder": "ASC", "createdAfter": walk.after or None}
            try:
                for answer in by_token(expiring(partial(self._search, included, asked)), _next, listed("items")):
                    yield walk.fresh(answer), answer
                    if walk.shrunk:
                        break
                walk.next(answer)
            except ExpiredPageError:
                if not walk.advanced:
                    raise
                walk.resume(answer)

    def patch(self, sku: str, product_type: str, patches: Sequence[Mapping[str, Any]]) -> Answer:
        """Have attributes of a listing changed: accepted is not done. Raises ConnectorError."""
        body = {"productType": product_type, "patches": list(patches)}
        return self._api.tell("PATCH", self._path(sku), body, paced="patch", marketplaceIds=self.marketplace)

    def _path(self, sku: str) -> str:
        return f"{LISTINGS}/{quote(self._seller, safe='')}/{quote(sku, safe='')}"

    def _search(self, included: str, asked: Mapping[str, Any], token: str | None) -> Answer:
        told: dict[str, Any] = {"marketplaceIds": self.marketplace, "includedData": included, "pageSize": PAGE}
        return self._api.ask(
            f"{LISTINGS}/{quote(self._seller, safe='')}", paced="search", pageToken=token, **told, **asked
        )


class _Walk:
    """Where a walk over all listings stands. `after`: when what it goes on from was made, as Amazon writes it."""

    def __init__(self, marketplace: str) -> None:
        self._marketplace = marketplace
        self._before, self._seen = set[str](), set[str]()
        self._begun = Counter[str]()
        self.after = self._reached = ""
        self._count = self._total = 0
        self.over = self.shrunk = False

    @property
    def advanced(self) -> bool:
        """Whether something came that was made later than what this search began at."""
        return self._reached != self.after

    def fresh(self, answer: Answer) -> list[Listing]:
        """Return what a page brings that was not brought before, and note how far it reaches."""
        items, total = _items(answer)
        # pages are counted: where a listing was taken away meanwhile, the next one moved up, out of sight
        self.shrunk, self._total = self._count > 0 and total < self._total, total
        if self.shrunk:
            return []
        self._count += len(items)
        new = [item for item in items if item["sku"] not in self._before and item["sku"] not in self._seen]
        for item in items:
            self._reached = _made(item, self._marketplace) or self._reached
        self._seen.update(str(item["sku"]) for item in items)
        return new

    def next(self, answer: Answer) -> None:
        """Go on from what came last, if there is more than this search told."""
        complete = self._total <= self._count < MOST
        if self.shrunk or (self.advanced and not complete):
            self.resume(answer)
        elif self._count < self._total:
            answer.fail(
                f"has {self._total} listings made at {self.after or 'no time'}, and tells {self._count} of them"
            )
        else:
            self.over = True

    def resume(self, answer: Answer) -> None:
        """Begin another search where this one came to; what was made at that very instant is told again."""
        self._begun[self._reached] += 1
        if self._begun[self._reached] > TRIES:
            answer.fail(
                f"has listings that go, or come back, faster than they are told: {TRIES} searches came no further"
            )
        self._before = self._seen if self.advanced else self._before | self._seen
        self.after, self._seen, self._count, self._total = self._reached, set(), 0, 0


def product_type(listing: Mapping[str, Any]) -> str:
    """Return by what a listing's attributes are checked; `PRODUCT` where it has several types, or none is told."""
    kinds = {one.get("productType") for one in listing.get("summaries") or ()}
    return str(kinds.pop() or "PRODUCT") if len(kinds) == 1 else "PRODUCT"


def _items(answer: Answer) -> tuple[list[Listing], int]:
    try:
        found = answer.json()
        items = [item for item in found["items"] if isinstance(item["sku"], str)]
        return items, int(found["numberOfResults"])
    except (KeyError, TypeError, ValueError):
        answer.fail("answered listings that break their contract")


def _next(answer: Answer) -> str | None:
    found = answer.json()
    pagination = found.get("pagination") or {} if isinstance(found, dict) else {}
    return pagination.get("nextToken")


def _made(item: Mapping[str, Any], marketplace: str) -> str | None:
    summaries = [one for one in item.get("summaries") or () if one.get("marketplaceId") == marketplace]
    return str(summaries[0]["createdDate"]) if summaries and summaries[0].get("createdDate") else None
