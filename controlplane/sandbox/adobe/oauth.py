"""Whether a request was signed by OAuth 1.0a with HMAC-SHA256 (RFC 5849): the server's half, written for itself."""

import base64
import hashlib
import hmac
import re
from urllib.parse import parse_qsl, quote, unquote

from flask import Request

_FIELD = re.compile(r'(\w+)="([^"]*)"')


def _percent(text: str) -> str:
    return quote(text, safe="-._~")


def is_signed(request: Request, key: str, secret: str, token: str, token_secret: str, seen: set[str]) -> bool:
    """Check key, token and signature; a nonce is good once."""
    header = request.headers.get("Authorization", "")
    given = {name: unquote(value) for name, value in _FIELD.findall(header) if name.startswith("oauth_")}
    signature, nonce = given.pop("oauth_signature", ""), given.get("oauth_nonce", "")
    if (
        not header.startswith("OAuth ")
        or (given.get("oauth_consumer_key"), given.get("oauth_token")) != (key, token)
        or nonce in seen
    ):
        return False
    seen.add(nonce)
    pairs = [*given.items(), *parse_qsl(request.query_string.decode(), keep_blank_values=True)]
    flat = "&".join(
        f"{name}={value}" for name, value in sorted((_percent(name), _percent(value)) for name, value in pairs)
    )
    text = "&".join((request.method, _percent(request.base_url), _percent(flat)))
    made = hmac.new(f"{_percent(secret)}&{_percent(token_secret)}".encode(), text.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(made), signature.encode())
