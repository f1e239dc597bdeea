"""The shop's endpoint: token, version, and how it says that it has had enough."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from controlplane.connectors.auth import StaticHeader
from controlplane.connectors.contract import Context
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import DEFAULT_WAIT, HttpClient
from controlplane.connectors.redaction import Redactor
from controlplane.errors import ConnectorError, RejectedError, ThrottledError, UnavailableError, UnknownOutcomeError
from rules.pacing import Allowance

DEFAULT_VERSION = "2026-04"
BUSY = 10.0
"""Seconds until a place for a bulk operation may be free."""
FULL = frozenset({"OPERATION_IN_PROGRESS", "LIMIT_REACHED"})
FILES = frozenset({"NO_SUCH_FILE", "INTERNAL_FILE_SERVER_ERROR"})
BROKEN = frozenset({"INTERNAL_SERVER_ERROR", "TIMEOUT", "SERVICE_UNAVAILABLE"})


def make_api(context: Context) -> tuple[HttpClient, GraphqlClient]:
    """Return the clients of one shop. Raises SettingsError when the access token cannot be resolved."""
    token = context.secret("access_token")
    http = HttpClient(context, Redactor([token]))
    path = f"/admin/api/{context.options.get('api_version', DEFAULT_VERSION)}/graphql.json"
    return http, GraphqlClient(http, path, read_errors, StaticHeader("X-Shopify-Access-Token", token), left_of)


def read_errors(errors: list[dict[str, Any]], extensions: Mapping[str, Any], wrote: bool) -> ConnectorError | None:
    """Tell throttling and breakdown from refusal; both come inside HTTP 200."""
    codes = {str((error.get("extensions") or {}).get("code", "")) for error in errors}
    told = "; ".join(str(error.get("message", "")) for error in errors)[:500]
    if "THROTTLED" in codes:
        return ThrottledError(f"the shop throttles: {told}", wait_for(extensions.get("cost") or {}))
    if codes & BROKEN:
        return UnknownOutcomeError(f"the shop broke off: {told}") if wrote else UnavailableError(f"the shop: {told}")
    return None


def wait_for(cost: Mapping[str, Any]) -> float:
    """Return the seconds until the bucket holds what the query wanted: (requested - available) / restore rate."""
    status = cost.get("throttleStatus") or {}
    try:
        missing = float(cost["requestedQueryCost"]) - float(status["currentlyAvailable"])
        return max(0.1, missing / float(status["restoreRate"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return DEFAULT_WAIT


def left_of(extensions: Mapping[str, Any]) -> Allowance | None:
    """Return how many queries that cost as much as this one the bucket would take now, and the seconds until it takes one."""
    try:
        cost = extensions["cost"]
        asked, status = max(1.0, float(cost["requestedQueryCost"])), cost["throttleStatus"]
        left, rate = float(status["currentlyAvailable"]), float(status["restoreRate"])
        return Allowance(max(0.0, left / asked), max(0.0, (asked - left) / rate))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def term(field: str, value: str) -> str:
    """Return a term of the vendor's search syntax that matches the value whole."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{field}:'{escaped}'"


def refusal(errors: list[dict[str, Any]]) -> str:
    """Return the user errors of a mutation in one line."""
    return json.dumps([{k: e.get(k) for k in ("code", "message", "field") if e.get(k)} for e in errors])


def refused_bulk(errors: list[dict[str, Any]]) -> ConnectorError:
    """Return what it means that a bulk operation was not begun."""
    codes, told = {error.get("code") for error in errors}, refusal(errors)
    if codes & FULL:
        return ThrottledError(f"the shop runs as many bulk operations as it can: {told}", BUSY)
    if codes & FILES:
        return UnavailableError(f"the shop did not find what was uploaded: {told}")
    return RejectedError(f"the shop refused the bulk operation: {told}")
