"""Stock levels as they are read: page by page, many keys with one request, or exported in bulk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.exports import Exports, with_parents
from controlplane.connectors.builtin.shopify.items import Items
from controlplane.connectors.contract import Context, Level
from controlplane.connectors.graphql import GraphqlClient, relay
from controlplane.connectors.http import Answer, with_evidence
from controlplane.errors import UnreadableError

PAGE = 100
FEW = 500
"""Up to so many keys are read by themselves; more are cheaper read with all the others."""
TOGETHER = 50
"""Items that one request asks for."""
EXPORTED = 1000
"""Rows of an export that are handed on together."""


class Read(NamedTuple):
    """When something was read."""

    started: datetime
    ended: datetime


class Levels:
    """The levels of one shop."""

    def __init__(self, context: Context, graphql: GraphqlClient, items: Items) -> None:
        self._context, self._graphql, self._items = context, graphql, items
        self._exports = Exports(context, graphql)

    def snapshot(self, locations: Sequence[str], keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """Yield levels of the locations, or of the keys (sku, location) only; a key that the shop lacks is left out."""
        if keys is not None and len(keys) <= FEW:
            yield from self._of(keys)
            return
        wanted = None if keys is None else set(keys)
        bulk = self._context.options.get("snapshot") == "bulk"
        for page in self._in_bulk(locations) if bulk else (page for place in locations for page in self._all(place)):
            yield page if wanted is None else [level for level in page if (level.sku, level.location) in wanted]

    def _in_bulk(self, locations: Sequence[str]) -> Iterator[list[Level]]:
        """Yield the levels as the vendor exported them, which is one reading for all locations."""
        places = {self._context.codes.theirs("location", name): name for name in locations}
        export = self._exports.run(documents.EVERY_LEVEL)
        read = Read(export.read_from, export.read_to)
        coming = (
            level
            for item, row in with_parents(self._exports.rows(export))
            if (level := self._exported(item, row, places, read))
        )
        while page := list(islice(coming, EXPORTED)):
            yield page

    def _exported(
        self, item: dict[str, Any], row: dict[str, Any], places: Mapping[str, str], read: Read
    ) -> Level | None:
        try:
            place = places.get(str(row["location"]["id"]))
            sku = self._our_sku(item) if place and item.get("sku") else ""
        except (KeyError, TypeError) as error:
            raise UnreadableError(f"the shop exported a level without a location: {row}") from error
        return read_level({"inventoryLevel": row}, place, read, sku) if place and sku else None

    def _of(self, keys: Sequence[tuple[str, str]]) -> Iterator[list[Level]]:
        """Yield the levels of the keys, many with one request; what the shop lacks is left out."""
        self._items.learn({sku for sku, _ in keys})
        for location in dict.fromkeys(place for _, place in keys):
            known = {gid: sku for sku, place in keys if place == location and (gid := self._items.known(sku))}
            ids = list(known)
            for at in range(0, len(ids), TOGETHER):
                yield self._levels_of(ids[at : at + TOGETHER], known, location)

    def _levels_of(self, ids: Sequence[str], known: Mapping[str, str], location: str) -> list[Level]:
        gid = self._context.codes.theirs("location", location)
        data, answer = self._graphql.ask(documents.LEVELS_OF, ids=list(ids), location=gid)
        nodes = data.get("nodes")
        if not isinstance(nodes, list) or len(nodes) != len(ids):
            answer.fail("answered nodes(ids:) with another number of them")
        found: list[Level] = []
        for name, node in zip(ids, nodes, strict=True):
            if not node:
                self._items.forget(known[name])
            elif level := read_level(node, location, answer, known[name]):
                found.append(level)
        return found

    def _all(self, location: str) -> Iterator[list[Level]]:
        gid = self._context.codes.theirs("location", location)

        def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
            data, answer = self._graphql.ask(documents.LEVELS, first=PAGE, after=after, location=gid)
            return data["inventoryItems"], answer

        for nodes, answer in relay(fetch):
            levels = (read_level(node, location, answer, self._our_sku(node)) for node in nodes if node.get("sku"))
            yield [level for level in levels if level]

    def _our_sku(self, node: dict[str, Any]) -> str:
        return self._context.codes.ours("sku", node["sku"])


def read_level(node: Mapping[str, Any], location: str, answer: Answer | Read, sku: str) -> Level | None:
    """Return the level of an item, None where it is not stocked there. Raises UnreadableError."""
    try:
        level = node["inventoryLevel"]
        if level is None:
            return None
        named = {quantity["name"]: quantity for quantity in level["quantities"]}
        available, on_hand = named["available"], named.get("on_hand")
        changed = available.get("updatedAt")
        return Level(
            sku=sku,
            location=location,
            on_hand=on_hand["quantity"] if on_hand else None,
            available=available["quantity"],
            source_at=datetime.fromisoformat(changed) if changed else None,
            read_from=answer.started,
            read_to=answer.ended,
        )
    except (KeyError, TypeError, ValueError) as error:
        evidence = answer.evidence if isinstance(answer, Answer) else {}
        told = UnreadableError(f"the system answered a level of {sku} that breaks its contract")
        raise with_evidence(told, evidence) from error
