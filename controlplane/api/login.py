"""Signing in and out."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from controlplane.access import authenticate, open_session, revoke_session
from controlplane.api.answers import plane
from controlplane.api.gate import clear_session, current_session, set_session

login = Blueprint(
    "login", __name__, template_folder="templates", static_folder="static", static_url_path="/login/static"
)
WRONG = "That name and password do not go together, or the account is locked for a while after too many tries."


@login.get("/login")
def page() -> AnyResponse:
    """Show the form; who is signed in already goes on."""
    if current_session() is not None:
        return redirect(_next())
    return _form()


@login.post("/login")
def sign_in() -> AnyResponse:
    """Check name and password; accounts lock themselves after too many failures."""
    if _from_elsewhere():
        return _form("This form was sent from another site; sign in here.", 403)
    name, password = request.form.get("name", "").strip(), request.form.get("password", "")
    actor = authenticate(plane().store, plane().clock, name, password)
    if actor is None:
        return _form(WRONG, 401)
    answer = make_response(redirect(_next(), 303))
    set_session(answer, open_session(plane().store, plane().clock, actor))
    return answer


@login.post("/logout")
def sign_out() -> AnyResponse:
    """End the session on the server's side and in the browser."""
    if session := g.get("session"):
        revoke_session(plane().store, plane().clock, session.token)
    answer = make_response(redirect("/login", 303))
    clear_session(answer)
    return answer


def _form(message: str = "", status: int = 200) -> Response:
    name = request.form.get("name", "")
    return make_response(render_template("login.html", message=message, name=name, next=_next()), status)


def _next() -> str:
    """Return where to go afterwards: a path of this site, never another site."""
    wanted = request.values.get("next", "/")
    parts = urlsplit(wanted)
    local = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return wanted if local and wanted.isprintable() else "/"


def _from_elsewhere() -> bool:
    origin = request.headers.get("Origin")
    return origin not in (None, "null") and urlsplit(str(origin)).netloc != request.host
