"""The Selling Partner API: a token of Login with Amazon in a header of its own, and a token bucket for each operation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controlplane.connectors.auth import RefreshedBearer
from controlplane.connectors.contract import Context
from controlplane.connectors.http import Answer, HttpClient, with_evidence
from controlplane.connectors.oauth2 import refresh, token_client
from controlplane.connectors.pace import Pace
from controlplane.connectors.paging import Rows
from controlplane.connectors.records import loads
from controlplane.connectors.redaction import Redactor
from controlplane.errors import ThrottledError, UnavailableError

LOGIN = "https://api.amazon.com"
TOKEN = "/auth/o2/token"  # noqa: S105 - a path
LIMIT = "x-amzn-ratelimit-limit"
SLOWEST = 1 / 180
"""Requests a second of the operation with the smallest bucket, for where an answer names no rate."""
PACES = {"summaries": 2.0, "search": 5.0, "listing": 5.0, "patch": 5.0}
"""Requests a second of what is asked page by page, or once for each article, as Amazon publishes it: there a walk waits for its turn."""


class Api:
    """One seller's account in one marketplace."""

    def __init__(self, context: Context) -> None:
        secrets = [context.secret(name) for name in ("client_id", "client_secret", "refresh_token")]
        client_id, client_secret, refresh_token = secrets
        redactor = Redactor(secrets[1:])
        self.http = HttpClient(context, redactor)
        self._paces = {name: Pace(replace(context, rate=rate)) for name, rate in PACES.items()}
        self._login = token_client(context, redactor, str(context.options.get("login_endpoint", LOGIN)))
        fetch = refresh(self._login, TOKEN, refresh_token, client_id, client_secret)
        self._auth = RefreshedBearer(self._learning(fetch), context.clock, header="x-amz-access-token", scheme="")

    def _learning(self, fetch: Any) -> Any:
        def fetched() -> Any:
            token, until = fetch()
            return self.http.redactor.learn(token), until

        return fetched

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
        self._login.close()

    def ask(self, path: str, *, accept: tuple[int, ...] = (), paced: str = "", **params: Any) -> Answer:
        """Read, at the pace of `PACES` where one is named. Raises ConnectorError."""
        if paced:
            self._paces[paced].step()
        given = {name: value for name, value in params.items() if value is not None}
        return self._sent("GET", path, accept, write=False, params=given)

    def prepare(self, path: str, body: Any) -> Answer:
        """Post what changes nothing by itself. Raises ConnectorError."""
        return self._sent("POST", path, (), write=False, json=body)

    def tell(self, method: str, path: str, body: Any, *, paced: str = "", **params: Any) -> Answer:
        """Change something, at the pace of `PACES` where one is named. Raises ConnectorError."""
        if paced:
            self._paces[paced].step()
        return self._sent(method, path, (), write=True, json=body, params=params)

    def _sent(self, method: str, path: str, accept: tuple[int, ...], *, write: bool, **content: Any) -> Answer:
        answer = self.http.send(method, path, write=write, auth=self._auth, accept=(*accept, 403, 429), **content)
        errors = _errors(answer)
        if answer.status == 429 and "retry-after" not in answer.headers:
            throttled = ThrottledError(f"{self.http.context.system} throttles: {errors or 429}", _wait(answer))
            raise with_evidence(throttled, answer.evidence)
        if answer.status == 403 and errors:  # of a token, of a role, or of the seller's consent: never of the document
            self.http.context.refused()
            told = (
                f"{self.http.context.system} forbids it: {errors}; check the secrets, and the roles of the application"
            )
            raise with_evidence(UnavailableError(told), answer.evidence)
        if answer.status in (403, 429) and answer.status not in accept:
            self.http.refuse(answer)
        return answer


def listed(name: str, within: str = "") -> Rows:
    """Return what finds the rows of an answer under a name, within another one if given; where there are none, nothing."""

    def rows(answer: Answer) -> list[Any]:
        told = answer.json()
        held = told.get(within) if within and isinstance(told, dict) else told
        found = held.get(name) if isinstance(held, dict) else None
        return found if isinstance(found, list) else []

    return rows


def _wait(answer: Answer) -> float:
    """The bucket is empty: it gives one more after this time. The rate is told, the size of the bucket never."""
    try:
        rate = float(answer.headers.get(LIMIT, SLOWEST))
        return 1 / rate if rate > 0 else 1 / SLOWEST
    except ValueError:
        return 1 / SLOWEST


def _errors(answer: Answer) -> str:
    """Return what Amazon says in its own way; empty where it was not Amazon that said it."""
    try:
        told = [f"{one['code']}: {one.get('message', '')}" for one in loads(answer.content)["errors"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""
    return "; ".join(told)
