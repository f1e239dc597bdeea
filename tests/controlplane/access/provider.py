"""A small OpenID provider on loopback that answers what a test wants: it asks nobody anything, and signs what it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jws import JWSRegistry

from controlplane.api.serving import serving
from controlplane.clock import Clock

CLIENT, SECRET = "trueup", "a secret & more"
ALL = JWSRegistry(algorithms=list(JWSRegistry.algorithms))


class TinyProvider:
    """Its answers. What a test changes in `claims`, `header`, `key`, `metadata` or `userinfo` holds for the next sign-in."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.url = ""
        self.keys: list[Any] = [RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"})]
        self.key: Any = self.keys[0]
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "rsa-1"}
        self.claims: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.broken = False
        self.asked: list[str] = []
        self.exchanges: list[dict[str, str]] = []
        self._nonces: dict[str, str] = {}

    def sign_in(self, address: str) -> dict[str, str]:
        """Do what a browser and a person would do at the address; return the parameters that the browser comes back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self._nonces)}"
        self._nonces[code] = asked["nonce"]
        return {"code": code, "state": asked["state"]}

    def token(self, nonce: str) -> str:
        """Return a signed ID token; a claim that a test sets to None is left out."""
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.url,
            "sub": "u-1",
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": nonce,
            **self.claims,
        }
        return jwt.encode(self.header, {k: v for k, v in claims.items() if v is not None}, self.key, registry=ALL)

    def app(self) -> Flask:
        """The endpoints."""
        app = Flask("tiny provider")
        app.before_request(self._count)
        app.add_url_rule("/.well-known/openid-configuration", "discovery", self._discovery)
        app.add_url_rule("/keys", "keys", lambda: jsonify(KeySet(self.keys).as_dict(private=False)))
        app.add_url_rule("/token", "token", self._exchange, methods=["POST"])
        app.add_url_rule("/userinfo", "userinfo", lambda: jsonify(self.userinfo))
        return app

    def _count(self) -> Response | None:
        self.asked.append(request.path)
        return Response("down", 503) if self.broken else None

    def _discovery(self) -> Response:
        found = {
            "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys", "userinfo_endpoint": f"{self.url}/userinfo", **self.metadata,
        }  # fmt: skip
        return jsonify(found)

    def _exchange(self) -> tuple[Response, int]:
        form = request.form.to_dict()
        authorization = request.authorization
        self.exchanges.append({**form, "user": (authorization and authorization.username) or ""})
        nonce = self._nonces.pop(form["code"], None)
        if nonce is None:
            return jsonify(error="invalid_grant"), 400
        return jsonify(access_token="at", token_type="Bearer", id_token=self.token(nonce)), 200


def elliptic() -> ECKey:
    """Another kind of key."""
    return ECKey.generate_key("P-256", {"kid": "ec-1", "use": "sig"})


@contextmanager
def tiny_provider(clock: Clock) -> Iterator[TinyProvider]:
    """A provider that is served."""
    made = TinyProvider(clock)
    with serving(made.app(), "provider", host="127.0.0.1", port=0, threads=4) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made
