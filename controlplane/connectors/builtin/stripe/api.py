"""Stripe's API: a secret key, a pinned version, lists by `starting_after`, forms, and keys that remember what was answered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.connectors.auth import StaticHeader
from controlplane.connectors.contract import Context
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.paging import by_token
from controlplane.connectors.records import loads
from controlplane.connectors.redaction import Redactor

VERSION = "2020-03-02"
PAGE = 100
LONGEST = 255
"""Characters of an Idempotency-Key."""
REFUSALS = (400, 402, 403, 404, 409, 424, 500, 502, 503, 504)


class Api:
    """One account."""

    def __init__(self, context: Context) -> None:
        key = context.secret("secret_key")
        version = str(context.options.get("api_version", VERSION))
        self.http = HttpClient(context, Redactor([key]), headers={"Stripe-Version": version})
        self._auth = StaticHeader("Authorization", f"Bearer {key}")

    def ask(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Read. Raises ConnectorError."""
        return self.http.send("GET", path, write=False, auth=self._auth, params=dict(params or {}))

    def read(self, path: str, params: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], Answer]:
        """Read one object. Raises ConnectorError."""
        answer = self.ask(path, params)
        found = answer.json()
        if not isinstance(found, dict):
            answer.fail("answered something that is no object")
        return found, answer

    def rows(self, path: str, asked: Mapping[str, Any]) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        """Yield the pages of a list, newest first."""

        def fetch(after: str | None) -> Answer:
            return self.ask(path, {**asked, "limit": PAGE} | ({"starting_after": after} if after else {}))

        for answer in by_token(fetch, _last, _rows):
            yield _rows(answer), answer

    def tell(self, path: str, form: Mapping[str, str], key: str) -> Answer:
        """Change something under a key. Refusals are returned: what becomes of them depends on whether the key remembered them."""
        named = key if len(key) <= LONGEST else hashlib.sha256(key.encode()).hexdigest()
        headers = {"Idempotency-Key": named}
        return self.http.send(
            "POST", path, write=True, auth=self._auth, data=dict(form), headers=headers, accept=REFUSALS
        )


def remembered(answer: Answer) -> bool:
    """Say whether an answer is what an earlier request under the key was answered, and not what is so now."""
    return str(answer.headers.get("idempotent-replayed", "")).lower() == "true"


def error_of(answer: Answer) -> tuple[str, str]:
    """Return (type, code) of an error; empty where the answer has none."""
    try:
        told = loads(answer.content)
    except ValueError:  # of a proxy, say
        return "", ""
    error = told.get("error") if isinstance(told, dict) else None
    return (str(error.get("type") or ""), str(error.get("code") or "")) if isinstance(error, dict) else ("", "")


def _rows(answer: Answer) -> list[dict[str, Any]]:
    found = answer.json()
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        answer.fail("answered a list without data")
    return list(found["data"])


def _last(answer: Answer) -> str | None:
    rows, more = _rows(answer), bool(answer.json().get("has_more"))
    if more and not rows:
        answer.fail("promises another page after one without a row to go on from")
    return str(rows[-1].get("id")) if more else None
