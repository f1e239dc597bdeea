"""Errors as application/problem+json (RFC 9457): what is wrong, which rule says so, what helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, json
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from controlplane.api.answers import veiled
from controlplane.connectors.contract import SignatureError
from controlplane.errors import (
    BadInputError,
    ConflictError,
    ConnectorError,
    ForbiddenError,
    KeyMissingError,
    NotFoundError,
    OverloadedError,
    PolicyError,
    SealError,
    StaleError,
    StepUpError,
    TrueupError,
)

log = structlog.get_logger(__name__)

STATUS: tuple[tuple[type[TrueupError], int], ...] = (
    (NotFoundError, 404),
    (StaleError, 412),
    (ConflictError, 409),
    (ForbiddenError, 403),
    (SignatureError, 401),
    (BadInputError, 422),
    (PolicyError, 422),
    (OverloadedError, 503),
    (KeyMissingError, 503),
    (SealError, 409),
    (ConnectorError, 502),
    (TrueupError, 500),
)
"""The first class that fits decides."""
AGAIN = "/login/again"
"""Where somebody who is signed in proves anew who it is."""
RETRY_AFTER = "5"
"""Seconds that a caller is asked to wait when the database does not answer."""


def problem(
    status: int, detail: str, kind: str = "about:blank", more: Mapping[str, Any] | None = None, **headers: str
) -> Response:
    """Return a problem document; `detail` names the thing, the rule and the remedy, `more` are members of this type's own."""
    document = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **(more or {})}
    answer = Response(json.dumps(document), status=status, mimetype="application/problem+json")
    for name, value in headers.items():
        answer.headers[name.replace("_", "-")] = value
    return answer


def status_of(error: TrueupError) -> int:
    """Return the status that an error of the plane is answered with."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def install(app: Flask) -> None:
    """Answer every error with a problem document; an unforeseen one is logged and tells nothing of the inside."""
    handlers: dict[type[Exception], Callable[[Any], Response]] = {
        TrueupError: _refused,
        RequestEntityTooLarge: _too_large,
        HTTPException: _http,
        OperationalError: _database,
        PoolTimeoutError: _database,
        Exception: _unforeseen,
    }
    for kind, handler in handlers.items():
        app.register_error_handler(kind, handler)


def _refused(error: TrueupError) -> Response:
    if isinstance(error, StepUpError):
        return _again(error)
    kind = f"urn:trueup:{type(error).__name__.removesuffix('Error').lower()}"
    wait = {"Retry_After": f"{error.retry_after:.0f}"} if isinstance(error, OverloadedError) else {}
    status = status_of(error)
    return problem(status, veiled(str(error), nowhere=status in (404, 422)), kind, None, **wait)


def _again(error: StepUpError) -> Response:
    """Say where one proves anew who one is; `?next=` behind the address is where to go after that."""
    more = {"step_up": AGAIN, "max_age": error.max_age, "acr_values": list(error.acr)}
    return problem(403, str(error), "urn:trueup:stepup", more)


def _too_large(error: RequestEntityTooLarge) -> Response:
    return problem(error.code or 413, "the body is larger than 2 MB; send less at once", "urn:trueup:toolarge")


def _http(error: HTTPException) -> Response:
    answer = error.get_response()
    if (error.code or 500) < 400:
        return Response(answer.get_data(), status=error.code, headers=answer.headers)
    made = problem(error.code or 500, error.description or "")
    for name in ("Allow", "Retry-After"):
        if name in answer.headers:
            made.headers[name] = answer.headers[name]
    return made


def _database(error: Exception) -> Response:
    log.warning("database", error=str(error))
    if "deadlock" in str(getattr(error, "orig", "")):
        crossed = "this crossed with what somebody else did at the same moment; nothing was changed, send it again"
        return problem(503, crossed, "urn:trueup:database", Retry_After=RETRY_AFTER)
    detail = "the plane's database does not answer; nothing was stored, try again in some seconds"
    return problem(503, detail, "urn:trueup:database", Retry_After=RETRY_AFTER)


def _unforeseen(error: Exception) -> Response:
    log.error("unforeseen", exc_info=error)
    return problem(500, "the plane failed in a way nobody foresaw; its log has the details", "urn:trueup:defect")
