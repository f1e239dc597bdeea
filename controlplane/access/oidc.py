"""OpenID Connect: the authorization code flow with PKCE, state and nonce (Authlib). What comes back is believed only when it is signed.

The identity is issuer and `sub`; nothing else in a token says who somebody is. What is checked of an ID token: a signature by a key
of the provider with one of the algorithms below, `iss`, `aud` and `azp`, `exp`, `iat`, `nbf`, `nonce`, `at_hash`, `auth_time`.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from itsdangerous import BadData, URLSafeSerializer
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jws import JWSRegistry

from controlplane.access.discovery import Provider
from controlplane.access.members import Grant, Member, granted, read_roles
from controlplane.access.rights import Proof
from controlplane.access.step_up import StepUp
from controlplane.clock import Clock
from controlplane.errors import SignInError
from controlplane.settings import Settings, resolve_secret

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Asymmetric ones only: with `none` or HS* anybody who knows the client's secret, or nothing, could sign."""
LEEWAY = 60
"""Seconds by which the provider's clock may differ from ours."""
LARGEST = 64 * 1024
"""Bytes of an ID token: some providers write hundreds of groups into one."""
CALLBACK = "/login/oidc/callback"
PATIENCE = timedelta(minutes=10)
"""For so long somebody may be away at the provider."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in under way: what the browser keeps, signed by us, until it comes back.

    `again`: somebody who has a session proves anew who it is.
    """

    state: str
    nonce: str
    verifier: str
    next: str = "/"
    again: bool = False


