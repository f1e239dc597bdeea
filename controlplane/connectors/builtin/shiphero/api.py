"""The warehouse's endpoint: a bearer token from a refresh token, and credits that run out inside HTTP 200."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from controlplane.connectors.auth import RefreshedBearer
from controlplane.connectors.contract import Context
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import DEFAULT_WAIT, HttpClient, with_evidence
from controlplane.connectors.redaction import Redactor
from controlplane.errors import ConnectorError, ThrottledError

OUT_OF_CREDITS = 30
REFILL = 60.0
"""Credits that come back in a second."""


def make_api(context: Context) -> tuple[HttpClient, GraphqlClient]:
    """Return the clients of one warehouse. Raises SettingsError when the refresh token cannot be resolved."""
    refresh_token = context.secret("refresh_token")
    http = HttpClient(context, Redactor([refresh_token]))

    def fetch() -> tuple[str, datetime]:
        asked = {"refresh_token": refresh_token}
        answer = http.send("POST", "/auth/refresh", write=False, limited=False, json=asked)
        given = answer.json()
        refused = read_errors(given.get("errors") or [], {}, False) if isinstance(given, dict) else None
        if refused:
            raise with_evidence(refused, answer.evidence)
        try:
            life = timedelta(seconds=float(given["expires_in"]))
            return http.redactor.learn(str(given["access_token"])), context.clock.now() + life
        except (KeyError, TypeError, ValueError):
            answer.fail("answered a token refresh without access_token and expires_in")

    return http, GraphqlClient(http, "/graphql", read_errors, RefreshedBearer(fetch, context.clock))


def read_errors(errors: list[dict[str, Any]], _extensions: Mapping[str, Any], _wrote: bool) -> ConnectorError | None:
    """Tell 'out of credits', which is refused before anything is carried out, from all other errors."""
    for error in errors:
        code = error.get("code", (error.get("extensions") or {}).get("code"))
        if str(code) == str(OUT_OF_CREDITS):
            return ThrottledError(f"the warehouse's credits ran out: {error.get('message', '')}", wait_for(error))
    return None


def wait_for(error: Mapping[str, Any]) -> float:
    """Return the seconds until there are enough credits: as told, else what is missing at the refill rate."""
    told = re.search(r"\d+(?:\.\d+)?", str(error.get("time_remaining", "")))
    if told:
        return max(0.1, float(told.group()))
    try:
        return max(0.1, (float(error["required_credits"]) - float(error["remaining_credits"])) / REFILL)
    except (KeyError, TypeError, ValueError):
        return DEFAULT_WAIT
