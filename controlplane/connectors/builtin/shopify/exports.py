"""Bulk queries: the vendor turns the pages and leaves a file of JSON Lines, which is read as it comes.

Nothing changes by it. What did not end well, or is not all there, is a failed reading: a part of the data is never taken for all of
it. An operation whose end a reading did not see, because the plane was stopped meanwhile, is waited for by the next, and not begun anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from controlplane.connectors import jobs, jsonl
from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import refused_bulk
from controlplane.connectors.contract import Context
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import elsewhere, with_evidence
from controlplane.connectors.jobs import JobRunningError, Progress
from controlplane.errors import ConnectorError, RejectedError, UnavailableError, UnreadableError

PATIENCE = 3600.0
"""Seconds that an operation may take; the vendor gives one up after ten days."""
FIRST_LOOK = 1.0
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELED", "EXPIRED"})
GOING = ("CREATED", "RUNNING")
NEWEST = 10
"""Operations that are looked through for one that runs already; the vendor runs five at once."""
ROUNDED = timedelta(seconds=2)
"""What their clock may lack, which tells whole seconds twice."""
PARENT = "__parentId"


class Export(NamedTuple):
    """An operation that has ended well, and the interval of our clock in which the vendor read."""

    name: str
    url: str | None
    objects: int
    read_from: datetime
    read_to: datetime


class Exports:
    """Bulk queries of one shop."""

    def __init__(self, context: Context, graphql: GraphqlClient) -> None:
        self._context, self._graphql = context, graphql

    def run(self, query: str) -> Export:
        """Have a query run in bulk and wait for it. Raises ConnectorError; one that takes too long is cancelled, and its place free."""
        name, began = self._going_on(query) or self._begun(query)
        try:
            found = jobs.awaited(
                self._look, name, self._context.clock, writes=False, longest=PATIENCE, pause=FIRST_LOOK
            )
        except JobRunningError:
            with suppress(ConnectorError):
                self._graphql.ask(documents.CANCEL_BULK, id=name)
            raise
        return _ended(name, found, began, self._context.clock.now())

    def _begun(self, query: str) -> tuple[str, datetime]:
        data, answer = self._graphql.ask(documents.RUN_BULK_QUERY, query=query)
        payload = data.get("bulkOperationRunQuery") or {}
        if payload.get("userErrors"):
            raise with_evidence(refused_bulk(payload["userErrors"]), answer.evidence)
        try:
            return str(payload["bulkOperation"]["id"]), answer.started
        except (KeyError, TypeError):
            answer.fail("answered bulkOperationRunQuery without an operation")

    def _going_on(self, query: str) -> tuple[str, datetime] | None:
        """Return the same query if it runs already, for a reading that was interrupted here, and when it began by our clock."""
        data, answer = self._graphql.ask(documents.BULKS, first=NEWEST)
        try:
            for one in data["bulkOperations"]["nodes"]:
                if one["status"] in GOING and one["type"] == "QUERY" and one["query"].strip() == query.strip():
                    now = parsedate_to_datetime(answer.headers["date"])  # theirs, as is createdAt
                    age = now - datetime.fromisoformat(one["createdAt"])
                    return str(one["id"]), answer.started - max(age, timedelta(0)) - ROUNDED
        except (KeyError, TypeError, ValueError):
            return None  # what cannot be dated is begun anew
        return None

    def _look(self, name: str) -> Progress:
        data, answer = self._graphql.ask(documents.BULK, id=name)
        found = data.get("bulkOperation")
        if not found:
            answer.fail(f"does not know the operation {name} that it began")
        ended = found.get("status") in ENDED
        return Progress("done" if ended else "running", f"it is {found.get('status')}", found if ended else None)

    def rows(self, export: Export) -> Iterator[dict[str, Any]]:
        """Yield the objects of the file as they come. Raises ConnectorError at the end when fewer came than there are."""
        count = 0
        if export.url is not None:
            for _, row in self._lines(export.url):
                count += 1
                yield row
        if count < export.objects:
            raise UnavailableError(
                f"the file of {export.name} holds {count} objects of {export.objects}; nothing is concluded from a part"
            )

    def _lines(self, url: str) -> Iterator[tuple[int, dict[str, Any]]]:
        with elsewhere(self._context, url) as (store, path):
            try:
                yield from jsonl.rows(store.parts(path))
            except RejectedError as error:  # the address is good for seven days, and has to be asked for anew then
                told = UnavailableError(f"the file of the bulk operation cannot be had any more: {error}")
                raise with_evidence(told, error.evidence) from error


def _ended(name: str, found: Mapping[str, Any], began: datetime, ended: datetime) -> Export:
    status, code = found.get("status"), found.get("errorCode")
    if status == "COMPLETED":
        try:
            objects = int(found["objectCount"])
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableError(f"the shop does not say how many objects {name} found") from error
        return Export(name, found.get("url"), objects, began, ended)
    part = " after a part of it, which is left alone" if found.get("partialDataUrl") else ""
    if code == "ACCESS_DENIED":
        raise RejectedError(f"{name} was denied access; give the app the scopes read_inventory and read_products")
    raise UnavailableError(f"{name} ended as {status} ({code}){part}; it is read anew at the next turn")


def with_parents(rows: Iterator[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (parent, child) of rows in whatever order they come: a child names its parent, and may come before it.

    Raises UnreadableError for a child whose parent does not come at all.
    """
    parents: dict[str, dict[str, Any]] = {}
    waiting: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        above = row.get(PARENT)
        if above is None:
            parents[str(row.get("id"))] = row
            for child in waiting.pop(str(row.get("id")), ()):
                yield row, child
        elif above in parents:
            yield parents[above], row
        else:
            waiting.setdefault(above, []).append(row)
    if waiting:
        raise UnreadableError(f"the file tells of what belongs to {min(waiting)}, and not of that itself")
