"""Tryton's JSON-RPC: a session from a password, application errors inside HTTP 200, and values with a class name."""

from __future__ import annotations

import base64
import threading
from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx

from controlplane.connectors.contract import Context
from controlplane.connectors.http import Answer, HttpClient, with_evidence
from controlplane.connectors.paging import Seen
from controlplane.connectors.redaction import Redactor
from controlplane.errors import ConnectorError, RejectedError, UnavailableError

PAGE = 500
BUSY = ("UserWarning", "ConcurrencyException", "TimeoutException")


class Session(httpx.Auth):
    """`Authorization: Session base64(user:id:token)`, logged in when needed and anew when the server forgot us."""

    def __init__(self, http: HttpClient, path: str, user: str, password: str) -> None:
        self._http, self._path, self._user, self._password = http, path, user, password
        self._lock = threading.Lock()
        self._header: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the session; 401 means that it has run out and that nothing was carried out."""
        held = self._session(None)
        request.headers["Authorization"] = held
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            request.headers["Authorization"] = self._session(held)
            yield request

    def _session(self, refused: str | None) -> str:
        with self._lock:
            if self._header is None or self._header == refused:
                self._header = self._log_in()
            return self._header

    def _log_in(self) -> str:
        params = [self._user, {"password": self._password}, "en"]
        call = {"id": 1, "method": "common.db.login", "params": params}
        answer = self._http.send("POST", self._path, write=False, limited=False, json=call)
        try:
            user_id, token = answer.json()["result"][:2]
        except (KeyError, TypeError, ValueError):
            self._http.context.refused()
            answer.fail("answered a login without a user id and a token")
        self._http.redactor.learn(str(token))
        secret = base64.b64encode(f"{self._user}:{user_id}:{token}".encode()).decode()
        return f"Session {self._http.redactor.learn(secret)}"


class Rpc:
    """Calls to one database of a Tryton server."""

    def __init__(self, context: Context) -> None:
        password, user = context.secret("password"), context.secret("user")
        self.http = HttpClient(context, Redactor([password]))
        self._path = f"/{quote(str(context.options.get('database', '')), safe='')}/rpc/"
        self._session = Session(self.http, self._path, user, password)

    def call(self, method: str, *params: Any) -> tuple[Any, Answer]:
        """Call a read method and return (result with plain values, answer). Raises ConnectorError."""
        return self._called(method, params, write=False)

    def tell(self, method: str, *params: Any) -> tuple[Any, Answer]:
        """Call a method that changes something, in one transaction of Tryton's; as `call`, and without an answer the effect is unknown."""
        return self._called(method, params, write=True)

    def _called(self, method: str, params: tuple[Any, ...], *, write: bool) -> tuple[Any, Answer]:
        body = {"id": 1, "method": method, "params": list(params)}
        answer = self.http.send("POST", self._path, write=write, auth=self._session, json=body)
        parsed = answer.json()
        if not isinstance(parsed, dict):
            answer.fail("answered a call with something that is not an object")
        if parsed.get("error"):
            raise with_evidence(read_error(method, parsed["error"]), answer.evidence)
        if "result" not in parsed:
            answer.fail("answered a call with neither a result nor an error")
        return plain(parsed["result"]), answer

    def rows(
        self, model: str, domain: list[Any], fields: list[str], context: Mapping[str, Any], after: int = 0
    ) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        """Yield pages of records by ascending id, those after an id; a page starts after the last id, so nothing shifts between pages."""
        last, seen = after, Seen(after)
        while True:
            chosen = [*domain, ["id", ">", last]]
            order = [["id", "ASC"]]
            rows, answer = self.call(
                f"model.{model}.search_read", chosen, 0, PAGE, order, [*fields, "id"], encode(dict(context))
            )
            if not isinstance(rows, list):
                answer.fail(f"answered {model} with something that is not a list")
            yield rows, answer
            if len(rows) < PAGE:
                return
            last = rows[-1]["id"]
            seen.once(last, answer)


def read_error(method: str, error: Any) -> ConnectorError:
    """Return what an application error means; it comes as a list whose first member says what went wrong."""
    told = "; ".join(str(part) for part in error if part) if isinstance(error, list) else str(error)
    if any(name in told for name in BUSY):
        return UnavailableError(f"Tryton could not answer {method} now: {told[:400]}")
    return RejectedError(f"Tryton refused {method}: {told[:400]}")


def plain(value: Any) -> Any:
    """Turn Tryton's `{"__class__": …}` objects into datetime (UTC), date and Decimal."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("__class__")
    if kind == "datetime":
        return datetime(**{part: value[part] for part in _MOMENT}, tzinfo=UTC)
    if kind == "date":
        return date(value["year"], value["month"], value["day"])
    if kind == "Decimal":
        return Decimal(value["decimal"])
    return {name: plain(item) for name, item in value.items()}


def encode(value: Any) -> Any:
    """Turn datetime, date and Decimal into Tryton's objects."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        return {"__class__": "datetime", **{part: getattr(moment, part) for part in _MOMENT}}
    if isinstance(value, date):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return {name: encode(item) for name, item in value.items()} if isinstance(value, dict) else value


_MOMENT = ("year", "month", "day", "hour", "minute", "second", "microsecond")