class Oidc:
    """Signing in at one provider."""

    def __init__(self, settings: Settings, clock: Clock, roles: Mapping[str, Grant]) -> None:
        self._settings, self._clock, self._roles = settings, clock, roles
        self._step_up = StepUp.of(settings)
        self._provider = Provider(settings.oidc_issuer, settings.oidc_name, clock)

    @classmethod
    def configured(cls, settings: Settings, clock: Clock) -> Oidc | None:
        """Return how people sign in by the provider of the settings; None without one. Raises SettingsError naming the variable."""
        if not settings.oidc_issuer:
            return None
        made = cls(settings, clock, read_roles(settings.oidc_roles))
        made._secret()
        return made

    @property
    def name(self) -> str:
        """What people call the provider."""
        return self._settings.oidc_name

    @property
    def issuer(self) -> str:
        """The provider's own name for itself."""
        return self._settings.oidc_issuer

    def begin(self, next_page: str = "/", *, again: bool = False) -> tuple[str, Begun]:
        """Return where to send the browser, and what it keeps meanwhile. Raises UnavailableError."""
        begun = Begun(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), next_page, again)
        settings = self._settings
        client = OAuth2Client(
            None, settings.oidc_client_id, scope=settings.oidc_scopes, redirect_uri=self._redirect, code_challenge_method="S256"
        )  # fmt: skip
        endpoint, asked = self._provider.endpoints().authorization, self._asked() if again else {}
        url, _ = client.create_authorization_url(
            endpoint, state=begun.state, code_verifier=begun.verifier, nonce=begun.nonce, **asked
        )
        return str(url), begun

    def kept(self, begun: Begun) -> str:
        """Return a sign-in as the browser keeps it: what we did not begin, or long ago, is none.

        Whoever could write one himself would write the nonce and state of another's sign-in, and come with a code stolen from that.
        """
        return str(self._signer().dumps([asdict(begun), self._clock.now().timestamp()]))

    def begun(self, kept: str) -> Begun | None:
        """Return what `kept` made, lately; None for anything else."""
        try:
            found, at = self._signer().loads(kept)
        except BadData:
            return None
        age = self._clock.now().timestamp() - at
        return Begun(**found) if 0 <= age <= PATIENCE.total_seconds() else None

    def _signer(self) -> URLSafeSerializer:
        """By the one secret that every plane behind the same address has, and nobody else but the provider."""
        return URLSafeSerializer(
            self._secret(), salt="sign-in under way", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )  # fmt: skip

    def finish(self, begun: Begun, answer: Mapping[str, str]) -> Member:
        """Return who came back, with what the mapping grants. Raises SignInError, saying why nobody is let in, or UnavailableError."""
        self._check_answer(begun, answer)
        tokens = self._redeem(begun, answer["code"])
        claims = self._claims(begun, tokens)
        member = self._member(self._with_groups(claims, tokens))
        if begun.again and (why := self._step_up.lacking(member.actor, self._clock.now())):
            raise SignInError(f"{self.name} did not give the proof that was asked for: {why}")
        return member

    def sign_out(self) -> str:
        """Return where the browser ends its session at the provider, too; nothing where the provider has no such place."""
        endpoint = self._provider.endpoints().sign_out
        back = {"client_id": self._settings.oidc_client_id, "post_logout_redirect_uri": f"{self._settings.home_page}/"}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(back)}" if endpoint else ""

    @property
    def _redirect(self) -> str:
        return f"{self._settings.home_page}{CALLBACK}"

    def _asked(self) -> dict[str, str]:
        """What makes the provider ask again who it is, however well it knows the browser."""
        asked = {"prompt": "login", "acr_values": " ".join(self._step_up.acr)}
        if self._step_up.age:
            asked["max_age"] = str(self._settings.step_up_age)
        return {name: value for name, value in asked.items() if value}

    def _secret(self) -> str:
        return resolve_secret("TRUEUP_OIDC_CLIENT_SECRET", self._settings.oidc_client_secret, self._settings)

    def _check_answer(self, begun: Begun, answer: Mapping[str, str]) -> None:
        if not hmac.compare_digest(begun.state.encode(), answer.get("state", "").encode()):
            raise SignInError("this is not the answer to the sign-in that this browser began; sign in again")
        named = answer.get("iss")
        if named != self.issuer and (named is not None or self._provider.endpoints().names_itself):
            raise SignInError(f"the answer is not from {self.issuer}; sign in again")
        if "code" not in answer:
            said = f"{answer.get('error', 'no code')} {answer.get('error_description', '')}".strip()
            raise SignInError(f"{self.name} let nobody in ({plain(said, 200)}); sign in again, or ask who runs it")

    def _redeem(self, begun: Begun, code: str) -> Mapping[str, Any]:
        """Exchange the code for tokens."""
        endpoints, client_id, secret = self._provider.endpoints(), self._settings.oidc_client_id, self._secret()
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect,
            "code_verifier": begun.verifier,
        }  # fmt: skip
        auth = None if endpoints.secret_in_body else httpx.BasicAuth(quote_plus(client_id), quote_plus(secret))
        if endpoints.secret_in_body:
            form |= {"client_id": client_id, "client_secret": secret}
        answer = self._provider.ask(
            "POST", endpoints.token, data=form, auth=auth, headers={"Accept": "application/json"}
        )
        if answer.is_success:
            return self._provider.document(answer)
        raise SignInError(
            f"{self.name} did not take the code ({_error_of(answer)}); sign in again. If it stays so, the settings "
            "TRUEUP_OIDC_CLIENT_ID, TRUEUP_OIDC_CLIENT_SECRET and TRUEUP_PUBLIC_URL are to be held against the provider's"
        )

    def _claims(self, begun: Begun, tokens: Mapping[str, Any]) -> CodeIDToken:
        settings = self._settings
        options = {
            "iss": {"essential": True, "value": settings.oidc_issuer},
            "aud": {"essential": True, "value": settings.oidc_client_id},
        }
        asked = {
            "nonce": begun.nonce, "client_id": settings.oidc_client_id, "access_token": tokens.get("access_token"),
            "max_age": begun.again and settings.step_up_age,
        }  # fmt: skip
        try:
            token = self._verified(str(tokens.get("id_token", "")))
            claims = CodeIDToken(token.claims, token.header, options, asked)
            claims.validate(int(self._clock.now().timestamp()), LEEWAY)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise SignInError(
                f"the ID token of {self.name} is refused ({error}); sign in again, or tell who runs it"
            ) from error
        return claims

    def _verified(self, token: str) -> jwt.Token:
        """Return the token when a key of the provider signed it; a key that is not known may be a new one."""
        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        registry.max_header_length = registry.max_payload_length = LARGEST
        try:
            return jwt.decode(token, self._provider.keys(), registry=registry)
        except InvalidKeyIdError:
            return jwt.decode(token, self._provider.keys(newest=True), registry=registry)

    def _with_groups(self, claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the claims; where the ID token does not hold the groups, with what the provider tells of the same person beside it."""
        endpoint, token = self._provider.endpoints().userinfo, tokens.get("access_token")
        if value_at(claims, self._settings.oidc_groups_claim) is not None or not endpoint or not isinstance(token, str):
            return claims
        answer = self._provider.ask("GET", endpoint, headers={"Authorization": f"Bearer {token}"})
        told = self._provider.document(answer)
        if told.get("sub") != claims["sub"]:
            raise SignInError(f"{self.name} told of another person than the one who signed in; sign in again")
        return {**told, **claims}

    def _member(self, claims: Mapping[str, Any]) -> Member:
        subject = claims["sub"]
        if not 0 < len(subject) <= 255 or not subject.isprintable():
            raise SignInError(f"{self.name} calls the person by a `sub` that is none: 1 to 255 printable characters")
        held = value_at(claims, self._settings.oidc_groups_claim)
        listed = [held] if isinstance(held, str) else held if isinstance(held, list) else []
        groups = [one for one in listed if isinstance(one, str)]
        known_as = plain(claims.get("preferred_username"), 120) or subject
        shown_as = plain(claims.get("name"), 200) or known_as
        return Member(self.issuer, subject, known_as, shown_as, granted(self._roles, groups), self._proof(claims))

    def _proof(self, claims: Mapping[str, Any]) -> Proof:
        acr, amr, now = claims.get("acr"), claims.get("amr") or [], self._clock.now()
        auth_time = _instant(claims.get("auth_time"))
        if auth_time is not None and auth_time > now + timedelta(seconds=LEEWAY):
            raise SignInError(
                f"{self.name} says that it will have been asked at {auth_time.isoformat()}; its clock is wrong"
            )
        return Proof(
            auth_time and min(auth_time, now), plain(acr, 255) or None, tuple(plain(one, 60) for one in amr[:20]),
        )  # fmt: skip


def value_at(claims: Mapping[str, Any], claim: str) -> Any:
    """Return what a claim holds: the one of that very name, else along the dots into objects; None when it is not there."""
    if claim in claims:
        return claims[claim]
    found: Any = claims
    for part in claim.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def plain(given: Any, longest: int) -> str:
    """Return what may be stored and shown of a text from outside: databases take neither NUL nor half a character."""
    return "".join(one for one in given[: longest * 4] if one.isprintable())[:longest] if isinstance(given, str) else ""


def _instant(given: Any) -> datetime | None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        return None
    try:
        return datetime.fromtimestamp(given, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _error_of(answer: httpx.Response) -> str:
    """Return what a token endpoint says is wrong (RFC 6749, 5.2); it names the kind and never a secret."""
    try:
        return plain(answer.json()["error"], 100)
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
