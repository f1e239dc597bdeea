"""Systems that want a session before they take anything: a CSRF token with its cookies, or a login that ends with a logout.

Each is an httpx.Auth: what it has to ask first it asks within the request that needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping

import httpx

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class CsrfToken(httpx.Auth):
    """A token that the system hands out to whoever is signed in, wanted back with its cookies on everything that changes something.

    `around` signs each request (the fetching one too). A token that the system takes no more is fetched anew, once a request.
    """

    requires_response_body = False

    def __init__(self, around: httpx.Auth, fetch_path: str, *, header: str = "x-csrf-token") -> None:
        self._around, self._path, self._header = around, fetch_path, header
        self._lock = threading.Lock()
        self._held: tuple[str, str] | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign; before a change fetch a token where none is held; fetch anew when it is refused (403 that says `Required`)."""
        if request.method in SAFE:
            yield from self._around.auth_flow(request)
            return
        held = self._held
        if held is None:
            held = yield from self._fetch(request)
        response = yield from self._sent(request, held)
        if response.status_code == httpx.codes.FORBIDDEN and _required(response, self._header):
            held = yield from self._fetch(request)
            yield from self._sent(request, held)

    def _sent(
        self, request: httpx.Request, held: tuple[str, str] | None
    ) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
        if held is not None:
            request.headers[self._header], request.headers["cookie"] = held
        return (yield from _through(self._around, request))

    def _fetch(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, tuple[str, str] | None]:
        asked = httpx.Request(
            "GET", request.url.copy_with(raw_path=self._path.encode()), headers={self._header: "Fetch", "accept": "application/json"}
        )  # fmt: skip
        response = yield from _through(self._around, asked)
        token = response.headers.get(self._header, "")
        if not response.is_success or not token:
            return None  # what is sent without is refused, and that is told
        cookies = "; ".join(one.split(";", 1)[0] for one in response.headers.get_list("set-cookie"))
        with self._lock:
            self._held = (token, cookies)
            return self._held


class LoginSession(httpx.Auth):
    """A session that is opened by signing in. `login` returns the headers that stand for it; it raises ConnectorError.

    One thread signs in, the others wait. A 401 means that the session is over: signed in anew, sent once more.
    """

    def __init__(self, login: Callable[[], Mapping[str, str]]) -> None:
        self._login = login
        self._lock = threading.Lock()
        self._held: Mapping[str, str] | None = None

    @property
    def held(self) -> Mapping[str, str] | None:
        """The headers of the open session, for signing out; None where there is none."""
        return self._held

    def forget(self) -> None:
        """Sign in anew before the next request: the system says in its own way that the session is over."""
        with self._lock:
            self._held = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the session's headers."""
        used = self._session(None)
        request.headers.update(used)
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            request.headers.update(self._session(used))
            yield request

    def _session(self, refused: Mapping[str, str] | None) -> Mapping[str, str]:
        with self._lock:
            if self._held is None or self._held is refused:
                self._held = dict(self._login())
            return self._held


def _required(response: httpx.Response, header: str) -> bool:
    return str(response.headers.get(header, "")).lower() == "required"


def _through(auth: httpx.Auth, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
    """Send a request through another flow; return the last response."""
    flow = auth.auth_flow(request)
    asked = next(flow)
    while True:
        response = yield asked
        try:
            asked = flow.send(response)
        except StopIteration:
            return response
