"""Tokens of OAuth 2 (RFC 6749, RFC 7523): what to ask a token endpoint, and what its answer means.

Each function returns what `auth.RefreshedBearer` fetches by: nothing is asked until a request needs a token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from controlplane.clock import Clock
from controlplane.connectors.auth import signing_in
from controlplane.connectors.contract import Context
from controlplane.connectors.http import HttpClient
from controlplane.connectors.redaction import Redactor
from controlplane.errors import SettingsError

Fetch = Callable[[], tuple[str, datetime]]
"""Gets a token, and when it runs out. Raises ConnectorError."""
ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
NOTHING: Mapping[str, str] = MappingProxyType({})
USUAL_LIFE = 3600
"""Seconds that a token is good for where the endpoint does not say."""
ASSERTED_FOR = timedelta(minutes=5)


def token_client(context: Context, redactor: Redactor, address: str) -> HttpClient:
    """Return a client of a token endpoint that has an address of its own, with the system's limits and door."""
    return HttpClient(replace(context, endpoint=address), redactor)


def client_credentials(
    http: HttpClient, path: str, client_id: str, client_secret: str, scope: str = "", *, in_body: bool = False,
    more: Mapping[str, str] = NOTHING,
) -> Fetch:  # fmt: skip
    """Ask as the client itself (RFC 6749 §4.4), known by HTTP Basic, or `in_body`. `more`: `audience`, `resource` …"""
    fields = {"grant_type": "client_credentials", **more} | ({"scope": scope} if scope else {})
    if in_body:
        told = {**fields, "client_id": client_id, "client_secret": client_secret}
        return lambda: _ask(http, path, told, None)
    # RFC 6749 §2.3.1: both are form-encoded before they are put together
    basic = httpx.BasicAuth(quote_plus(client_id), quote_plus(client_secret))
    return lambda: _ask(http, path, fields, basic)


def refresh(http: HttpClient, path: str, refresh_token: str, client_id: str, client_secret: str) -> Fetch:
    """Ask by a refresh token (RFC 6749 §6), with the client's credentials in the body as most shops' endpoints want them.

    A new refresh token that comes with the answer is used from then on, in this process: a vendor whose refresh tokens are good for
    one use only leaves the secret stale, and the next process out.
    """
    held = [refresh_token]

    def fetch() -> tuple[str, datetime]:
        fields = {
            "grant_type": "refresh_token", "refresh_token": held[0], "client_id": client_id, "client_secret": client_secret,
        }  # fmt: skip
        return _ask(http, path, fields, None, lambda told: held.__setitem__(0, http.redactor.learn(told)))

    return fetch


def signed_client(
    http: HttpClient, path: str, clock: Clock, client_id: str, key: str, key_id: str, audience: str, *,
    algorithm: str = "PS256", scope: str = "",
) -> Fetch:  # fmt: skip
    """Ask as the client itself, known by a JWT that its private key (PEM) signed (RFC 7523 §2.2). Raises SettingsError for no key."""
    private = _private(key, algorithm)

    def fetch() -> tuple[str, datetime]:
        now = clock.now()
        claims = {"iss": client_id, "aud": audience, "iat": int(now.timestamp()), "exp": int((now + ASSERTED_FOR).timestamp())}  # fmt: skip
        if scope:
            claims["scope"] = scope
        claims |= {"sub": client_id, "jti": uuid4().hex}
        assertion = _sign(claims, private, key_id, algorithm)
        return _ask(http, path, {
            "grant_type": "client_credentials", "client_assertion_type": CLIENT_ASSERTION, "client_assertion": assertion,
        }, None)  # fmt: skip

    return fetch


def jwt_bearer(
    http: HttpClient, path: str, clock: Clock, claims: Mapping[str, Any], key: str, *, algorithm: str = "RS256"
) -> Fetch:
    """Ask by a JWT that stands for the grant itself (RFC 7523 §2.1); `claims` as the vendor wants them, times are added.

    Raises SettingsError for no key.
    """
    private = _private(key, algorithm)

    def fetch() -> tuple[str, datetime]:
        now = clock.now()
        told = {"iat": int(now.timestamp()), "exp": int((now + ASSERTED_FOR).timestamp()), **claims}
        return _ask(http, path, {"grant_type": ASSERTION, "assertion": _sign(told, private, "", algorithm)}, None)

    return fetch


def _private(key: str, algorithm: str) -> RSAKey | ECKey:
    kind = ECKey if algorithm.startswith("ES") else RSAKey
    try:
        found = kind.import_key(key)
        if found.is_private:
            return found
    except (ValueError, JoseError):
        pass
    raise SettingsError(
        f"the secret is no private {'EC' if kind is ECKey else 'RSA'} key in PEM, which {algorithm} takes; "
        "give it as the vendor's console shows it, lines and all"
    )


def _sign(claims: Mapping[str, Any], private: RSAKey | ECKey, key_id: str, algorithm: str) -> str:
    header = {"alg": algorithm, "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    return jwt.encode(header, dict(claims), private, algorithms=[algorithm])


def _ask(
    http: HttpClient, path: str, fields: Mapping[str, str], auth: httpx.Auth | None, renewed: Callable[[str], object] = str
) -> tuple[str, datetime]:  # fmt: skip
    # a token that nobody uses changes nothing, so asking is a read; it happens within the place of the request that needs it
    with signing_in(http.context):
        answer = http.send("POST", path, write=False, auth=auth, data=dict(fields), limited=False)
    told = answer.json()
    try:
        life = timedelta(seconds=float(told.get("expires_in") or USUAL_LIFE))
        found = http.redactor.learn(str(told["access_token"])), answer.started + life
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        answer.fail("answered a request for a token without access_token")
    if told.get("refresh_token"):
        renewed(str(told["refresh_token"]))
    return found
