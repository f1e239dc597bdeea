"""Tokens of OAuth 2, CSRF tokens and sessions, each against a server that refuses what it ought to refuse."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from urllib.parse import unquote_plus

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from controlplane.connectors import oauth2
from controlplane.connectors.auth import QueryKey, RefreshedBearer, signing_in
from controlplane.connectors.http import HttpClient
from controlplane.connectors.redaction import HIDDEN, Redactor
from controlplane.connectors.sessions import CsrfToken, LoginSession
from controlplane.errors import RejectedError, SettingsError, ThrottledError, UnavailableError, UnreadableError
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]
ID, SECRET = "client:1", "s3cret/of+the=client"


class Issuer:
    """A token endpoint and an API beside it that takes only the newest token that it gave out, for `life` seconds."""

    def __init__(self, life: float | None = 3600.0) -> None:
        self.life, self.count, self.refuses = life, 0, 0
        self.token: Reply | None = None
        """What the token endpoint answers instead."""

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/token":
            if self.token:
                return self.token
            self.count += 1
            life = {} if self.life is None else {"expires_in": self.life}
            return Reply(body={"access_token": f"a-token-of-some-length-{self.count}", **life})
        self.refuses -= 1
        good = asked.headers.get("authorization") == f"Bearer a-token-of-some-length-{self.count}"
        return Reply(200 if good and self.refuses < 0 else 401)


def client(server: ScriptedServer, **more: float) -> tuple[HttpClient, Given]:
    given = Given(server.url, timeout=more.get("timeout", 2.0))
    return HttpClient(given.context(), Redactor([SECRET])), given


def bearer(http: HttpClient, given: Given) -> RefreshedBearer:
    return RefreshedBearer(oauth2.client_credentials(http, "/token", ID, SECRET, "read"), given.clock)


def test_a_token_is_asked_for_once_and_renewed_before_it_runs_out(scripted: Begin) -> None:
    server = scripted(Issuer(life=600))
    http, given = client(server)
    auth = bearer(http, given)
    for _ in range(3):
        http.send("GET", "/x", write=False, auth=auth)
    assert server.paths() == ["POST /token", "GET /x", "GET /x", "GET /x"]
    given.clock.advance(490)
    http.send("GET", "/x", write=False, auth=auth)
    assert server.paths()[-2:] == ["POST /token", "GET /x"]


def test_a_token_that_lives_shorter_than_the_margin_is_used_for_half_of_its_life(scripted: Begin) -> None:
    server = scripted(Issuer(life=60))
    http, given = client(server)
    auth = bearer(http, given)
    http.send("GET", "/x", write=False, auth=auth)
    given.clock.advance(29)
    http.send("GET", "/x", write=False, auth=auth)
    given.clock.advance(2)
    http.send("GET", "/x", write=False, auth=auth)
    assert server.paths().count("POST /token") == 2


def test_a_client_is_known_by_basic_whose_parts_are_form_encoded(scripted: Begin) -> None:
    server = scripted(Issuer())
    http, given = client(server)
    http.send("GET", "/x", write=False, auth=bearer(http, given))
    asked = server.asked[0]
    name, _, secret = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode().partition(":")
    assert (unquote_plus(name), unquote_plus(secret)) == (ID, SECRET)
    assert asked.form() == {"grant_type": "client_credentials", "scope": "read"}


def test_a_client_is_known_by_the_body_where_the_vendor_wants_that(scripted: Begin) -> None:
    server = scripted(Issuer())
    http, _ = client(server)
    oauth2.client_credentials(http, "/token", ID, SECRET, in_body=True, more={"audience": "api"})()
    assert "authorization" not in server.asked[0].headers
    assert server.asked[0].form() == {
        "grant_type": "client_credentials", "audience": "api", "client_id": ID, "client_secret": SECRET,
    }  # fmt: skip


def test_a_request_that_is_refused_once_is_sent_again_with_a_fresh_token(scripted: Begin) -> None:
    issuer = Issuer()
    server = scripted(issuer)
    http, given = client(server)
    issuer.refuses = 1
    assert http.send("POST", "/x", write=True, auth=bearer(http, given), json={"n": 1}).status == 200
    assert server.paths() == ["POST /token", "POST /x", "POST /token", "POST /x"]
    assert server.asked[1].json() == server.asked[3].json() == {"n": 1}


def test_a_request_that_is_refused_twice_waits_for_better_credentials_and_is_not_sent_a_third_time(
    scripted: Begin,
) -> None:
    issuer = Issuer()
    server = scripted(issuer)
    http, given = client(server)
    issuer.refuses = 99
    with pytest.raises(UnavailableError, match="check the secrets"):
        http.send("POST", "/x", write=True, auth=bearer(http, given), json={})
    assert server.paths().count("POST /x") == 2


@pytest.mark.parametrize("status", [400, 403])
def test_a_client_that_is_not_let_in_waits_and_its_document_is_not_refused(scripted: Begin, status: int) -> None:
    issuer = Issuer()
    issuer.token = Reply(status, {"error": "invalid_client", "error_description": f"{SECRET} is over"})
    http, given = client(scripted(issuer))
    with pytest.raises(UnavailableError, match="check the secrets") as raised:
        http.send("POST", "/x", write=True, auth=bearer(http, given), json={})
    assert SECRET not in str(raised.value)
    assert SECRET not in str(raised.value.evidence)


def test_a_token_endpoint_that_is_busy_throttles_the_request_that_needs_it(scripted: Begin) -> None:
    issuer = Issuer()
    issuer.token = Reply(429, headers={"Retry-After": "7"})
    http, given = client(scripted(issuer))
    with pytest.raises(ThrottledError) as raised:
        http.send("POST", "/x", write=True, auth=bearer(http, given), json={})
    assert raised.value.retry_after == 7


@pytest.mark.parametrize(
    "body",
    [b"<html>", {"token": "x"}, ["x"], {"access_token": "x" * 20, "expires_in": 1e300}, {"access_token": "x" * 20, "expires_in": "soon"}],
)  # fmt: skip
def test_an_answer_without_a_token_is_none(scripted: Begin, body: object) -> None:
    issuer = Issuer()
    issuer.token = Reply(body=body)
    http, given = client(scripted(issuer))
    with pytest.raises(UnreadableError):
        http.send("POST", "/x", write=True, auth=bearer(http, given), json={})


def test_a_token_without_a_life_lives_for_an_hour(scripted: Begin) -> None:
    http, given = client(scripted(Issuer(life=None)))
    _, until = oauth2.client_credentials(http, "/token", ID, SECRET)()
    assert (until - given.clock.now()).total_seconds() == 3600


def test_a_token_is_hidden_in_what_is_kept_of_later_exchanges(scripted: Begin) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/token":
            return Reply(body={"access_token": "a-token-of-some-length-1"})
        return Reply(400, {"told": asked.headers["authorization"]})

    http, given = client(scripted(answer))
    with pytest.raises(RejectedError) as raised:
        http.send("GET", "/x", write=False, auth=bearer(http, given))
    assert "a-token-of-some-length" not in str(raised.value.evidence)
    assert HIDDEN in str(raised.value.evidence)


def test_a_token_that_is_given_out_twice_is_the_same_token_and_stays_hidden(scripted: Begin) -> None:
    given_out = "the-same-token-again-and-again"

    def answer(asked: Asked) -> Reply:
        if asked.path == "/token":
            return Reply(body={"access_token": given_out, "expires_in": 300})
        good = asked.headers["authorization"] == f"Bearer {given_out}"
        return Reply(200 if good else 401, {"echo": given_out})

    http, given = client(scripted(answer))
    auth = bearer(http, given)
    for _ in range(2):
        assert http.send("GET", "/x", write=False, auth=auth).json() == {"echo": HIDDEN}
        given.clock.advance(290)


def test_a_refresh_token_that_is_good_for_one_use_is_followed_by_the_new_one(scripted: Begin) -> None:
    wanted = ["first-refresh-token"]

    def answer(asked: Asked) -> Reply:
        if asked.form()["refresh_token"] != wanted[0]:
            return Reply(400, {"error": "invalid_grant"})
        wanted[0] = f"refresh-token-after-{len(server.asked)}"
        return Reply(body={"access_token": "a-token-of-some-length", "refresh_token": wanted[0]})

    server = scripted(answer)
    http, _ = client(server)
    fetch = oauth2.refresh(http, "/token", "first-refresh-token", ID, SECRET)
    fetch()
    fetch()
    assert [one.form()["refresh_token"] for one in server.asked] == ["first-refresh-token", "refresh-token-after-1"]


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="module")
def rsa_key() -> str:
    return pem(rsa.generate_private_key(65537, 2048))


def test_a_client_signs_who_it_is_and_the_endpoint_can_check_it(scripted: Begin, rsa_key: str) -> None:
    server = scripted(Issuer())
    http, given = client(server)
    fetch = oauth2.signed_client(http, "/token", given.clock, "app-1", rsa_key, "kid-1", "https://aud", scope="a b")
    fetch()
    fetch()
    first, second = (one.form() for one in server.asked)
    read = jwt.decode(first["client_assertion"], RSAKey.import_key(rsa_key), algorithms=["PS256"])
    now = int(given.clock.now().timestamp())
    assert (read.header["kid"], read.claims["iss"], read.claims["sub"]) == ("kid-1", "app-1", "app-1")
    assert (read.claims["aud"], read.claims["scope"], read.claims["iat"], read.claims["exp"]) == (
        "https://aud",
        "a b",
        now,
        now + 300,
    )
    assert first["client_assertion_type"] == oauth2.CLIENT_ASSERTION
    assert first["client_assertion"] != second["client_assertion"], "an assertion is good for one use"


def test_a_grant_is_signed_with_an_elliptic_key_too(scripted: Begin) -> None:
    key = pem(ec.generate_private_key(ec.SECP256R1()))
    server = scripted(Issuer())
    http, given = client(server)
    oauth2.jwt_bearer(http, "/token", given.clock, {"iss": "me", "scope": "s"}, key, algorithm="ES256")()
    told = server.asked[0].form()
    assert told["grant_type"] == oauth2.ASSERTION
    assert jwt.decode(told["assertion"], ECKey.import_key(key), algorithms=["ES256"]).claims["iss"] == "me"


def test_a_key_that_is_none_or_of_another_kind_or_public_is_named_before_anything_is_sent(
    scripted: Begin, rsa_key: str
) -> None:
    server = scripted(Issuer())
    http, given = client(server)
    private = RSAKey.import_key(rsa_key)
    public = private.as_pem(private=False).decode()
    for key, algorithm in (("no key", "RS256"), (rsa_key, "ES256"), (public, "RS256")):
        with pytest.raises(SettingsError, match="no private"):
            oauth2.jwt_bearer(http, "/token", given.clock, {}, key, algorithm=algorithm)
    assert server.asked == []


def test_a_key_in_the_address_is_not_kept(scripted: Begin) -> None:
    server = scripted(lambda _: Reply(404))
    http, _ = client(server)
    with pytest.raises(RejectedError) as raised:
        http.send("GET", "/x?page=2", write=False, auth=QueryKey("key", SECRET))
    assert server.asked[0].query == {"page": "2", "key": SECRET}
    assert "s3cret" not in str(raised.value.evidence)


class Erp:
    """Wants a CSRF token with its cookies, and forgets both when told to."""

    def __init__(self) -> None:
        self.issued, self.valid, self.fetching, self.demands = 0, "", Reply(), True

    def __call__(self, asked: Asked) -> Reply:
        if asked.headers.get("x-csrf-token") == "Fetch":
            if self.fetching.status != 200 or not self.demands:
                return self.fetching
            self.issued += 1
            self.valid = f"csrf-{self.issued}"
            return Reply(
                headers={"X-CSRF-Token": self.valid, "Set-Cookie": f"sid={self.issued}; Path=/\nsap=1; HttpOnly"}
            )
        given = (asked.headers.get("x-csrf-token"), asked.headers.get("cookie"))
        if asked.method != "GET" and self.demands and given != (self.valid, f"sid={self.issued}; sap=1"):
            return Reply(403, headers={"X-CSRF-Token": "Required"})
        return Reply(201)


def csrf(server: ScriptedServer) -> tuple[HttpClient, CsrfToken]:
    http, _ = client(server)
    return http, CsrfToken(httpx.BasicAuth("user", "password"), "/odata/")


def test_a_change_fetches_a_csrf_token_once_and_brings_it_with_its_cookies(scripted: Begin) -> None:
    server = scripted(Erp())
    http, auth = csrf(server)
    http.send("GET", "/orders", write=False, auth=auth)
    for _ in range(2):
        assert http.send("POST", "/orders", write=True, auth=auth, json={}).status == 201
    assert server.paths() == ["GET /orders", "GET /odata/", "POST /orders", "POST /orders"]
    assert all(one.headers["authorization"].startswith("Basic ") for one in server.asked)


def test_a_csrf_token_that_is_required_again_is_fetched_anew_and_the_change_is_sent_once_more(scripted: Begin) -> None:
    erp = Erp()
    server = scripted(erp)
    http, auth = csrf(server)
    http.send("POST", "/orders", write=True, auth=auth, json={})
    erp.valid = "forgotten"
    assert http.send("POST", "/orders", write=True, auth=auth, json={}).status == 201
    assert server.paths()[2:] == ["POST /orders", "GET /odata/", "POST /orders"]


def test_a_csrf_token_that_is_never_taken_ends_in_a_refusal(scripted: Begin) -> None:
    def answer(asked: Asked) -> Reply:
        fetching = asked.headers.get("x-csrf-token") == "Fetch"
        return Reply(headers={"X-CSRF-Token": "t"}) if fetching else Reply(403, headers={"X-CSRF-Token": "Required"})

    server = scripted(answer)
    http, auth = csrf(server)
    with pytest.raises(RejectedError):
        http.send("POST", "/orders", write=True, auth=auth, json={})
    assert server.paths().count("POST /orders") == 2


@pytest.mark.parametrize(("status", "kind"), [(401, UnavailableError), (429, ThrottledError), (404, RejectedError)])
def test_where_a_csrf_token_is_refused_the_change_is_not_sent(
    scripted: Begin, status: int, kind: type[Exception]
) -> None:
    erp = Erp()
    erp.fetching = Reply(status)
    server = scripted(erp)
    http, auth = csrf(server)
    with pytest.raises(kind):
        http.send("POST", "/orders", write=True, auth=auth, json={})
    assert server.paths() == ["GET /odata/"]


def test_a_system_that_gives_no_csrf_token_wants_none(scripted: Begin) -> None:
    erp = Erp()
    erp.demands = False
    http, auth = csrf(scripted(erp))
    assert http.send("POST", "/orders", write=True, auth=auth, json={}).status == 201


class Desk:
    """Gives out sessions, and counts those that are open."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.count = 0
        self.password = "right"

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/login":
            if asked.json()["password"] != self.password:
                return Reply(400, {"message": "wrong name or password"})
            self.count += 1
            self.open.add(f"sid={self.count}")
            return Reply(204, b"", {"Set-Cookie": f"sid={self.count}; Path=/"})
        if asked.headers.get("cookie") not in self.open:
            return Reply(401)
        if asked.path == "/logout":
            self.open.discard(asked.headers["cookie"])
        return Reply(200)


