"""Stock exported by the warehouse: asked for, looked at until it is over, fetched as one file, and aborted when it takes too long.

The file costs no credits a row. It does not say when a level changed, so the interval of the reading is all that is known of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from controlplane.connectors import jobs
from controlplane.connectors.builtin.shiphero import documents
from controlplane.connectors.contract import Context, Level
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import elsewhere, with_evidence
from controlplane.connectors.jobs import JobRunningError, Progress
from controlplane.connectors.records import loads
from controlplane.errors import ConnectorError, RejectedError, UnavailableError, UnreadableError

PATIENCE, FIRST_LOOK = 3600.0, 5.0
"""Seconds that an export may take, and after which it is looked at first."""
LARGEST = 256 * 2**20
"""Bytes of the largest file that is taken: it is one JSON document, and held whole."""
TOGETHER = 1000
FAILED = frozenset({"error", "failed", "aborted"})


class Snapshots:
    """Exports of one account."""

    def __init__(self, context: Context, graphql: GraphqlClient) -> None:
        self._context, self._graphql = context, graphql

    def levels(self, warehouse: str, location: str) -> Iterator[list[Level]]:
        """Yield every level of a warehouse. Raises ConnectorError: an export that does not end well is a failed reading."""
        data, answer = self._graphql.ask(
            documents.GENERATE_SNAPSHOT, data={"warehouse_id": warehouse, "new_format": True}
        )
        try:
            name = str(data["inventory_generate_snapshot"]["snapshot"]["snapshot_id"])
        except (KeyError, TypeError):
            answer.fail("answered inventory_generate_snapshot without a snapshot")
        url = self._awaited(name)
        ended = self._context.clock.now()
        yield from self._read(self._file(name, url), warehouse, location, (answer.started, ended))

    def _awaited(self, name: str) -> str:
        try:
            found = jobs.awaited(
                self._look, name, self._context.clock, writes=False, longest=PATIENCE, pause=FIRST_LOOK
            )
        except JobRunningError:
            with suppress(ConnectorError):
                self._graphql.ask(documents.ABORT_SNAPSHOT, data={"snapshot_id": name, "reason": "it took too long"})
            raise
        if found.get("error") or found.get("status") in FAILED:
            told = found.get("error") or found.get("status")
            raise UnavailableError(
                f"the warehouse's snapshot {name} failed: {told}; it is asked for anew at the next turn"
            )
        return str(found["snapshot_url"])

    def _look(self, name: str) -> Progress:
        data, answer = self._graphql.ask(documents.SNAPSHOT, id=name)
        try:
            found = data["inventory_snapshot"]["snapshot"]
            over = bool(found.get("snapshot_url") or found.get("error") or found.get("status") in FAILED)
        except (KeyError, TypeError, AttributeError):
            answer.fail(f"does not know the snapshot {name} that it began")
        return Progress("done" if over else "running", f"it is {found.get('status')}", found if over else None)

    def _file(self, name: str, url: str) -> Mapping[str, Any]:
        held = bytearray()
        with elsewhere(self._context, url) as (store, path):
            try:
                for part in store.parts(path):
                    held += part
                    if len(held) > LARGEST:
                        raise UnreadableError(f"the file of snapshot {name} is larger than {LARGEST} bytes")
            except RejectedError as error:  # the address is good for a day
                told = UnavailableError(f"the file of snapshot {name} cannot be had any more: {error}")
                raise with_evidence(told, error.evidence) from error
        try:
            found = loads(bytes(held))
            return dict(found["products"])
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableError(f"the file of snapshot {name} is no snapshot: {error!r}") from error

    def _read(
        self, products: Mapping[str, Any], warehouse: str, location: str, read: tuple[datetime, datetime]
    ) -> Iterator[list[Level]]:
        page: list[Level] = []
        seen: set[str] = set()
        for product in _each(products):
            level = self._level(product, warehouse, location, read)
            if level is None:
                continue
            if level.sku in seen:
                raise UnreadableError(
                    f"the snapshot has {level.sku} for several accounts, and stock is kept by SKU here"
                )
            seen.add(level.sku)
            page.append(level)
            if len(page) == TOGETHER:
                yield page
                page = []
        if page:
            yield page

    def _level(
        self, product: Mapping[str, Any], warehouse: str, location: str, read: tuple[datetime, datetime]
    ) -> Level | None:
        try:
            counts = product["warehouse_products"].get(warehouse)
            if counts is None:
                return None
            return Level(
                sku=self._context.codes.ours("sku", str(product["sku"])), location=location, on_hand=int(counts["on_hand"]),
                available=int(counts["available"]), source_at=None, read_from=read[0], read_to=read[1],
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableError(f"the snapshot has a product that breaks its contract: {error!r}") from error


def _each(products: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the products, by account as the file has them since 2025, or all together as before."""
    for value in products.values():
        if not isinstance(value, Mapping):
            raise UnreadableError("the snapshot has a product that is not an object")
        if "warehouse_products" in value:
            yield value
        else:
            yield from _each(value)
