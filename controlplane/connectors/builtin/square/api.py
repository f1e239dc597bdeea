"""Square's API: one bearer token, a pinned version, cursors in bodies; and the catalogue, which tells ids from SKUs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from controlplane.connectors.auth import StaticHeader
from controlplane.connectors.contract import Context
from controlplane.connectors.http import Answer, HttpClient, with_evidence
from controlplane.connectors.paging import by_token
from controlplane.connectors.records import loads
from controlplane.connectors.redaction import Redactor
from controlplane.errors import BadInputError, RejectedError

VERSION = "2026-01-22"
FEW = 500
"""Objects that one request asks for."""


class Api:
    """One seller's account. Keeps which catalogue object has which SKU."""

    def __init__(self, context: Context) -> None:
        token = context.secret("access_token")
        version = str(context.options.get("api_version", VERSION))
        self._context = context
        self.http = HttpClient(context, Redactor([token]), headers={"Square-Version": version})
        self._auth = StaticHeader("Authorization", f"Bearer {token}")
        self._skus: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def ask(self, method: str, path: str, **content: Any) -> Answer:
        """Read. Raises ConnectorError."""
        return self.http.send(method, path, write=False, auth=self._auth, **content)

    def tell(self, path: str, body: Any) -> tuple[Answer, list[dict[str, Any]]]:
        """Change something; return (answer, errors), errors with a 400 only. Raises ConnectorError."""
        answer = self.http.send("POST", path, write=True, auth=self._auth, json=body, accept=(400,))
        if answer.status != 400:
            if not isinstance(answer.json(), dict):
                answer.fail("answered a write with something that is not an object")
            return answer, []
        try:
            found = loads(answer.content)
            return answer, [dict(one) for one in found["errors"]]
        except (KeyError, TypeError, ValueError):
            told = answer.content[:200].decode(errors="replace")
            raise with_evidence(
                RejectedError(f"{self._context.system} answered 400: {told}"), answer.evidence
            ) from None

    def rows(self, path: str, body: dict[str, Any], name: str) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        """Yield the pages of a list that is asked for by a body."""
        fetch: Callable[[str | None], Answer] = partial(self._page, path, body)
        for answer in by_token(fetch, _cursor, lambda answer: rows_in(answer, name)):
            yield rows_in(answer, name), answer

    def listed(self, path: str, asked: dict[str, Any], name: str) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        """Yield the pages of a list that is asked for by parameters."""

        def fetch(cursor: str | None) -> Answer:
            return self.ask("GET", path, params={**asked, "cursor": cursor} if cursor else asked)

        for answer in by_token(fetch, _cursor, lambda answer: rows_in(answer, name)):
            yield rows_in(answer, name), answer

    def _page(self, path: str, body: dict[str, Any], cursor: str | None) -> Answer:
        return self.ask("POST", path, json={**body, "cursor": cursor} if cursor else body)

    # --- the catalogue ---
    def sku_of(self, identity: str) -> str:
        """Return our SKU of a catalogue object. Raises BadInputError where it has none, ConnectorError."""
        self.learn([identity])
        sku = self._skus.get(identity, "")
        if not sku:
            raise BadInputError(
                f"the catalogue object {identity} has no SKU at Square; give its variation one, and replay"
            )
        return self._context.codes.ours("sku", sku)

    def learn(self, identities: Iterable[str]) -> None:
        """Look up the SKUs of objects that are not known yet, those that were deleted included."""
        wanted = sorted({one for one in identities if one and one not in self._skus})
        for at in range(0, len(wanted), FEW):
            asked = {"object_ids": wanted[at : at + FEW], "include_deleted_objects": True}
            answer = self.ask("POST", "/v2/catalog/batch-retrieve", json=asked)
            for one in rows_in(answer, "objects"):
                variation = one.get("item_variation_data")
                with self._lock:
                    self._skus[str(one.get("id"))] = str(
                        (variation if isinstance(variation, dict) else {}).get("sku") or ""
                    )

    def known_sku(self, identity: str) -> str | None:
        """Return our SKU of a catalogue object that was looked up; None for one without."""
        sku = self._skus.get(identity)
        return self._context.codes.ours("sku", sku) if sku else None

    def id_of(self, sku: str) -> str:
        """Return the variation that has our SKU. Raises RejectedError when none or several have it."""
        theirs = self._context.codes.theirs("sku", sku)
        if theirs in self._ids:
            return self._ids[theirs]
        query = {"exact_query": {"attribute_name": "sku", "attribute_value": theirs}}
        asked = {"object_types": ["ITEM_VARIATION"], "query": query}
        found = [row for rows, _ in self.rows("/v2/catalog/search", asked, "objects") for row in rows]
        ids = [str(row["id"]) for row in found if (row.get("item_variation_data") or {}).get("sku") == theirs]
        if len(ids) != 1:
            raise RejectedError(
                f"Square has {len(ids)} variations with the SKU {theirs}; correct its catalogue, or map the SKU"
            )
        with self._lock:
            self._ids[theirs] = ids[0]
        return ids[0]


def rows_in(answer: Answer, name: str) -> list[dict[str, Any]]:
    """Return the objects that an answer lists under a name; nothing there is an empty list. Raises UnreadableError."""
    told = answer.json()
    found = (told.get(name) or []) if isinstance(told, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        answer.fail(f"answered {name} that are no list of objects")
    return found


def _cursor(answer: Answer) -> str | None:
    found = answer.json()
    if not isinstance(found, dict):
        answer.fail("answered a list with something that is not an object")
    return found.get("cursor")


def whole(text: Any, what: str) -> int:
    """Return a quantity, which Square writes as a decimal text, as whole units. Raises BadInputError, ValueError."""
    try:
        return int(str(text))
    except ValueError:
        number = float(str(text))
        if not number.is_integer():
            raise BadInputError(f"{what} is {text}; stock and sales are counted in whole units", "quantity") from None
        return int(number)
