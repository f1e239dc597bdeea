"""How a request proves who sends it: a header that stays, OAuth 1.0a signatures, and bearer tokens that run out.

Each is an httpx.Auth, so that a retry inside the client is signed anew.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

import httpx

from controlplane.clock import Clock
from controlplane.connectors.contract import Context
from controlplane.errors import RejectedError, UnavailableError

MARGIN = timedelta(minutes=2)
"""A token is renewed so long before it runs out."""


class StaticHeader(httpx.Auth):
    """The same header on every request."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers[self._name] = self._value
        yield request


@dataclass(frozen=True, slots=True)
class OAuth1Keys:
    """The four secrets of token-based authentication."""

    consumer_key: str
    consumer_secret: str
    token_id: str
    token_secret: str


def percent(text: str) -> str:
    """Encode the way RFC 5849 §3.6 wants it: all but unreserved characters."""
    return quote(text, safe="-._~")


def base_string(method: str, url: httpx.URL, parameters: Iterable[tuple[str, str]]) -> str:
    """Return the signature base string of RFC 5849 §3.4.1; the parameters are those of the header, without realm."""
    pairs = [*url.params.multi_items(), *parameters]
    encoded = sorted((percent(name), percent(value)) for name, value in pairs)
    flat = "&".join(f"{name}={value}" for name, value in encoded)
    path = url.raw_path.split(b"?", 1)[0].decode()
    port = f":{url.port}" if url.port else ""
    return "&".join((method.upper(), percent(f"{url.scheme}://{url.host}{port}{path}"), percent(flat)))


class OAuth1(httpx.Auth):
    """OAuth 1.0a with HMAC-SHA256 (RFC 5849), with a realm where one is given, as NetSuite wants it."""

    def __init__(self, keys: OAuth1Keys, realm: str, clock: Clock) -> None:
        self._keys, self._realm, self._clock = keys, realm, clock

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign the request with a nonce of its own."""
        given = {
            "oauth_consumer_key": self._keys.consumer_key,
            "oauth_nonce": secrets.token_hex(16),
            "oauth_signature_method": "HMAC-SHA256",
            "oauth_timestamp": str(int(self._clock.now().timestamp())),
            "oauth_token": self._keys.token_id,
            "oauth_version": "1.0",
        }
        given["oauth_signature"] = self._sign(base_string(request.method, request.url, given.items()))
        realm = [f'realm="{self._realm}"'] if self._realm else []
        fields = [*realm, *(f'{name}="{percent(value)}"' for name, value in given.items())]
        request.headers["Authorization"] = f"OAuth {', '.join(fields)}"
        yield request

    def _sign(self, text: str) -> str:
        key = f"{percent(self._keys.consumer_secret)}&{percent(self._keys.token_secret)}"
        return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


class QueryKey(httpx.Auth):
    """A key as a parameter of every address; it is hidden in evidence like any secret."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the parameter."""
        request.url = request.url.copy_set_param(self._name, self._value)
        yield request


class RefreshedBearer(httpx.Auth):
    """A bearer token that is fetched when needed, kept until shortly before it runs out, and fetched anew after a 401.

    `fetch` returns the token and when it runs out; it raises ConnectorError. One thread fetches, the others wait. A token that lives
    shortly is renewed after half of its life.
    """

    def __init__(
        self,
        fetch: Callable[[], tuple[str, datetime]],
        clock: Clock,
        *,
        header: str = "Authorization",
        scheme: str = "Bearer ",
    ) -> None:
        self._fetch, self._clock, self._header, self._scheme = fetch, clock, header, scheme
        self._lock = threading.Lock()
        self._held: tuple[str, datetime] | None = None
        """The token, and from when on it is renewed."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token; a 401 means that the request was not taken, so it is sent once more with a fresh one."""
        token = self._token()
        request.headers[self._header] = f"{self._scheme}{token}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            request.headers[self._header] = f"{self._scheme}{self._token(refused=token)}"
            yield request

    def _token(self, refused: str | None = None) -> str:
        with self._lock:
            if self._held is None or self._held[0] == refused or self._clock.now() >= self._held[1]:
                token, until = self._fetch()
                self._held = (token, until - min(MARGIN, (until - self._clock.now()) / 2))
            return self._held[0]


@contextmanager
def signing_in(context: Context) -> Iterator[None]:
    """Within it a refusal is one of our credentials, not of the document that needs them: the document waits (UnavailableError)."""
    try:
        yield
    except RejectedError as error:
        context.refused()
        told = UnavailableError(f"{error}; it did not let us in: check the secrets of the System policy")
        told.evidence = error.evidence
        raise told from error


def signed_by(secret: str, body: bytes, signature: str | None) -> bool:
    """Whether the signature is the base64 HMAC-SHA256 of the raw body, by one of the secrets that `fits` takes."""
    return fits(secret, [signature or ""], lambda key: base64.b64encode(hmac.new(key, body, hashlib.sha256).digest()))


MADE = 16
"""Characters that a secret has at least which a system made: vendors' have 20 and more."""


def fits(secret: str, given: Iterable[str], proof: Callable[[bytes], bytes]) -> bool:
    """Whether one of those that were given is the proof by a secret, compared in constant time.

    While a secret is changed there are two, divided by a space or a line end, and the proof by either is taken. The words of a
    passphrase are no secrets by themselves: there are two only where both are as long as a system makes them.
    """
    parts = secret.split()
    both = parts if len(parts) == 2 and all(len(part) >= MADE for part in parts) else []
    keys = both or ([secret] if parts else [])  # nothing is proven by a secret that says nothing
    wanted, told = [proof(key.encode()) for key in keys], [one.encode(errors="replace") for one in given]
    # all are compared, so that the time taken tells nothing
    return any([hmac.compare_digest(one, other) for one in wanted for other in told])  # noqa: C419
