"""Keeps secrets out of evidence, logs and error messages.

A connector's secrets are learnt as they are resolved, so nobody has to remember to hide them; what is hidden is the
value itself wherever it turns up, as it is written percent-encoded, in base64, JSON or HTML, and headers and JSON fields
that by their name carry credentials. What a system echoes of a long one is hidden before anybody reads its answer.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from rules.personal import MASK, USUAL, Personal, masking, shown, without_addresses

HIDDEN = "[redacted]"
LIMIT = 4096
"""Bytes of evidence kept of one exchange."""
SHORTEST = 4
"""A shorter secret is not searched for in text: it would black out half of every page."""
LONG = 16
"""A secret of so many characters stands in no honest answer of a system; it is hidden in the answer itself."""
HEADERS = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-api-key",
        "x-auth-token",
        "x-shopify-access-token",
        "x-shopify-hmac-sha256",
        "x-shiphero-hmac-sha256",
    }
)
_FIELD = re.compile(
    r'("(?:access_token|refresh_token|client_secret|password|passwd|secret|token|api_key)"\s*:\s*)"(?:[^"\\]|\\.)*"',
    re.I,
)


_OPENED = re.compile(r"<(?:[\w-]+:)?([\w.-]+)")
_ELEMENT = re.compile(r"(?P<before><(?:[\w-]+:)?(?P<name>[\w.-]+)(?:\s[^<>]*)?>)(?P<text>[^<>]+)(?P<after></)")
_ATTRIBUTE = re.compile(r"""(?P<before>\s(?:[\w-]+:)?(?P<name>[\w.-]+)=")(?P<text>[^"<>]+)(?P<after>")""")
_HEX = re.compile("%[0-9A-F]{2}")
LARGE = 2**16
"""Bytes of a body from which on it is too long to be looked through at every exchange, for the little of it that is kept."""


def _masked(body: bytes, personal: Personal) -> str:
    if len(body) > LARGE:
        return f"({len(body)} bytes, of which nothing is kept)"
    text = body.decode("utf-8", errors="replace")
    if text.lstrip().startswith("<"):
        return without_addresses(_masked_markup(text, personal))
    try:
        found = shown(json.loads(text), personal, masking)
    except (ValueError, RecursionError):
        return without_addresses(text)
    return json.dumps(found.value, ensure_ascii=False) if found.hidden else text


def _masked_markup(text: str, personal: Personal) -> str:
    """Mask the text of elements, and the attributes, whose names are personal; the document need not be whole."""
    names = frozenset(_OPENED.findall(text))

    def put(match: re.Match[str]) -> str:
        said = personal.among((match["name"],), names) if match["text"].strip() else None
        return f"{match['before']}{MASK}{match['after']}" if said not in (None, "show") else match[0]

    return _ATTRIBUTE.sub(put, _ELEMENT.sub(put, text))


class Redactor:
    """Hides the secrets it has been told of. Safe to use from several threads."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._forms: tuple[str, ...] = ()
        self._long: tuple[bytes, ...] = ()
        self._beside: Redactor | None = None
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str) -> str:
        """Remember a secret and return it."""
        if len(secret) >= SHORTEST and secret not in self._forms:
            with self._lock:
                alone = [part for part in secret.split() if len(part) >= LONG]  # two, while one is changed
                forms = {form for one in (secret, *alone) for form in forms_of(one)}
                self._forms = _longest_first({*self._forms, *forms})
                if len(secret) >= LONG:
                    self._long = _longest_first({*self._long, *(form.encode() for form in forms)})
        return secret

    def beside(self, other: Redactor) -> Redactor:
        """Hide what another one knows, too, from now on; return this one."""
        self._beside = other
        return self

    def content(self, body: bytes) -> bytes:
        """Return what a system answered with every long secret hidden, so that nothing which is read from it holds one."""
        for form in self._long:
            body = body.replace(form, HIDDEN.encode())
        return self._beside.content(body) if self._beside else body

    def value(self, value: Any) -> Any:
        """Return a JSON value with every text in it hidden as `text` does."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self.value(one) for name, one in value.items()}
        return [self.value(one) for one in value] if isinstance(value, list | tuple) else value

    def text(self, text: str) -> str:
        """Return the text with every known secret and every credential field hidden."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        if self._beside:
            return self._beside.text(text)
        return _FIELD.sub(rf'\1"{HIDDEN}"', text)

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers, names in lower case, with credentials hidden."""
        lowered = {name.lower(): value for name, value in headers.items()}
        return {name: HIDDEN if name in HEADERS else self.text(value) for name, value in lowered.items()}

    def body(self, body: bytes, limit: int = LIMIT // 2, personal: Personal = USUAL) -> str:
        """Return the body as text, redacted first and then cut to the limit, saying how much was left out.

        What is personal is masked: by the name of its field in JSON, in other text where it is an e-mail address.
        """
        text = self.text(_masked(body, personal))
        return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} characters more)"


def forms_of(secret: str) -> Iterator[str]:
    """Yield how a secret may be written: as it is, percent-encoded, in base64, in JSON (in a text of JSON too), in HTML, XML, Python."""
    raw, told = secret.encode(), json.dumps(secret)[1:-1]
    yield secret
    for encoded in (quote(secret, safe=""), quote_plus(secret), quote(secret)):
        yield from (encoded, _HEX.sub(lambda found: found[0].lower(), encoded))
    plain = json.dumps(secret, ensure_ascii=False)[1:-1]
    yield from (told, told.replace("/", "\\/"), plain)
    yield from (json.dumps(one)[1:-1] for one in (told, plain))
    yield from _marked_up(secret)
    yield from (repr(secret)[1:-1], repr(raw)[2:-1])
    for based in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
        yield from (based, based.rstrip("="), quote(based, safe=""))


def _marked_up(secret: str) -> Iterator[str]:
    """In a text of XML quotes stand as they are, in an attribute one kind of them does, and blanks that are none do not."""
    text = html.escape(secret, quote=False)
    both = html.escape(secret)
    attribute = text.replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")
    for one in (text, both, both.replace("&#x27;", "&#39;"), both.replace("&#x27;", "&apos;"), attribute):
        yield from (one, one.encode("ascii", "xmlcharrefreplace").decode())


def _longest_first(forms: set[Any]) -> tuple[Any, ...]:
    """So that no tail of an encoded form is left standing."""
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))
