"""One tenant over HTTP: who may come in, CSRF tokens with their session, services, `$batch`, SOAP."""

import json
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Response, request

from controlplane.sandbox.gate import hang_up
from controlplane.sandbox.sap import batch, soap, v4
from controlplane.sandbox.sap.books import Erp, Refusal
from controlplane.sandbox.sap.services import ROOT, Told, handle, told_of

USER, PASSWORD = "TRUEUP_COMM", "sap-communication-password"
COOKIE = "SAP_SESSIONID_S4H_100"
SAFE = ("GET", "HEAD")
__all__ = ["Erp", "create"]


def create(erp: Erp) -> Flask:
    """Return an application for one tenant."""
    app = Flask("sap")

    @app.route(f"{ROOT}/<service>/", defaults={"path": ""}, methods=["GET", "HEAD"])
    @app.route(f"{ROOT}/<service>/<path:path>", methods=["GET", "POST", "PATCH", "MERGE", "DELETE"])
    def odata(service: str, path: str) -> Response:
        with erp.lock:
            erp.settle()
            asked = partial(handle, erp, service)
            return _refused(erp) or _answered(erp, asked, path, told_of, {"DataServiceVersion": "2.0"}, 202)

    @app.route(f"{v4.ROOT}/", defaults={"path": ""}, methods=["GET", "HEAD"])
    @app.route(f"{v4.ROOT}/<path:path>", methods=["GET", "POST", "PATCH", "DELETE"])
    def odata4(path: str) -> Response:
        with erp.lock:
            return _refused(erp) or _answered(
                erp, partial(v4.handle, erp), path, v4.told_of, {"OData-Version": "4.0"}, 200
            )

    @app.post(soap.SERVICE)
    def journal() -> Response:
        with erp.lock:
            return _barred(erp) or _queued(erp)

    return app


def _barred(erp: Erp) -> Response | None:
    if erp.throttled:
        erp.throttled -= 1
        return Response("Too many requests", 429, {"Retry-After": "5"})
    given = request.authorization
    if given is None or (given.username, given.password) != (USER, PASSWORD):
        page = "<html><head><title>Logon Error Message</title></head><body>Anmeldung fehlgeschlagen</body></html>"
        return Response(page, 401, {"WWW-Authenticate": 'Basic realm="SAP NetWeaver Application Server [S4H/100]"'})
    return None


def _refused(erp: Erp) -> Response | None:
    if barred := _barred(erp):
        return barred
    session = request.cookies.get(COOKIE, "")
    if request.method not in SAFE and erp.sessions.get(session) != request.headers.get("x-csrf-token", ""):
        return Response("CSRF token validation failed", 403, {"x-csrf-token": "Required", "Content-Type": "text/plain"})
    return None


def _answered(
    erp: Erp, asked: batch.Handle, path: str, refused: Callable[[Refusal], Told], spoken: dict[str, str], status: int
) -> Response:
    if path == "$batch" and request.method == "POST":
        older, kind = status == 202, request.headers.get("Content-Type", "")
        whole = older or "odata.continue-on-error" in request.headers.get("Prefer", "")
        try:
            kind, body = batch.answered(erp, asked, kind, request.get_data(), whole=whole)
        except Refusal as refusal:
            return _written(erp, refused(refusal), spoken)
        return _lost(erp) or Response(body, status, {"Content-Type": kind, **spoken})
    headers = {name.lower(): value for name, value in request.headers.items()}
    told = asked(request.method, path, request.args, headers, _body())
    if request.method not in SAFE and told.status < 400 and (cut := _lost(erp)):
        return cut
    return _written(erp, told, spoken)


def _body() -> Any:
    try:
        return json.loads(request.get_data() or b"null")
    except ValueError:
        return None


def _written(erp: Erp, told: Told, spoken: dict[str, str]) -> Response:
    body = "" if told.body is None else json.dumps(_absolute(told.body))
    answer = Response(body, told.status, {"Content-Type": "application/json", **spoken, **told.headers})
    if request.headers.get("x-csrf-token", "").lower() == "fetch" and request.method in SAFE:
        session, token = secrets.token_hex(16), secrets.token_urlsafe(16)
        erp.sessions[session] = token
        answer.headers["x-csrf-token"] = token
        answer.set_cookie(COOKIE, session, httponly=True)
        answer.set_cookie("sap-usercontext", "sap-client=100")
    return answer


def _absolute(body: Any) -> Any:
    """A further page is told by its whole address."""
    inside = body.get("d")
    if isinstance(inside, dict) and "__next" in inside:
        inside["__next"] = f"{request.base_url.rpartition('/')[0]}/{inside['__next']}"
    return body


def _lost(erp: Erp) -> Response | None:
    if not erp.lost:
        return None
    erp.lost -= 1
    return hang_up()


def _queued(erp: Erp) -> Response:
    try:
        soap.accept(erp, request.get_data())
    except soap.FaultError as fault:
        words = str(fault).replace("&", "&amp;").replace("<", "&lt;")
        inside = f"<s:Fault><faultcode>s:Client</faultcode><faultstring>{words}</faultstring></s:Fault>"
        page = f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{inside}</s:Body></s:Envelope>'
        return Response(page, 500, {"Content-Type": "text/xml; charset=utf-8"})
    return _lost(erp) or Response("", 202, {"Content-Type": "text/xml; charset=utf-8"})
