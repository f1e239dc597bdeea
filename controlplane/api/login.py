"""Signing in, by a password or at the identity provider; proving anew who one is; signing out."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

import structlog
from flask import Blueprint, Response, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from controlplane.access import (
    Begun,
    Oidc,
    Session,
    StepUp,
    admit,
    authenticate,
    open_session,
    refuse,
    revoke_session,
)
from controlplane.access.members import Member
from controlplane.access.oidc import PATIENCE
from controlplane.api.answers import plane
from controlplane.api.gate import clear_session, current_session, is_secure, set_session
from controlplane.api.problems import AGAIN
from controlplane.errors import NotFoundError, SignInError, UnavailableError

log = structlog.get_logger(__name__)
login = Blueprint(
    "login", __name__, template_folder="templates", static_folder="static", static_url_path="/login/static"
)
WRONG = "That name and password do not go together, or the account is locked for a while after too many tries."
LOST = (
    "This browser has begun no sign-in within the last ten minutes, or begun it under another address; sign in again."
)
BEGUN_COOKIE = "trueup_sign_in"
PATH = "/login/oidc"


# --- by a password ---


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
    return _form(WRONG, 401) if actor is None else _let_in(open_session(plane().store, plane().clock, actor), _next())


@login.get(AGAIN)
def again() -> AnyResponse:
    """Let somebody who is signed in prove anew who it is, where it was proved too long ago: at the provider, or by the password."""
    session = _own_session()
    if not StepUp.of(plane().settings).lacking(session.actor, plane().clock.now()):
        return redirect(_next())
    return _to_provider(_next(), again=True) if session.actor.issuer else _password_again(session)


@login.post(AGAIN)
def again_by_password() -> AnyResponse:
    """Check the password of whoever is signed in, and begin another session in place of this one."""
    session = _own_session()
    actor = authenticate(plane().store, plane().clock, session.actor.name, request.form.get("password", ""))
    if actor is None:
        return _password_again(session, WRONG, 401)
    return _let_in(open_session(plane().store, plane().clock, actor), _next())


@login.post("/logout")
def sign_out() -> AnyResponse:
    """End the session on the server's side and in the browser."""
    session: Session | None = g.get("session")
    _end_session()
    came_by_provider = session is not None and session.actor.issuer is not None
    answer = make_response(redirect("/login?left=1" if came_by_provider else "/login", 303))
    clear_session(answer)
    return answer


# --- at the provider ---


@login.get(PATH)
def provider() -> AnyResponse:
    """Send the browser to the identity provider."""
    return _to_provider(_next())


@login.get(f"{PATH}/callback")
def callback() -> AnyResponse:
    """Take the provider's answer: an account with the roles of the groups, and a new session; or the reason why not."""
    begun = _begun()
    if begun is None:
        return _form(LOST, 400)
    try:
        member = _vouched_for(begun)
        actor = admit(plane().store, plane().clock, member)
    except SignInError as error:
        return _forget_begun(_form(str(error), 403))
    except UnavailableError as error:
        return _unavailable(error)
    session = open_session(plane().store, plane().clock, actor, member.proof)
    return _forget_begun(_let_in(session, begun.next if _is_local(begun.next) else "/"))


@login.get(f"{PATH}/leave")
def leave() -> AnyResponse:
    """End the session at the provider too, where it has a place for that."""
    try:
        return redirect(_oidc().sign_out() or "/login")
    except UnavailableError as error:
        return _unavailable(error)


def _vouched_for(begun: Begun) -> Member:
    """Return whom the provider vouches for; an answer that is refused goes into the action log."""
    try:
        return _oidc().finish(begun, request.args)
    except SignInError as error:
        refuse(plane().store, plane().clock, _oidc().issuer, str(error))
        raise


def _unavailable(error: UnavailableError) -> Response:
    log.warning("sign-in", error=str(error))
    return _form(str(error), 503)


def _to_provider(next_page: str, *, again: bool = False) -> AnyResponse:
    try:
        address, begun = _oidc().begin(next_page, again=again)
    except UnavailableError as error:
        return _unavailable(error)
    answer = make_response(redirect(address))
    answer.set_cookie(
        BEGUN_COOKIE,
        _oidc().kept(begun),
        max_age=PATIENCE,
        httponly=True,
        samesite="Lax",
        secure=is_secure(),
        path=PATH,
    )
    return answer


def _begun() -> Begun | None:
    """Return the sign-in that this browser has begun here."""
    return _oidc().begun(request.cookies.get(BEGUN_COOKIE, ""))


def _forget_begun(answer: Response) -> Response:
    answer.delete_cookie(BEGUN_COOKIE, path=PATH)
    return answer


def _oidc() -> Oidc:
    found = plane().oidc
    if found is None:
        raise NotFoundError("no identity provider is set up (TRUEUP_OIDC_ISSUER); sign in at /login")
    return found


# --- both ---


def _let_in(session: Session, next_page: str) -> Response:
    """Begin a session in the browser; the one that it had is over, so that nobody who knew that has this one too."""
    _end_session()
    answer = make_response(redirect(next_page, 303))
    set_session(answer, session)
    return answer


def _end_session() -> None:
    if session := current_session():
        revoke_session(plane().store, plane().clock, session.token)


def _own_session() -> Session:
    """Return the session of the request; a program with a token has none."""
    session: Session | None = g.get("session")
    if session is None:
        raise NotFoundError("a service token proves nobody anew; sign in at /login")
    return session


def _form(message: str = "", status: int = 200) -> Response:
    found, next_page = plane().oidc, _next()
    shown = {
        "message": message, "name": request.form.get("name", ""), "next": next_page, "action": "/login",
        "provider": found and found.name, "provider_page": f"{PATH}?{urlencode({'next': next_page})}",
        "leave": f"{PATH}/leave" if found and "left" in request.args else "",
    }  # fmt: skip
    return make_response(render_template("login.html", **shown), status)


def _password_again(session: Session, message: str = "", status: int = 200) -> Response:
    reason = StepUp.of(plane().settings).lacking(session.actor, plane().clock.now())
    shown = {
        "message": message or f"{reason}: give the password once more.", "name": session.actor.name, "next": _next(),
        "action": AGAIN, "csrf_token": session.csrf_token,
    }  # fmt: skip
    return make_response(render_template("login.html", **shown), status)


def _next() -> str:
    """Return where to go afterwards: a path of this site, never another site."""
    wanted = request.values.get("next", "/")
    return wanted if _is_local(wanted) else "/"


def _is_local(wanted: str) -> bool:
    parts = urlsplit(wanted)
    local = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return local and wanted.isprintable()


def _from_elsewhere() -> bool:
    origin = request.headers.get("Origin")
    return origin not in (None, "null") and urlsplit(str(origin)).netloc != request.host
