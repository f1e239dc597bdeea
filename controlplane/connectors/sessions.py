"""Systems that want a session before they take anything: a CSRF token with its cookies, or a login that ends with a logout.

Each is an httpx.Auth: what it has to ask first it asks within the request that needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress

import httpx

from controlplane.errors import ConnectorError

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def unauthorized(response: httpx.Response) -> bool:
    """Say whether the answer is a 401."""
    return response.status_code == httpx.codes.UNAUTHORIZED


class CsrfToken(httpx.Auth):
    """A token that the system hands out to whoever is signed in, wanted back with its cookies on everything that changes something.

    `around` signs each request (the fetching one too). `fetch_path` begins at the root of the host. A token that the system takes no
    more is fetched anew, once a request. Where fetching is refused, that refusal is the answer, and nothing was changed.
    """

    def __init__(self, around: httpx.Auth, fetch_path: str, *, header: str = "x-csrf-token") -> None:
        self._around, self._path, self._header = around, fetch_path, header
        self._lock = threading.Lock()
        self._held: Mapping[str, str] | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign; before a change fetch a token where none is held; fetch anew when it is refused (403 that says `Required`)."""
        if request.method in SAFE:
            yield from self._around.auth_flow(request)
            return
        if self._held is None and not (yield from self._fetched(request)):
            return
        response = yield from self._sent(request)
        refused = response.status_code == httpx.codes.FORBIDDEN and _required(response, self._header)
        if refused and (yield from self._fetched(request)):
            yield from self._sent(request)

    def _sent(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
        request.headers.update(self._held or {})
        return (yield from _through(self._around, request))

    def _fetched(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, bool]:
        """Fetch a token and hold it. A system that answers without one wants none. False: it was refused, and nothing more is sent."""
        asked = httpx.Request(
            "GET", request.url.copy_with(raw_path=self._path.encode()), extensions=request.extensions,
            headers={self._header: "Fetch", "accept": "application/json", "user-agent": request.headers.get("user-agent", "")},
        )  # fmt: skip
        response = yield from _through(self._around, asked)
        if not response.is_success:
            return False
        cookies = "; ".join(one.split(";", 1)[0] for one in response.headers.get_list("set-cookie"))
        given = {self._header: response.headers.get(self._header, ""), "cookie": cookies}
        with self._lock:
            self._held = {name: value for name, value in given.items() if value}
        return True


class LoginSession(httpx.Auth):
    """A session that is opened by signing in. `login` returns the headers that stand for it; it raises ConnectorError.

    One thread signs in, the others wait. When the session is `over` (401, unless told otherwise): signed in anew, sent once more.
    `logout` is given the headers when the connector is closed, for vendors who count open sessions.
    """

    def __init__(
        self, login: Callable[[], Mapping[str, str]], *, over: Callable[[httpx.Response], bool] = unauthorized,
        logout: Callable[[Mapping[str, str]], object] | None = None,
    ) -> None:  # fmt: skip
        self._login, self._over, self._logout = login, over, logout
        self._lock = threading.Lock()
        self._held: Mapping[str, str] | None = None

    def forget(self) -> None:
        """Sign in anew before the next request: the system says in its own way that the session is over."""
        with self._lock:
            self._held = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the session's headers."""
        used = self._session(None)
        request.headers.update(used)
        response = yield request
        if self._over(response):
            request.headers.update(self._session(used))
            yield request

    def close(self) -> None:
        """Sign out where a session is open. That it cannot be said is no error: the session runs out by itself."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None and self._logout:
            with suppress(ConnectorError):
                self._logout(held)

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
