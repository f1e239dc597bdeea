"""GraphQL over HTTP, where errors come inside HTTP 200: shared by every connector that speaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from controlplane.connectors.http import Answer, HttpClient, with_evidence
from controlplane.connectors.paging import News, Seen
from controlplane.errors import ConnectorError, RejectedError
from rules.pacing import Allowance
from rules.personal import without_addresses

ErrorReader = Callable[[list[dict[str, Any]], Mapping[str, Any], bool], ConnectorError | None]
"""(errors, extensions of the answer, whether it was a write) -> the vendor's own meaning of them, or None."""
LeftReader = Callable[[Mapping[str, Any]], Allowance | None]
"""Extensions of the answer to a mutation -> what they say is left of the system's limit, in requests such as this one."""


class GraphqlClient:
    """One GraphQL endpoint of a system."""

    def __init__(
        self, http: HttpClient, path: str, read_errors: ErrorReader, auth: httpx.Auth | None = None,
        read_left: LeftReader = lambda _: None,
    ) -> None:  # fmt: skip
        self._http, self._path, self._read_errors, self._auth = http, path, read_errors, auth
        self._read_left = read_left

    def ask(self, document: str, /, **variables: Any) -> tuple[dict[str, Any], Answer]:
        """Send a query and return (data, answer).

        Any error inside the answer is raised, partial data or not: RejectedError unless the vendor's reader says
        otherwise. Raises ConnectorError.
        """
        return self._send(document, variables, write=False)

    def tell(self, document: str, /, **variables: Any) -> tuple[dict[str, Any], Answer]:
        """Send a mutation and return (data, answer). Raises as `ask` does; without an answer the effect is unknown."""
        return self._send(document, variables, write=True)

    def _send(self, document: str, variables: dict[str, Any], *, write: bool) -> tuple[dict[str, Any], Answer]:
        body = {"query": document, "variables": variables}
        answer = self._http.send("POST", self._path, write=write, auth=self._auth, json=body)
        parsed = answer.json()
        if not isinstance(parsed, dict):
            answer.fail("answered a GraphQL request with something that is not an object")
        errors, extensions = parsed.get("errors"), parsed.get("extensions") or {}
        left = self._read_left(extensions) if write else None  # a page of a listing costs many times a write
        if left is not None:
            self._http.context.left.note(left, answer.ended)
        if errors:
            raise with_evidence(self._error(errors, extensions, write), answer.evidence)
        data = parsed.get("data")
        if not isinstance(data, dict):
            answer.fail("answered a GraphQL request without data and without errors")
        return data, answer

    def _error(self, errors: Any, extensions: Mapping[str, Any], wrote: bool) -> ConnectorError:
        told_errors = self._http.redactor.value(errors)
        listed = [item if isinstance(item, dict) else {"message": str(item)} for item in told_errors]
        told = "; ".join(str(item.get("message", item)) for item in listed)
        found = self._read_errors(listed, extensions, wrote)
        return found or RejectedError(f"{self._http.context.system} refused: {without_addresses(told)[:500]}")


def relay(
    fetch: Callable[[str | None], tuple[dict[str, Any], Answer]],
) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
    """Walk a Relay connection; `fetch(after)` returns (connection, answer). Yields the nodes of each page.

    Raises UnreadableError when the connection breaks the pattern, for instance a cursor that does not move, or leads nowhere for ever.
    """
    after: str | None = None
    seen, news = Seen(None), News()
    while True:
        connection, answer = fetch(after)
        try:
            nodes = connection["nodes"] if "nodes" in connection else [edge["node"] for edge in connection["edges"]]
            info = connection["pageInfo"]
            more, end = info["hasNextPage"], info["endCursor"]
        except (KeyError, TypeError):
            answer.fail("answered a page without nodes or pageInfo")
        yield nodes, answer
        if not more:
            return
        after = str(end or "") or None
        seen.once(after, answer)
        news.heard(nodes, answer)
