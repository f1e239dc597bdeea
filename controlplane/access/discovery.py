"""What an OpenID provider says of itself: its endpoints and its keys. Read when they are first needed, and kept for an hour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from controlplane.clock import Clock
from controlplane.errors import UnavailableError

TIMEOUT = 5.0
"""Wall seconds for one answer: a person is waiting."""
KEPT = 3600.0
FAILED = 5.0
"""Seconds for which a provider that did not answer is not asked again, so that nobody's waiting holds up everybody."""
REREAD = 60.0
"""Seconds after which keys may be read anew because a token names one that is not known."""
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider is asked what, and how. `names_itself`: its answers to the browser carry `iss` (RFC 9207)."""

    authorization: str
    token: str
    keys: str
    userinfo: str = ""
    sign_out: str = ""
    secret_in_body: bool = False
    names_itself: bool = False


class Provider:
    """One provider. Every method raises UnavailableError, in words for whoever wants to sign in, when it does not do its part."""

    def __init__(self, issuer: str, name: str, clock: Clock) -> None:
        self.issuer, self.name = issuer, name
        self._endpoints = _Kept(clock, self._discover)
        self._keys = _Kept(clock, self._read_keys)

    def endpoints(self) -> Endpoints:
        """Return where it is asked what."""
        return self._endpoints.get(KEPT)

    def keys(self, *, newest: bool = False) -> KeySet:
        """Return the keys that it signs with."""
        return self._keys.get(REREAD if newest else KEPT)

    def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send a request that follows no redirection; an answer of 500 and more is as good as none."""
        try:
            answer = httpx.request(method, url, timeout=TIMEOUT, trust_env=False, **options)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self.silent(str(error) or type(error).__name__) from error
        if answer.status_code >= 500:
            raise self.silent(f"{method} {url} answered {answer.status_code}")
        return answer

    def silent(self, why: str) -> UnavailableError:
        """Return what a person is told when nothing useful came back."""
        return UnavailableError(
            f"{self.name} cannot be used now ({why}); try again in a minute, or sign in with an account of this plane"
        )

    def document(self, answer: httpx.Response) -> Mapping[str, Any]:
        """Return the JSON object of an answer."""
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not answer.is_success or not isinstance(found, dict):
            raise self.silent(f"{answer.url} answered {answer.status_code} and no JSON object")
        return found

    def _discover(self) -> Endpoints:
        found = self.document(self.ask("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"))
        if found.get("issuer") != self.issuer:
            raise self.silent(f"its discovery document is that of '{found.get('issuer')}'; correct TRUEUP_OIDC_ISSUER")
        methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return Endpoints(
            self._address(found, "authorization_endpoint"),
            self._address(found, "token_endpoint"),
            self._address(found, "jwks_uri"),
            self._address(found, "userinfo_endpoint", needed=False),
            self._address(found, "end_session_endpoint", needed=False),
            secret_in_body="client_secret_basic" not in methods,
            names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        )

    def _address(self, found: Mapping[str, Any], name: str, *, needed: bool = True) -> str:
        """Return an address of the document; one that is less protected than the issuer's own is none."""
        address = str(found.get(name) or "")
        schemes = {"https", urlsplit(self.issuer).scheme}
        if address and urlsplit(address).scheme in schemes:
            return address
        if address or needed:
            raise self.silent(f"its discovery document gives '{address}' as {name}")
        return ""

    def _read_keys(self) -> KeySet:
        found = self.document(self.ask("GET", self.endpoints().keys))
        try:
            return KeySet.import_key_set({"keys": found["keys"]})
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise self.silent(f"its keys cannot be read: {error}") from error


class _Kept(Generic[Read]):
    """What was read lately, or failed just now. One thread reads, the others wait for what it finds."""

    def __init__(self, clock: Clock, read: Callable[[], Read]) -> None:
        self._clock, self._read = clock, read
        self._lock = threading.Lock()
        self._found: tuple[float, Read] | None = None
        self._failure: tuple[float, str] | None = None

    def get(self, longest: float) -> Read:
        with self._lock:
            now = self._clock.stopwatch()
            if self._found is not None and now - self._found[0] < longest:
                return self._found[1]
            if self._failure is not None and now - self._failure[0] < FAILED:
                raise UnavailableError(self._failure[1])
            try:
                found = self._read()
            except UnavailableError as error:
                self._failure = (self._clock.stopwatch(), str(error))
                raise
            self._found, self._failure = (self._clock.stopwatch(), found), None
            return found
