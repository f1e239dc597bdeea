"""Token-based authentication: OAuth 1.0a signatures with HMAC-SHA256 and a realm."""

import base64
import hashlib
import hmac
import re
import threading
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from controlplane.sandbox.clock import Clock
from controlplane.sandbox.erp.problems import ErpError
from controlplane.sandbox.secrets_files import Secrets

WINDOW = 300
"""Seconds that a timestamp may lie off the sandbox's clock or the wall's."""


def _escape(text: str) -> str:
    return quote(text, safe="-._~")


def base_string(method: str, url: str, oauth: Mapping[str, str]) -> str:
    """RFC 5849 §3.4.1: method, URL without query, and all parameters but realm and signature, sorted."""
    parts = urlsplit(url)
    host = parts.netloc.lower().removesuffix(":80" if parts.scheme == "http" else ":443")
    own = [(name, value) for name, value in oauth.items() if name not in ("realm", "oauth_signature")]
    pairs = sorted((_escape(n), _escape(v)) for n, v in [*own, *parse_qsl(parts.query, keep_blank_values=True)])
    parameters = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join([method.upper(), _escape(f"{parts.scheme}://{host}{parts.path}"), _escape(parameters)])


def signature(text: str, consumer_secret: str, token_secret: str) -> str:
    """Base64 HMAC-SHA256 of a base string."""
    key = f"{_escape(consumer_secret)}&{_escape(token_secret)}".encode()
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


def parse_header(header: str) -> dict[str, str]:
    """The parameters of an `Authorization: OAuth …` header; empty when it is another scheme."""
    if not header.startswith("OAuth "):
        return {}
    return {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', header)}


class Verifier:
    """Checks signatures, freshness, and that no nonce comes twice."""

    def __init__(self, secrets: Secrets, clock: Clock) -> None:
        self._secrets, self._clock = secrets, clock
        self._nonces: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def check(self, method: str, url: str, header: str) -> None:
        """ErpError 401 unless the request is signed with our keys, fresh and new."""
        oauth = parse_header(header)
        expected = {
            "oauth_consumer_key": self._secrets.read("erp_consumer_key"),
            "oauth_token": self._secrets.read("erp_token_id"),
            "oauth_signature_method": "HMAC-SHA256",
        }
        if not oauth.get("realm") or any(oauth.get(name) != value for name, value in expected.items()):
            raise _refusal("Invalid login attempt: realm, consumer key, token or signature method is wrong.")
        known = (self._secrets.read("erp_consumer_secret"), self._secrets.read("erp_token_secret"))
        if not hmac.compare_digest(
            signature(base_string(method, url, oauth), *known), oauth.get("oauth_signature", "")
        ):
            raise _refusal("Invalid login attempt: the signature does not match.")
        self._check_fresh(oauth.get("oauth_timestamp", ""), oauth.get("oauth_nonce", ""))

    def _check_fresh(self, stamp: str, nonce: str) -> None:
        clocks = (self._clock.now().timestamp(), time.time())
        if not stamp.isdigit() or all(abs(int(stamp) - now) > WINDOW for now in clocks):
            raise _refusal("Invalid login attempt: the timestamp is out of range.")
        with self._lock:
            if not nonce or (stamp, nonce) in self._nonces:
                raise _refusal("Invalid login attempt: the nonce was used before.")
            wall = clocks[1]
            self._nonces[stamp, nonce] = wall
            if len(self._nonces) > 20_000:
                self._nonces = {key: at for key, at in self._nonces.items() if wall - at < 2 * WINDOW}


def _refusal(detail: str) -> ErpError:
    return ErpError(401, "INVALID_LOGIN", detail)
