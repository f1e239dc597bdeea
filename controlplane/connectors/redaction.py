"""Keeps secrets out of evidence, logs and error messages.

A connector's secrets are learnt as they are resolved, so nobody has to remember to hide them; what is hidden is the
value itself wherever it turns up, its percent-encoded and base64 forms, and headers and JSON fields that by their
name carry credentials.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from rules.personal import USUAL, Personal, masking, shown, without_addresses

HIDDEN = "[redacted]"
LIMIT = 4096
"""Bytes of evidence kept of one exchange."""
SHORTEST = 4
"""A shorter secret is not searched for in text: it would black out half of every page."""
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


LARGE = 2**16
"""Bytes of a body from which on it is too long to be looked through at every exchange, for the little of it that is kept."""


def _masked(body: bytes, personal: Personal) -> str:
    if len(body) > LARGE:
        return f"({len(body)} bytes, of which nothing is kept)"
    text = body.decode("utf-8", errors="replace")
    try:
        found = shown(json.loads(text), personal, masking)
    except (ValueError, RecursionError):
        return without_addresses(text)
    return json.dumps(found.value, ensure_ascii=False) if found.hidden else without_addresses(text)


class Redactor:
    """Hides the secrets it has been told of. Safe to use from several threads."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._forms: tuple[str, ...] = ()
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str) -> str:
        """Remember a secret and return it."""
        if len(secret) >= SHORTEST:
            encoded = base64.b64encode(secret.encode()).decode()
            with self._lock:
                forms = {*self._forms, secret, quote(secret, safe=""), encoded, encoded.rstrip("=")}
                # the longest first, so that no tail of an encoded form is left standing
                self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        return secret

    def text(self, text: str) -> str:
        """Return the text with every known secret and every credential field hidden."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
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
