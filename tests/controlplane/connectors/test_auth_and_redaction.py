"""Signatures against the published example, tokens that are shared and renewed, secrets that do not show."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import quote

import httpx
import pytest
from lxml import etree

from controlplane.clock import ManualClock
from controlplane.connectors.auth import RefreshedBearer, base_string, signed_by
from controlplane.connectors.redaction import HIDDEN, Redactor
from rules.personal import MASK, Personal
from tests.controlplane.connectors.conftest import START


def test_the_base_string_is_that_of_rfc_5849_section_3_4_1() -> None:
    url = httpx.URL("http://example.com/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b")
    parameters = [
        ("oauth_consumer_key", "9djdj82h48djs9d2"),
        ("oauth_token", "kkk9d7dh3k39sjv7"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131201"),
        ("oauth_nonce", "7d8f3e4a"),
        ("c2", ""),
        ("a3", "2 q"),
    ]
    assert base_string("post", url, parameters) == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D"
        "%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26"
        "oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
    )


def test_a_signature_is_checked_over_the_raw_bytes() -> None:
    signature = base64.b64encode(hmac.new(b"key", b'{"a": 1}', hashlib.sha256).digest()).decode()
    assert signed_by("key", b'{"a": 1}', signature)
    assert not signed_by("key", b'{"a":1}', signature)
    assert not signed_by("key", b'{"a": 1}', None)
    assert not signed_by("key", b'{"a": 1}', "ü")


def _bearer(clock: ManualClock, life: float) -> tuple[RefreshedBearer, list[str]]:
    fetched: list[str] = []

    def fetch() -> tuple[str, datetime]:
        fetched.append(f"token-{len(fetched) + 1}")
        return fetched[-1], clock.now() + timedelta(seconds=life)

    return RefreshedBearer(fetch, clock), fetched


def _used(auth: RefreshedBearer, refuse: str = "") -> str:
    def serve(request: httpx.Request) -> httpx.Response:
        given = request.headers["authorization"]
        return httpx.Response(401 if given == f"Bearer {refuse}" else 200, text=given)

    with httpx.Client(transport=httpx.MockTransport(serve)) as client:
        return client.get("http://shop.example/", auth=auth).text


@pytest.mark.parametrize(
    "secret", ["open sesame", "correct horse battery staple", f"{'a' * 20} short", f"{'a' * 20} {'b' * 20} {'c' * 20}"]
)
def test_a_word_of_a_passphrase_proves_nothing(secret: str) -> None:
    assert signed_by(secret, b"{}", _signed(secret))
    assert not any(signed_by(secret, b"{}", _signed(word)) for word in [*secret.split(), ""])


def test_either_of_two_secrets_proves_and_none_proves_nothing() -> None:
    old, new = "o" * 20, "n" * 20
    assert [signed_by(f"{new} {old}\n", b"{}", _signed(one)) for one in (new, old, f"{new} {old}")] == [
        True,
        True,
        False,
    ]
    assert [signed_by(nothing, b"{}", _signed(nothing)) for nothing in ("", " ")] == [False, False]


def _signed(secret: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), b"{}", hashlib.sha256).digest()).decode()


def test_a_token_is_kept_renewed_before_it_runs_out_and_after_a_refusal() -> None:
    clock = ManualClock(START)
    auth, fetched = _bearer(clock, life=3600)
    assert _used(auth) == _used(auth) == "Bearer token-1"
    clock.advance(3500)
    assert _used(auth) == "Bearer token-2"
    assert _used(auth, refuse="token-2") == "Bearer token-3"
    assert len(fetched) == 3


def test_many_threads_fetch_one_token() -> None:
    auth, fetched = _bearer(ManualClock(START), life=3600)
    threads = [threading.Thread(target=_used, args=(auth,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == ["token-1"]


def test_a_secret_is_hidden_in_all_its_forms() -> None:
    secret = "p@ss/word+1"
    redactor = Redactor([secret])
    forms = (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode())
    for form in forms:
        assert redactor.text(f"before {form} after") == f"before {HIDDEN} after"


def test_a_secret_is_hidden_in_json_and_html_too() -> None:
    secret = 'q"uote\\and<slash>/&ü'
    redactor = Redactor([secret])
    for form in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], html.escape(secret)):
        assert redactor.text(f"before {form} after") == f"before {HIDDEN} after"


def lower_hex(text: str) -> str:
    return "".join(one.lower() if one.startswith("%") else one for one in re.split("(%..)", text))


def in_xml(secret: str, encoding: str) -> str:
    element = etree.Element("login", password=secret)
    element.text = secret
    written = etree.tostring(element, encoding=encoding)
    return written if isinstance(written, str) else written.decode()


WRITERS: dict[str, Callable[[str], str]] = {
    "xml": lambda secret: in_xml(secret, "us-ascii"),
    "xml as text": lambda secret: in_xml(secret, "unicode"),
    "json within json": lambda secret: json.dumps({"body": json.dumps({"password": secret})}),
    "json within json, plain": lambda secret: json.dumps(
        {"body": json.dumps({"password": secret}, ensure_ascii=False)}
    ),
    "lower hexadecimals": lambda secret: f"https://x.example/?p={lower_hex(quote(secret, safe=''))}",
    "html": lambda secret: html.escape(secret).replace("&#x27;", "&#39;"),
    "python": lambda secret: repr({"password": secret}),
    "python's bytes": lambda secret: repr(secret.encode()),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("secret", [
    'p&ss"word-of-theirs', "it's<a>&word-of-theirs", "plus+/=word-of-theirs", "\u00fcn\u00ef-word-of-theirs", 'back\\"/word-of-theirs',
    "tab\tword-of-theirs", "line\nword-of-theirs",
])  # fmt: skip
def test_a_secret_with_odd_characters_is_hidden_however_it_is_written(secret: str, writer: str) -> None:
    told = WRITERS[writer](secret)
    redactor = Redactor([secret])
    assert "word-of-theirs" not in redactor.text(told)
    assert b"word-of-theirs" not in redactor.content(told.encode())


def test_what_is_read_of_an_answer_has_long_secrets_hidden_and_short_words_left() -> None:
    redactor = Redactor(["a-token-of-some-length", "admin"]).beside(Redactor(["another-long-secret-1"]))
    body = b'{"a": "a-token-of-some-length", "b": "another-long-secret-1", "role": "admin"}'
    assert json.loads(redactor.content(body)) == {"a": HIDDEN, "b": HIDDEN, "role": "admin"}
    assert redactor.value({"a": ["admin", 1, None]}) == {"a": [HIDDEN, 1, None]}


def test_credentials_are_hidden_by_name_although_nobody_told_of_them() -> None:
    redactor = Redactor()
    assert redactor.headers({"Authorization": "Bearer x", "X-Other": "y"}) == {"authorization": HIDDEN, "x-other": "y"}
    assert redactor.body(b'{"refresh_token": "a\\"b", "n": 1}') == f'{{"refresh_token": "{HIDDEN}", "n": 1}}'


def test_a_body_is_redacted_before_it_is_cut() -> None:
    redactor = Redactor(["0123456789"])
    assert "01234" not in redactor.body(b"x" * 15 + b"0123456789", limit=20)


def test_evidence_holds_nothing_of_a_person_whatever_a_system_answers() -> None:
    redactor = Redactor()
    assert redactor.body(b'{"email": "anna@example.org", "id": 7}') == f'{{"email": "{MASK}", "id": 7}}'
    assert redactor.body(b"no customer anna@example.org") == f"no customer {MASK}"
    own = Personal({"loyalty_card": "hash"})
    assert redactor.body(b'{"loyalty_card": "LC-1"}', personal=own) == f'{{"loyalty_card": "{MASK}"}}'
    assert redactor.body(b'{"sku": "A@WH1"}') == '{"sku": "A@WH1"}', "as it came"


def test_evidence_in_xml_holds_nothing_of_a_person_either() -> None:
    body = """<?xml version="1.0"?><s:Envelope xmlns:s="urn:x"><n0:Customer ID="4711"><n0:Name>Planted</n0:Name><Street>Planted 7</Street>
    <EmailAddress>planted@mail.example</EmailAddress><Contact phone="planted"/></n0:Customer><Material>A-1</Material>
    <Fault>nobody is planted@mail.example</Fault><Torn><City>Planted</City>"""
    told = Redactor().body(body.encode())
    assert "planted" not in told.lower()
    assert all(kept in told for kept in ('ID="4711"', "<Material>A-1</Material>", "<Fault>nobody is •••</Fault>"))


def test_evidence_holds_no_address_in_words_beside_what_is_masked() -> None:
    assert (
        Redactor().body(b'{"city": "Ulm", "message": "nobody is anna@mail.example"}')
        == '{"city": "•••", "message": "nobody is •••"}'
    )


def test_of_a_body_that_is_too_long_to_be_looked_through_nothing_is_kept() -> None:
    assert Redactor().body(b'{"x": "' + b"a" * 70_000) == "(70007 bytes, of which nothing is kept)"
