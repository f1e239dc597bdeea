"""Vendure's Admin API: a session from a login whose token comes in a header, and refusals as members of a union inside HTTP 200."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controlplane.connectors.contract import Context
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.paging import News
from controlplane.connectors.redaction import Redactor
from controlplane.connectors.sessions import LoginSession
from controlplane.errors import ConnectorError, UnavailableError

PATH = "/admin-api"
PAGE = 100
TOKEN = "vendure-auth-token"  # noqa: S105 - the name of a header
CHANNEL = "vendure-token"
LOGIN = """
mutation($user: String!, $password: String!) {
  login(username: $user, password: $password) { __typename ... on ErrorResult { errorCode message } } }"""


class Api:
    """One shop's Admin API."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._user, self._password = context.secret("user"), context.secret("password")
        channel = str(context.options.get("channel", ""))
        self.http = HttpClient(context, Redactor([self._password]), headers={CHANNEL: channel} if channel else None)
        self._session = LoginSession(self._log_in)
        self._graphql = GraphqlClient(self.http, PATH, self._read_errors, self._session)

    def ask(self, document: str, /, **variables: Any) -> tuple[Any, Answer]:
        """Ask a query of one field; return (what it holds, answer). Raises ConnectorError."""
        data, answer = self._graphql.ask(document, **variables)
        return _only(data, answer), answer

    def tell(self, document: str, /, **variables: Any) -> tuple[Any, Answer, str]:
        """Send a mutation of one field; return (what it holds, answer, the refusal, empty where it was carried out)."""
        data, answer = self._graphql.tell(document, **variables)
        found = _only(data, answer)
        refused = isinstance(found, dict) and found.get("errorCode")
        more = str(found.get("transitionError") or found.get("fulfillmentHandlerError") or "") if refused else ""
        return found, answer, f"{found['errorCode']}: {found.get('message', '')} {more}".strip() if refused else ""

    def tell_each(self, field: str, kind: str, chosen: str, inputs: Sequence[Any]) -> list[Any]:
        """Send one mutation that carries out a field for each of the inputs, one after another, each a transaction of the shop's.

        Return what came of each. Raises ConnectorError; then some may have been carried out.
        """
        names = [f"a{at}" for at in range(len(inputs))]
        given = ", ".join(f"${name}: {kind}" for name in names)
        told = " ".join(f"{name}: {field}(input: ${name}) {{ {chosen} }}" for name in names)
        data, answer = self._graphql.tell(f"mutation({given}) {{ {told} }}", **dict(zip(names, inputs, strict=True)))
        if not all(data.get(name) for name in names):
            answer.fail(f"answered {len(names)} times {field} with less")
        return [data[name] for name in names]

    def pages(self, document: str, /, **variables: Any) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        """Yield the pages of a list that is sorted by id: what is added meanwhile may be repeated, nothing is left out."""
        skip, news = 0, News()
        while True:
            found, answer = self.ask(document, skip=skip, take=PAGE, **variables)
            try:
                items, total = list(found["items"]), int(found["totalItems"])
            except (KeyError, TypeError, ValueError):
                answer.fail("answered a list without items and totalItems")
            yield items, answer
            skip += len(items)
            if not items or skip >= total:
                return
            news.heard(items, answer)

    def _log_in(self) -> Mapping[str, str]:
        asked = {"query": LOGIN, "variables": {"user": self._user, "password": self._password}}
        answer = self.http.send("POST", PATH, write=False, limited=False, json=asked)
        token = answer.headers.get(TOKEN, "")
        told = answer.json()
        found = (told.get("data") or {}).get("login") or {} if isinstance(told, dict) else {}
        if found.get("errorCode") or not token:
            self._context.refused()
            raise UnavailableError(
                f"{self._context.system} refused the login: {found.get('message') or 'no token came'}; "
                "check the secrets of the System policy"
            )
        return {"Authorization": f"Bearer {self.http.redactor.learn(token)}"}

    def _read_errors(
        self, errors: list[dict[str, Any]], _extensions: Mapping[str, Any], _wrote: bool
    ) -> ConnectorError | None:
        """A session that ran out is told as forbidden, before anything is carried out; the next request opens another."""
        if any((error.get("extensions") or {}).get("code") == "FORBIDDEN" for error in errors):
            self._session.forget()
            return UnavailableError(
                f"{self._context.system}: the session is over, or the role of '{self._user}' may not do this; "
                "should it stay so, give the role the permission in Vendure"
            )
        return None


def _only(data: Mapping[str, Any], answer: Answer) -> Any:
    if not data:
        answer.fail("answered no field, and one was asked for")
    return next(iter(data.values()))
