"""AvaTax's API: Basic account and licence key, error bodies, lists by $top and $skip with `@nextLink`."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from controlplane.connectors.auth import StaticHeader
from controlplane.connectors.contract import Context
from controlplane.connectors.http import DEFAULT_WAIT, Answer, HttpClient, retry_after, with_evidence
from controlplane.connectors.paging import by_next_url
from controlplane.connectors.records import loads
from controlplane.connectors.redaction import Redactor
from controlplane.errors import RejectedError, ThrottledError

PAGE = 1000
REFUSALS = (400, 403, 404, 409, 422, 429)
SLOW_DOWN = frozenset({"RateLimitExceededError", "ConcurrentRequestLimitExceeded", "RequestLimitExceeded"})


class Api:
    """One account. Everything that is asked here changes nothing there."""

    def __init__(self, context: Context) -> None:
        self._context = context
        account, key = context.secret("account_id"), context.secret("license_key")
        basic = base64.b64encode(f"{account}:{key}".encode()).decode()
        self.http = HttpClient(
            context,
            Redactor([key, basic]),
            headers={"X-Avalara-Client": "Trueup; 1; HTTP; 1; plane", "Accept": "application/json"},
        )
        self._auth = StaticHeader("Authorization", f"Basic {basic}")

    def ask(self, method: str, path: str, *, owed: bool = False, **content: Any) -> Answer:
        """Read. A refusal is told in AvaTax's words: code, message, and what they refer to. Raises ConnectorError.

        `owed`: it is asked as a delivery, which is unknown until it is answered.
        """
        answer = self.http.send(method, path, write=owed, auth=self._auth, accept=REFUSALS, **content)
        if answer.status in REFUSALS:
            self._refuse(answer)
        return answer

    def rows(self, path: str, **asked: str) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        """Yield the pages of a list; `asked` are its `$…` parameters."""
        first = f"{path}?" + urlencode(
            {f"${name}": value for name, value in asked.items()} | {"$top": str(PAGE)}, quote_via=quote
        )
        for answer in by_next_url(
            lambda next_one: self.ask("GET", next_one or first), self._context.endpoint, _next, _listed
        ):
            yield _listed(answer), answer

    def _refuse(self, answer: Answer) -> NoReturn:
        error = _error(answer)
        system, code = self._context.system, str(error.get("code") or "no code")
        told = f"{system} answered {answer.status} {code}: {error.get('message') or 'no message'}{_details(error)}"
        told = self.http.redactor.text(told)
        if answer.status == 429 or code in SLOW_DOWN:
            wait = (
                retry_after(answer.headers, self._context.clock.now())
                if "retry-after" in answer.headers
                else DEFAULT_WAIT
            )
            raise with_evidence(ThrottledError(told, wait), answer.evidence)
        raise with_evidence(RejectedError(told), answer.evidence)


def exact(answer: Answer) -> dict[str, Any]:
    """Return the body with its numbers as they are written: money passes through no binary fraction. Raises UnreadableError."""
    try:
        found = loads(answer.content, parse_float=Decimal)
    except ValueError:
        answer.fail(f"answered {answer.status} with {len(answer.content)} bytes that are not JSON")
    if not isinstance(found, dict):
        answer.fail("answered something that is no object")
    return found


def _listed(answer: Answer) -> list[dict[str, Any]]:
    found = exact(answer).get("value")
    if not isinstance(found, list):
        answer.fail("answered a list without value")
    return found


def _next(answer: Answer) -> str | None:
    told = exact(answer).get("@nextLink")
    return str(told) if told else None


def _error(answer: Answer) -> Mapping[str, Any]:
    try:
        told = loads(answer.content)
    except ValueError:
        return {"message": f"{len(answer.content)} bytes that are not JSON"}
    error = told.get("error") if isinstance(told, dict) else None
    return error if isinstance(error, dict) else {}


def _details(error: Mapping[str, Any]) -> str:
    details = error.get("details")
    rows = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    told = [
        f"{one.get('description') or one.get('message')}" + (f" ({one['refersTo']})" if one.get("refersTo") else "")
        for one in rows
    ]
    return f" [{'; '.join(told[:5])}]" if told else ""
