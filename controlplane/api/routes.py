"""What is no route of the API, or is not asked by this method: told as a problem, whatever else is mounted below the same address."""

from __future__ import annotations

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from controlplane.api.problems import problem

PREFIX = "/api/v1/"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def install(app: Flask) -> None:
    """Look at every request below the prefix, after the gate."""
    app.before_request(_answer)


def _answer() -> Response | None:
    if not request.path.startswith(PREFIX) or (_ours(request.url_rule) and request.method != "OPTIONS"):
        return None
    taken = _taken()
    if not taken:
        return problem(404, f"there is no {request.method} {request.path}; GET {PREFIX} lists the routes")
    allowed = ", ".join([*taken, *(["HEAD"] if "GET" in taken else []), "OPTIONS"])
    if request.method == "OPTIONS":
        return Response(status=204, headers={"Allow": allowed})
    return problem(405, f"{request.path} takes {allowed}, and no {request.method}", Allow=allowed)


def _ours(rule: Rule | None) -> bool:
    return rule is not None and rule.rule.startswith(PREFIX)


def _taken() -> list[str]:
    """Return the methods of the address. One that is written out is no name in another: /quarantine/drop is no case."""
    found = {method: rule for method in METHODS if (rule := _rule(method)) is not None}
    fixed = {rule.rule for rule in found.values() if not rule.arguments}
    return [method for method, rule in found.items() if not fixed or rule.rule in fixed]


def _rule(method: str) -> Rule | None:
    try:
        rule, _ = current_app.url_map.bind_to_environ(request.environ).match(method=method, return_rule=True)
    except HTTPException:
        return None
    return rule if _ours(rule) else None
