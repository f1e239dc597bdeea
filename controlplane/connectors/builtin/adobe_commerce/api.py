"""Adobe Commerce over REST: OAuth 1.0a or an integration's token, lists by search criteria, messages with places for their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx

from controlplane.connectors.auth import OAuth1, OAuth1Keys, StaticHeader
from controlplane.connectors.contract import Context
from controlplane.connectors.http import Answer, HttpClient, with_evidence
from controlplane.connectors.paging import by_page
from controlplane.connectors.redaction import Redactor
from controlplane.errors import RejectedError

OAUTH = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
PAGE = 300
"""The most that a list gives at once where its limits are switched on."""
Filter = tuple[str, str, Any]
"""Field, condition, value."""


class Api:
    """One store's API."""

    def __init__(self, context: Context) -> None:
        secrets = [context.secret(name) for name in OAUTH if name in context.given]
        self.http = HttpClient(context, Redactor(secrets))
        self._root = f"/rest/{quote(str(context.options.get('store', 'default')), safe='')}/V1"
        self._auth: httpx.Auth = (
            OAuth1(OAuth1Keys(*secrets), "", context.clock)
            if len(secrets) == len(OAUTH)
            else StaticHeader("Authorization", f"Bearer {context.secret('access_token')}")
        )

    def ask(self, path: str, **params: Any) -> Answer:
        """Read. Raises ConnectorError."""
        return self._sent("GET", path, write=False, params=params)

    def tell(self, path: str, body: Any) -> Answer:
        """Change something. Raises ConnectorError."""
        return self._sent("POST", path, write=True, json=body)

    def rows(self, path: str, *filters: Filter, sort: str) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        """Yield the pages of a list in an order that does not change: a page beyond the end repeats the last, so its count ends it."""
        for rows, answer in by_page(partial(self._page, path, filters, sort), _items, _total):
            yield list(rows), answer

    def _page(self, path: str, filters: tuple[Filter, ...], sort: str, page: int) -> Answer:
        asked: dict[str, Any] = {
            "searchCriteria[sortOrders][0][field]": sort, "searchCriteria[sortOrders][0][direction]": "ASC",
            "searchCriteria[pageSize]": PAGE, "searchCriteria[currentPage]": page,
        }  # fmt: skip
        for at, (field, condition, value) in enumerate(filters):
            group = f"searchCriteria[filterGroups][{at}][filters][0]"
            asked |= {f"{group}[field]": field, f"{group}[conditionType]": condition, f"{group}[value]": value}
        return self.ask(path, **asked)

    def _sent(self, method: str, path: str, *, write: bool, **content: Any) -> Answer:
        answer = self.http.send(method, self._root + path, write=write, auth=self._auth, accept=(400, 404), **content)
        if answer.status in (400, 404):
            told = f"{self.http.context.system} refused: {message(answer)}"
            raise with_evidence(RejectedError(told[:600]), answer.evidence)
        return answer


def _items(answer: Answer) -> list[Any]:
    found = answer.json()
    if not isinstance(found, dict) or not isinstance(found.get("items") or [], list):
        answer.fail("answered a list without items")
    return list(found.get("items") or ())


def _total(answer: Answer) -> int:
    try:
        return int(answer.json()["total_count"])
    except (KeyError, TypeError, ValueError):
        answer.fail("answered a list without total_count")


def message(answer: Answer) -> str:
    """Return an error in one line, its parameters put in: `%1` or `%name`."""
    found = answer.json()
    if not isinstance(found, Mapping):
        return f"{answer.status}"
    told = [found, *(one for one in found.get("errors") or () if isinstance(one, Mapping))]
    return "; ".join(_filled(str(one.get("message", "")), one.get("parameters")) for one in told)


def _filled(text: str, parameters: Any) -> str:
    named = parameters.items() if isinstance(parameters, Mapping) else enumerate(parameters or (), 1)
    for name, value in sorted(((str(name), str(value)) for name, value in named), key=lambda one: -len(one[0])):
        text = text.replace(f"%{name}", value)
    return text
