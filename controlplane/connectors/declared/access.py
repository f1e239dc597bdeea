"""How a declared connector gets in: the kinds of access of a manifest, each with the names of the secrets that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, Field

from controlplane.connectors import oauth2
from controlplane.connectors.auth import OAuth1, OAuth1Keys, QueryKey, RefreshedBearer, StaticHeader, signing_in
from controlplane.connectors.contract import Context
from controlplane.connectors.declared.request import PathBelow, Request
from controlplane.connectors.declared.values import JmesPath, Part, Scope, found, found_in, secrets_in
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.sessions import CsrfToken, LoginSession, unauthorized
from controlplane.errors import BadInputError

BRIEF = 2**16
"""Bytes of the longest answer in which the end of a session is looked for."""


def _token_address(text: str) -> str:
    parts = urlsplit(text)
    if not text.startswith("/") and not (parts.scheme == "https" and parts.hostname and "@" not in parts.netloc):
        raise ValueError(f"'{text}' is neither a path below the endpoint nor an https address; secrets are sent there")
    return text


TokenAddress = Annotated[str, Field(max_length=500), AfterValidator(_token_address)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]


class _Kind(Part):
    """A way to get in."""

    taken: ClassVar[tuple[str, ...]] = ()

    def secrets(self) -> tuple[str, ...]:
        """Return the names of the secrets that it takes."""
        return self.taken


class NoAccess(_Kind):
    """Nobody asks who we are."""

    kind: Literal["none"]


class Basic(_Kind):
    """HTTP Basic."""

    kind: Literal["basic"]
    taken: ClassVar[tuple[str, ...]] = ("user", "password")


class Bearer(_Kind):
    """A token that stays, in a header."""

    kind: Literal["bearer"]
    taken: ClassVar[tuple[str, ...]] = ("token",)
    header: HeaderName = "Authorization"
    prefix: str = "Bearer "


class ApiKey(_Kind):
    """A key, in a header or a parameter of the address."""

    kind: Literal["api_key"]
    taken: ClassVar[tuple[str, ...]] = ("api_key",)
    header: HeaderName = "X-API-Key"
    prefix: str = ""
    param: str | None = Field(default=None, description="name of the parameter, instead of a header")


class OAuth1Access(_Kind):
    """OAuth 1.0a with HMAC-SHA256."""

    kind: Literal["oauth1"]
    taken: ClassVar[tuple[str, ...]] = ("consumer_key", "consumer_secret", "token_id", "token_secret")
    realm: str = ""


class ClientCredentials(_Kind):
    """OAuth 2 as the client itself."""

    kind: Literal["client_credentials"]
    taken: ClassVar[tuple[str, ...]] = ("client_id", "client_secret")
    token: TokenAddress
    scope: str = ""
    in_body: bool = False
    more: dict[str, str] = Field(default={})


class Refresh(_Kind):
    """OAuth 2 by a refresh token."""

    kind: Literal["refresh"]
    taken: ClassVar[tuple[str, ...]] = ("refresh_token", "client_id", "client_secret")
    token: TokenAddress


class SignedClient(_Kind):
    """OAuth 2 as the client itself, known by a signed assertion (RFC 7523 §2.2)."""

    kind: Literal["signed_client"]
    taken: ClassVar[tuple[str, ...]] = ("client_id", "private_key")
    token: TokenAddress
    audience: str
    key_id: str = ""
    algorithm: Literal["RS256", "PS256", "ES256", "ES384"] = "PS256"
    scope: str = ""


class JwtBearer(_Kind):
    """OAuth 2 by a signed grant (RFC 7523 §2.1)."""

    kind: Literal["jwt_bearer"]
    taken: ClassVar[tuple[str, ...]] = ("private_key",)
    token: TokenAddress
    claims: dict[str, str | int]
    algorithm: Literal["RS256", "PS256", "ES256", "ES384"] = "RS256"


class Login(_Kind):
    """A session that is opened by a request, whose answer gives what stands for it, and is left by another."""

    kind: Literal["login"]
    request: Request
    token: JmesPath = Field(description="put to {headers, body} of the answer; header names in lower case")
    header: HeaderName = "Authorization"
    prefix: str = "Bearer "
    logout: Request | None = None
    over: JmesPath | None = Field(
        default=None, description="true of an answer inside 200 that says that the session is over; put to its body"
    )

    def secrets(self) -> tuple[str, ...]:
        """Return the names that its request takes."""
        return tuple(dict.fromkeys(secrets_in(self.request)))


Access = (
    NoAccess | Basic | Bearer | ApiKey | OAuth1Access | ClientCredentials | Refresh | SignedClient | JwtBearer | Login
)
KINDS = frozenset(get_args(one.model_fields["kind"].annotation)[0] for one in get_args(Access))


class Csrf(Part):
    """A token that is wanted back with its cookies on everything that changes something."""

    path: PathBelow = "/"
    header: HeaderName = "x-csrf-token"


class Entrance:
    """The access of one system, made of its manifest and secrets."""

    def __init__(self, context: Context, http: HttpClient, access: Access, csrf: Csrf | None) -> None:
        self._context, self._http = context, http
        self._tokens: HttpClient | None = None
        self.session: LoginSession | None = None
        self.auth: httpx.Auth | None = self._made(access)
        if csrf:
            base = urlsplit(context.endpoint).path.rstrip("/")
            self.auth = CsrfToken(self.auth or httpx.Auth(), base + csrf.path, header=csrf.header)

    def close(self) -> None:
        """Leave the session, where there is one, and close the way to the token endpoint."""
        if self.session:
            self.session.close()
        if self._tokens:
            self._tokens.close()

    def _made(self, access: Access) -> httpx.Auth | None:
        secret = self._context.secret
        match access:
            case NoAccess():
                return None
            case Basic():
                return httpx.BasicAuth(secret("user"), secret("password"))
            case Bearer():
                return StaticHeader(access.header, access.prefix + secret("token"))
            case ApiKey():
                key = secret("api_key")
                return QueryKey(access.param, key) if access.param else StaticHeader(access.header, access.prefix + key)
            case OAuth1Access():
                return OAuth1(OAuth1Keys(*(secret(name) for name in access.taken)), access.realm, self._context.clock)
            case Login():
                over = (lambda response: _is_over(access.over, response)) if access.over else unauthorized
                self.session = LoginSession(lambda: self._login(access), over=over, logout=self._leaving(access))
                return self.session
        return RefreshedBearer(self._fetch(access), self._context.clock)

    def _fetch(self, access: ClientCredentials | Refresh | SignedClient | JwtBearer) -> oauth2.Fetch:
        secret, clock = self._context.secret, self._context.clock
        http, path = self._token_endpoint(access.token)
        match access:
            case ClientCredentials():
                given = (secret("client_id"), secret("client_secret"))
                return oauth2.client_credentials(
                    http, path, *given, access.scope, in_body=access.in_body, more=access.more
                )
            case Refresh():
                return oauth2.refresh(http, path, *(secret(name) for name in access.taken))
            case SignedClient():
                given = (secret("client_id"), secret("private_key"))
                return oauth2.signed_client(
                    http,
                    path,
                    clock,
                    *given,
                    access.key_id,
                    access.audience,
                    algorithm=access.algorithm,
                    scope=access.scope,
                )
        return oauth2.jwt_bearer(http, path, clock, access.claims, secret("private_key"), algorithm=access.algorithm)

    def _token_endpoint(self, address: str) -> tuple[HttpClient, str]:
        if address.startswith("/"):
            return self._http, address
        parts = urlsplit(address)
        # one redactor: what the token endpoint gives out is a secret of the system too
        self._tokens = oauth2.token_client(self._context, self._http.redactor, f"{parts.scheme}://{parts.netloc}")
        return self._tokens, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"

    def _login(self, access: Login) -> dict[str, str]:
        method, path, content = access.request.filled(self._scope({}))
        with signing_in(self._context):
            answer = self._http.send(method, path, write=False, limited=False, **content)
        token = found_in(answer, access.token, told(answer))
        if not token or not isinstance(token, str):
            self._context.refused()
            answer.fail("answered a login without what stands for a session; check the secrets of the System policy")
        return {access.header: access.prefix + self._http.redactor.learn(token)}

    def _leaving(self, access: Login) -> Callable[[Mapping[str, str]], object] | None:
        if access.logout is None:
            return None
        method, path, content = access.logout.filled(self._scope({}))

        def leave(held: Mapping[str, str]) -> Answer:
            headers = {**content.get("headers", {}), **held}
            return self._http.send(method, path, write=False, limited=False, **{**content, "headers": headers})

        return leave

    def _scope(self, data: Mapping[str, Any]) -> Scope:
        return Scope(data, lambda _, code: code, self._context.options, self._context.secret)


def _is_over(sign: str, response: httpx.Response) -> bool:
    """A session's end is told briefly: what is long, or of no told length, is read by the client only, which bounds it."""
    if unauthorized(response) or not 0 < int(response.headers.get("content-length", 0)) <= BRIEF:
        return unauthorized(response)
    response.read()
    try:
        return bool(found(sign, response.json()))
    except (ValueError, BadInputError):
        return False


def told(answer: Answer) -> dict[str, Any]:
    """Return headers and body as expressions see them; a body that is no JSON is null."""
    body = answer.json() if answer.content and "json" in answer.headers.get("content-type", "") else None
    return {
        "headers": {name.lower(): value for name, value in answer.headers.items()},
        "body": body,
        "status": answer.status,
    }
