"""Speak to the running plane over its API, as the command line does: the embedded store belongs to one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from controlplane.errors import (
    BadInputError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OverloadedError,
    TrueupError,
    UnavailableError,
)
from controlplane.settings import Settings, load_settings

TIMEOUT = 120.0
"""Wall seconds that the plane may take to answer: a change is simulated on weeks of history before it is in review."""
TOKEN_FILE = "cli-token"  # noqa: S105 - the name of a file
REFUSALS: dict[int, type[TrueupError]] = {
    400: BadInputError, 403: ForbiddenError, 404: NotFoundError, 409: ConflictError, 412: ConflictError,
    413: BadInputError, 415: BadInputError, 422: BadInputError, 428: BadInputError,
}  # fmt: skip
"""Status -> the error that the plane raised, in its own words."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who asks with a password, and not with the token of the machine."""

    name: str
    password: str = field(repr=False)


class PlaneClient:
    """A plane, found by the settings, and our token for it; or a person, who signs in for the first call and out at `close`.

    Every call raises UnavailableError when no plane runs here, ForbiddenError when it does not take our token or password,
    and what the plane itself refused (NotFoundError, ConflictError, BadInputError, ForbiddenError, OverloadedError) in its own
    words.
    """

    def __init__(self, settings: Settings | None = None, instead: str = "", person: Person | None = None) -> None:
        """`instead`: what else the caller can do when no plane answers."""
        self.settings = settings or load_settings()
        self._instead = f", or {instead}" if instead else ""
        self._person = person
        self._session: httpx.Client | None = None
        self._seen: dict[str, str] = {}
        """Resource -> ETag of what was read of it, or made: what is done to it then is done to that."""

    def __enter__(self) -> PlaneClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Sign the person out."""
        if self._session is not None:
            with suppress(httpx.HTTPError):
                self._session.post("/logout")
            self._session.close()
            self._session = None

    def get(self, resource: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return what `GET /api/v1/<resource>` answers; what is None in `query` is left out."""
        return self._ask("GET", resource, query=query)

    def pages(self, resource: str, rows: str, query: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows of a list that is given in parts, of all of them."""
        cursor = None
        while True:
            page = self.get(resource, {**(query or {}), "cursor": cursor})
            yield from page[rows]
            cursor = page["next"]
            if cursor is None:
                return

    def post(self, resource: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return what `POST /api/v1/<resource>` answers to a JSON body."""
        return self._ask("POST", resource, body=body or {})

    def stream(self, resource: str) -> Iterator[bytes]:
        """Yield what `GET /api/v1/<resource>` answers, piece by piece: it may be long."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        url = f"{self.settings.url}/api/v1/{resource}"
        try:
            with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, trust_env=False) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._refusal(answer)
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            why = type(error).__name__
            raise UnavailableError(f"no plane answers at {self.settings.url} ({why}); {self._remedy()}") from None

    def _ask(
        self,
        method: str,
        resource: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        headers: dict[str, str] = {}
        if method != "GET" and (seen := self._seen.get("/".join(resource.split("/")[:2]))):
            headers["If-Match"] = seen
        url = f"{self.settings.url}/api/v1/{resource}"
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        # httpx takes an empty mapping for "no query at all", and drops what the address holds
        given: dict[str, Any] = {"params": asked} if asked else {}
        try:
            answer = self._send(method, url, headers, json=body, **given)
        except httpx.HTTPError as error:
            why = type(error).__name__
            raise UnavailableError(f"no plane answers at {self.settings.url} ({why}); {self._remedy()}") from None
        if answer.is_success:
            self._remember(answer)
            return self._json(answer)
        raise self._refusal(answer)

    def _send(self, method: str, url: str, headers: Mapping[str, str], **given: Any) -> httpx.Response:
        if self._person is None:
            ours = {"Authorization": f"Bearer {self._token()}", **headers}
            return httpx.request(method, url, headers=ours, timeout=TIMEOUT, trust_env=False, **given)
        if self._session is None:
            self._session = self._signed_in(self._person)
        return self._session.request(method, url, headers=dict(headers), **given)

    def _signed_in(self, person: Person) -> httpx.Client:
        client = httpx.Client(base_url=self.settings.url, timeout=TIMEOUT, trust_env=False)
        answer = client.post("/login", data={"name": person.name, "password": person.password})
        if answer.status_code == 429:
            client.close()
            raise self._refusal(answer)
        if answer.status_code != 303 or "_csrf_token" not in client.cookies:
            client.close()
            raise ForbiddenError(
                f"the plane at {self.settings.url} does not know '{person.name}' by this password; correct one of them, "
                "or wait a quarter of an hour where it was wrong too often"
            )
        client.headers["X-CSRFToken"] = client.cookies["_csrf_token"]
        return client

    def _remember(self, answer: httpx.Response) -> None:
        """Keep the ETag of a thing under its own address, whichever way it was answered."""
        address = answer.headers.get("Location", answer.url.path)
        if "ETag" in answer.headers:
            self._seen[address.partition("/api/v1/")[2]] = answer.headers["ETag"]

    def _token(self) -> str:
        path = self.settings.home / TOKEN_FILE
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            home = self.settings.home
            raise UnavailableError(f"no plane has run in {home} ({path.name} is missing); {self._remedy()}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ForbiddenError(f"{path} cannot be read ({error}); become the user that the plane runs as") from None

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise UnavailableError(
                f"what answers at {answer.url} is not a plane; look at TRUEUP_HOST and TRUEUP_PORT"
            ) from None

    def _refusal(self, answer: httpx.Response) -> TrueupError:
        try:
            detail = str(answer.json().get("detail", ""))
        except (ValueError, AttributeError):
            detail = ""
        url, status = self.settings.url, answer.status_code
        if status == 401:
            path = self.settings.home / TOKEN_FILE
            return ForbiddenError(f"the plane at {url} does not take the token in {path}; start the plane anew")
        if status in (429, 503) and "Retry-After" in answer.headers:
            return OverloadedError(
                detail or f"the plane at {url} is busy; try again", float(answer.headers["Retry-After"])
            )
        if status == 404:
            return NotFoundError(detail or f"the plane at {url} has no {answer.url.path}")
        if status in REFUSALS:
            return REFUSALS[status](detail or f"the plane at {url} answered {status}")
        return UnavailableError(f"the plane at {url} answered {status}: {detail or 'no reason given'}")

    def _remedy(self) -> str:
        return f"start one with `trueup up`, name another by TRUEUP_HOME, TRUEUP_HOST and TRUEUP_PORT{self._instead}"
