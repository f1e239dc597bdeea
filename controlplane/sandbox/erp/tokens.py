"""OAuth 2.0 from machine to machine: a JWT signed by an uploaded certificate's key buys a bearer token for an hour."""

import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from controlplane.sandbox.clock import Clock

GRANT, ASSERTED = "client_credentials", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
CLIENT, SCOPE = "trueup-client", "rest_webservices"
LIFE = timedelta(hours=1)


class Refused(Exception):  # noqa: N818 it is what the endpoint answers
    """OAuth's error and what is wrong."""

    def __init__(self, error: str, told: str) -> None:
        super().__init__(told)
        self.error = error


class Tokens:
    """Certificates that were uploaded, and the tokens that are good; a restart forgets both kinds of paper."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[str, RSAKey | ECKey] = {}
        self._good: dict[str, datetime] = {}

    def upload(self, public_key: str) -> str:
        """Take a public key in PEM; answers the certificate's id. ValueError for what is none."""
        kind = ECKey if "EC" in public_key.partition("\n")[0] else RSAKey
        name = secrets.token_urlsafe(24)
        self._keys[name] = kind.import_key(public_key)
        return name

    def revoke(self) -> None:
        """Take back every token."""
        self._good.clear()

    def grant(self, form: Mapping[str, str], address: str) -> dict[str, str]:
        """A token for what a form asks. Refused tells why not."""
        if form.get("grant_type") != GRANT or form.get("client_assertion_type") != ASSERTED:
            raise Refused("unsupported_grant_type", "grant_type or client_assertion_type is wrong")
        claims = self._claims(form.get("client_assertion", ""))
        scope = claims.get("scope")
        if claims.get("iss") != CLIENT or claims.get("aud") != address:
            raise Refused("invalid_client", f"iss or aud is wrong: the audience is {address}")
        if SCOPE not in (scope if isinstance(scope, list) else str(scope).split()):
            raise Refused("invalid_scope", f"the scope {SCOPE} is missing")
        self._fresh(claims)
        token = secrets.token_urlsafe(48)
        self._good[token] = self._clock.now() + LIFE
        return {"access_token": token, "expires_in": str(int(LIFE.total_seconds())), "token_type": "Bearer"}

    def _claims(self, assertion: str) -> dict[str, object]:
        try:
            return dict(
                jwt.decode(
                    assertion, lambda one: self._keys[str(one.headers().get("kid"))], algorithms=ALGORITHMS
                ).claims
            )
        except (JoseError, KeyError, ValueError) as error:
            raise Refused("invalid_client", f"the assertion is not taken: {error!r}") from error

    def _fresh(self, claims: dict[str, object]) -> None:
        begins, ends = claims.get("iat"), claims.get("exp")
        if not isinstance(begins, int) or not isinstance(ends, int) or not begins < ends <= begins + 3600:
            raise Refused("invalid_client", "exp has to be within an hour of iat")
        if all(not begins - 300 <= now <= ends for now in (self._clock.now().timestamp(), time.time())):
            raise Refused("invalid_client", "the assertion is not good now")

    def good(self, header: str) -> bool:
        """Whether an Authorization header carries a token that is good."""
        until = self._good.get(header.removeprefix("Bearer "))
        return until is not None and self._clock.now() < until
