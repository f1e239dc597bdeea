"""`/erp/services/rest/`: authentication, concurrency, SuiteQL, records."""

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.erp.documents import Ledger
from controlplane.sandbox.erp.jobs import Jobs
from controlplane.sandbox.erp.oauth import Verifier
from controlplane.sandbox.erp.problems import ErpError, response
from controlplane.sandbox.erp.suiteql import PAGE_CAP
from controlplane.sandbox.erp.tokens import CLIENT, Refused, Tokens
from controlplane.sandbox.gate import Gate, Vendor
from controlplane.sandbox.world import World

BASE = "/erp/services/rest"
CONCURRENCY = 15


def _too_many() -> Response:
    detail = "Your request was denied because of concurrency limits. Try again later."
    return response(ErpError(429, "REQUEST_LIMIT_EXCEEDED", detail))


def _broken(status: int) -> Response:
    return response(ErpError(status, "UNEXPECTED_ERROR", "An unexpected error occurred."))


class Erp:
    """The HTTP face of the ERP."""

    def __init__(self, world: World, gate: Gate) -> None:
        self.world, self.gate = world, gate
        self.ledger = Ledger(world)
        self.vendor = Vendor("erp", _too_many, _broken)
        self._verifier = Verifier(world.secrets, world.clock)
        self.tokens, self.jobs = Tokens(world.clock), Jobs(world, self.ledger)
        self._slots = threading.BoundedSemaphore(CONCURRENCY)

    def serve(self, operations: tuple[str, ...], work: Callable[[], Response]) -> Response:
        """Authenticate, take one of the account's slots, pass the gate, work."""
        if not self._slots.acquire(blocking=False):
            with self.world.transaction():
                self.world.journal.write("throttled", system="erp", cause="concurrency")
            return _too_many()
        try:
            return self.gate.pass_through(self.vendor, operations, lambda: self._work(work))
        finally:
            self._slots.release()

    def _work(self, work: Callable[[], Response]) -> Response:
        try:
            url = request.host_url.rstrip("/") + request.environ["REQUEST_URI"]
            header = request.headers.get("Authorization", "")
            if not header.startswith("Bearer "):
                self._verifier.check(request.method, url, header)
            elif not self.tokens.good(header):
                raise ErpError(401, "INVALID_LOGIN", "Invalid login attempt: the token is not valid.")
            with self.world.transaction():
                self.jobs.step()
                return work()
        except ErpError as problem:
            return response(problem)

    def query(self) -> Response:
        """`POST query/v1/suiteql`."""
        if "transient" not in request.headers.get("Prefer", ""):
            raise ErpError(400, "INVALID_HEADER", "The Prefer header must contain 'transient'.")
        limit, offset = _page_argument("limit", PAGE_CAP, PAGE_CAP), _page_argument("offset", 0, None)
        text = _json_body().get("q")
        if not isinstance(text, str) or not text.strip():
            raise ErpError(400, "INVALID_CONTENT", "The request body must hold a SuiteQL query in `q`.")
        return _json(self.ledger.books.query(text, limit, offset))

    def token(self) -> Response:
        """`POST auth/oauth2/v1/token`."""
        try:
            return jsonify(self.tokens.grant(request.form, request.base_url))
        except Refused as refusal:
            answer = jsonify(error=refusal.error, error_description=str(refusal))
            answer.status_code = 401 if refusal.error == "invalid_client" else 400
            return answer

    def put(self, kind: str, external_id: str) -> Response:
        """`PUT record/v1/{type}/eid:{externalId}`, at once or later; the idempotency key counts only for later."""
        if "respond-async" in request.headers.get("Prefer", ""):
            key = request.headers.get("X-NetSuite-Idempotency-Key")
            return self.jobs.take_on(kind, external_id, _json_body(), key)
        row = self.ledger.upsert(kind, external_id, _json_body())
        where = f"{request.host_url.rstrip('/')}{BASE}/record/v1/{quote(kind)}/{row.id}"
        return Response(status=204, headers={"Location": where})

    # --- what is told through the control API ---
    def certificate(self, body: dict[str, Any]) -> dict[str, Any]:
        """`{"public_key"}`: a certificate is uploaded for the client, in PEM."""
        return {"certificate_id": self.tokens.upload(str(body["public_key"])), "client_id": CLIENT}

    def set_up(self, body: dict[str, Any]) -> dict[str, Any]:
        """`{"time_zone", "hold_jobs", "revoke_tokens"}`: how the account is set, each optional."""
        if "time_zone" in body:
            self.ledger.books.zone = ZoneInfo(str(body["time_zone"]))
        self.jobs.held = bool(body.get("hold_jobs", self.jobs.held))
        if body.get("revoke_tokens"):
            self.tokens.revoke()
        return {"time_zone": str(self.ledger.books.zone), "hold_jobs": self.jobs.held}

    def get(self, kind: str, external_id: str) -> Response:
        """`GET record/v1/{type}/eid:{externalId}`."""
        row = self.ledger.find(kind, external_id)
        if row is None:
            raise ErpError(
                404, "NONEXISTENT_ID", "The record instance does not exist. Provide a valid record instance ID."
            )
        own = {
            "id": str(row.id),
            "externalId": row.external_id,
            "tranId": row.tran_id,
            "createdDate": iso_s(row.created_at),
            "lastModifiedDate": iso_s(row.updated_at),
        }
        return _json({"links": []} | row.body | own)


def _page_argument(name: str, default: int, top: int | None) -> int:
    text = request.args.get(name, str(default))
    if not text.isdigit() or (top is not None and not 1 <= int(text) <= top):
        raise ErpError(400, "INVALID_PARAMETER", f"Invalid value {text!r} for the query parameter {name}.")
    return int(text)


def _json_body() -> dict[str, Any]:
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict):
        raise ErpError(400, "INVALID_CONTENT", "The request body is no JSON object.")
    return body


def _json(body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), content_type="application/vnd.oracle.resource+json; type=collection")


def routes(app: Flask, world: World, gate: Gate) -> Erp:
    """Mount the ERP."""
    erp = Erp(world, gate)

    @app.post(f"{BASE}/query/v1/suiteql")
    def suiteql() -> Response:
        return erp.serve(("read", "suiteql"), erp.query)

    @app.put(f"{BASE}/record/v1/<kind>/eid:<path:external_id>")
    def upsert(kind: str, external_id: str) -> Response:
        return erp.serve(("write", kind), lambda: erp.put(kind, external_id))

    @app.get(f"{BASE}/record/v1/<kind>/eid:<path:external_id>")
    def read(kind: str, external_id: str) -> Response:
        return erp.serve(("read", kind), lambda: erp.get(kind, external_id))

    @app.post(f"{BASE}/auth/oauth2/v1/token")
    def token() -> Response:
        return gate.pass_through(erp.vendor, ("auth",), erp.token)

    base = f"{BASE}/async/v1/job/<int:number>"

    @app.get(base)
    def job(number: int) -> Response:
        return erp.serve(("read", "job"), lambda: _json(erp.jobs.job(number)))

    @app.get(f"{base}/task/")
    def tasks(number: int) -> Response:
        return erp.serve(("read", "job"), lambda: _json(erp.jobs.tasks(number)))

    @app.get(f"{base}/task/1")
    def task(number: int) -> Response:
        return erp.serve(("read", "job"), lambda: _json(erp.jobs.task(number)))

    @app.get(f"{base}/task/1/result")
    def result(number: int) -> Response:
        where = f"{request.host_url.rstrip('/')}{BASE}/record/v1"
        return erp.serve(("read", "job"), lambda: erp.jobs.result(number, where))

    return erp
