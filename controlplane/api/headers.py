"""Headers that keep a browser from doing what the pages never ask for."""

from __future__ import annotations

from flask import Flask, Response, request

from controlplane.api.gate import is_secure, script_hashes

POLICY = (
    "default-src 'self'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Styles must be allowed inline: the charts set them on their elements. Scripts run from our files and known hashes only."""
TLS_ONLY = "max-age=31536000"
"""Seconds of a year in which a browser that came by TLS comes by nothing else. Other names below this one are their owner's."""
FIXED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def install(app: Flask) -> None:
    """Put the headers on every answer."""
    app.after_request(_protect)


def _protect(answer: Response) -> Response:
    answer.headers["Content-Security-Policy"] = POLICY.format(hashes=script_hashes())
    for name, value in FIXED.items():
        answer.headers[name] = value
    if is_secure():
        answer.headers["Strict-Transport-Security"] = TLS_ONLY
    if not _is_file(request.path):
        answer.headers["Cache-Control"] = "no-store"
    return answer


def _is_file(path: str) -> bool:
    """Scripts and styles of the pages carry their version in the address and hold nothing that is anybody's."""
    return path.startswith(("/_dash-component-suites/", "/assets/", "/login/static/"))