def session(server: ScriptedServer, typed: str = "right") -> tuple[HttpClient, LoginSession]:
    http, _ = client(server)

    def login() -> dict[str, str]:
        with signing_in(http.context):
            told = {"name": "u", "password": typed}
            answer = http.send("POST", "/login", write=False, limited=False, json=told)
        return {"cookie": answer.headers["set-cookie"].split(";")[0]}

    return http, LoginSession(login, logout=lambda held: http.send("POST", "/logout", write=False, headers=dict(held)))


def test_a_session_is_opened_once_for_all_threads_and_left_at_the_end(scripted: Begin) -> None:
    desk = Desk()
    server = scripted(desk)
    http, auth = session(server)
    threads = [
        threading.Thread(target=http.send, args=("GET", "/x"), kwargs={"write": False, "auth": auth}) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.paths().count("POST /login") == 1
    auth.close()
    assert desk.open == set()
    auth.close()
    assert server.paths().count("POST /logout") == 1


def test_a_session_that_is_over_is_opened_anew_once(scripted: Begin) -> None:
    desk = Desk()
    server = scripted(desk)
    http, auth = session(server)
    http.send("GET", "/x", write=False, auth=auth)
    desk.open.clear()
    assert http.send("POST", "/x", write=True, auth=auth).status == 200
    assert server.paths() == ["POST /login", "GET /x", "POST /x", "POST /login", "POST /x"]


def test_a_wrong_password_is_no_fault_of_the_document(scripted: Begin) -> None:
    server = scripted(Desk())
    http, auth = session(server, "wrong")
    with pytest.raises(UnavailableError, match="check the secrets"):
        http.send("POST", "/x", write=True, auth=auth)
    assert server.paths() == ["POST /login"]
