"""NetSuite's error document: `{type, title, status, "o:errorDetails": […]}`."""

import json

from flask import Response

_TITLES = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class ErpError(Exception):
    """A request the ERP refuses: HTTP status, its own code, what is wrong, and where."""

    def __init__(self, status: int, code: str, detail: str, path: str | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.path = status, code, detail, path


def response(problem: ErpError) -> Response:
    """The problem as the ERP would send it."""
    entry = {"detail": problem.detail, "o:errorCode": problem.code}
    if problem.path:
        entry["o:errorPath"] = problem.path
    body = {
        "type": "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html",
        "title": _TITLES.get(problem.status, "Server Error"),
        "status": problem.status,
        "o:errorDetails": [entry],
    }
    return Response(
        json.dumps(body), status=problem.status, content_type="application/vnd.oracle.resource+json; type=error"
    )
