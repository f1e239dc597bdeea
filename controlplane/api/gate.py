"""The one gate. Nothing answers without a session or a token but what is listed here by endpoint.

From here on all that is read for the request, of the store and of the registry, is what is in sight of who asks.
"""

from __future__ import annotations

import hmac
from urllib.parse import quote

from flask import Flask, Response, current_app, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from controlplane.access import Session, allowed, check_token, resume_session
from controlplane.api.answers import plane
from controlplane.api.problems import problem
from controlplane.api.rates import count_refused
from rules.reach import EVERYTHING

SESSION_COOKIE = "trueup_session"
CSRF_COOKIE = "_csrf_token"
"""Not hidden from scripts: Dash and our own pages send it back in the header, which another site cannot."""
CSRF_HEADER = "X-CSRFToken"
OPEN = frozenset(
    {
        "open.healthz", "open.readyz", "login.page", "login.sign_in", "login.static", "login.provider", "login.callback",
        "login.leave", "hooks.take",
    }
)  # fmt: skip
"""Endpoints that answer anybody. Webhooks prove themselves by their signature."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def install(app: Flask) -> None:
    """Put the gate before every request."""
    app.before_request(_gate)
    app.after_request(_let_go)


def _gate() -> AnyResponse | None:
    plane().registry.confine(EVERYTHING)  # this thread may have answered somebody else before
    if request.endpoint in OPEN:
        return None
    header = request.headers.get("Authorization", "")
    if header:
        g.actor = check_token(plane().store, plane().clock, header.removeprefix("Bearer ").strip())
    elif (session := current_session()) is not None:
        if request.method not in SAFE and not _meant(session):
            return problem(403, f"the header {CSRF_HEADER} does not match the session; reload the page and try again")
        g.actor, g.session = session.actor, session
    if g.get("actor") is None:
        return _sign_in_first()
    if not allowed(g.actor, "view"):
        return problem(403, f"'{g.actor.name}' has no role that may look at anything; ask an admin for one")
    plane().registry.confine(g.actor.reach)
    return None


def _let_go(answer: Response) -> Response:
    """Confine nobody any more once the last byte of the answer is read."""
    registry = plane().registry
    answer.call_on_close(lambda: registry.confine(EVERYTHING))
    return answer


def current_session() -> Session | None:
    """Return the session of the request's cookie, if it is in use."""
    token = request.cookies.get(SESSION_COOKIE)
    return resume_session(plane().store, plane().clock, token) if token else None


def _meant(session: Session) -> bool:
    """Whether the one who holds the cookie also meant to send this: header, or the form field of our own pages."""
    given = request.headers.get(CSRF_HEADER) or request.form.get("csrf_token", "")
    return hmac.compare_digest(given.encode(), session.csrf_token.encode())


def _sign_in_first() -> AnyResponse:
    wants_page = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
    if wants_page and not request.path.startswith(("/api/", "/_dash", "/metrics")):
        query = f"?{request.query_string.decode()}" if request.query_string else ""
        return redirect(f"/login?next={quote(request.path + query)}")
    if (wait := count_refused()) is not None:
        return wait
    detail = "nobody is signed in; open /login, or send a service token as Authorization: Bearer"
    return problem(401, detail, WWW_Authenticate='Bearer realm="trueup"')


def set_session(answer: Response, session: Session) -> None:
    """Give the browser its session, for this site only and out of reach of scripts."""
    secure = is_secure()
    answer.set_cookie(SESSION_COOKIE, session.token, httponly=True, samesite="Lax", secure=secure, path="/")
    answer.set_cookie(CSRF_COOKIE, session.csrf_token, samesite="Lax", secure=secure, path="/")


def is_secure() -> bool:
    """Whether the browser reaches us by TLS, ours or that of a proxy in front of us."""
    return request.is_secure or plane().settings.home_page.startswith("https:")


def clear_session(answer: Response) -> None:
    """Take the session back from the browser."""
    for name in (SESSION_COOKIE, CSRF_COOKIE):
        answer.delete_cookie(name, path="/")


def script_hashes() -> str:
    """Return the hashes of the inline scripts that the pages bring, for the content security policy."""
    return " ".join(current_app.config.get("SCRIPT_HASHES", ()))
