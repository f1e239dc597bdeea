"""How the account is entered: token-based authentication (OAuth 1.0a), or OAuth 2.0 from machine to machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx

from controlplane.connectors.auth import OAuth1, OAuth1Keys, RefreshedBearer
from controlplane.connectors.contract import Context, Flaw
from controlplane.connectors.http import HttpClient
from controlplane.connectors.oauth2 import signed_client
from controlplane.connectors.redaction import Redactor
from controlplane.errors import SettingsError

TBA = ("consumer_key", "consumer_secret", "token_id", "token_secret")
MACHINE = ("client_id", "certificate_id", "private_key")
TOKENS = "/services/rest/auth/oauth2/v1/token"
SCOPE = "rest_webservices"
STRICT = {"X-NetSuite-PropertyNameValidation": "Error"}
"""Misspelt fields are dropped silently unless the validation is asked for."""


def machine(options: Mapping[str, Any]) -> bool:
    """Say whether the account is entered by OAuth 2.0."""
    return options.get("auth") == "oauth2"


def make_api(context: Context) -> tuple[HttpClient, httpx.Auth]:
    """Return the client of one account, and what signs its requests. Raises SettingsError when a secret cannot be resolved."""
    if machine(context.options):
        client_id, certificate, key = (context.secret(name) for name in MACHINE)
        http = HttpClient(context, Redactor([key]), headers=STRICT)
        audience = f"{context.endpoint.rstrip('/')}{TOKENS}"
        fetch = signed_client(http, TOKENS, context.clock, client_id, key, certificate, audience, scope=SCOPE)
        return http, RefreshedBearer(fetch, context.clock)
    keys = OAuth1Keys(*(context.secret(name) for name in TBA))
    secrets = (keys.consumer_key, keys.consumer_secret, keys.token_id, keys.token_secret)
    auth = OAuth1(keys, str(context.options.get("realm", "")), context.clock)
    return HttpClient(context, Redactor(secrets), headers=STRICT), auth


def zone_of(options: Mapping[str, Any]) -> tzinfo:
    """Return the account's time zone. Raises SettingsError for one that is none."""
    name = str(options.get("time_zone", "UTC"))
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(f"options.time_zone '{name}' is no time zone; give one as America/Los_Angeles") from error


def flaws(_endpoint: str, options: Mapping[str, Any]) -> Iterable[Flaw]:
    """Yield what is wrong with the options of a System."""
    try:
        zone_of(options)
    except SettingsError:
        told = f"'{options.get('time_zone')}' is no time zone"
        yield ("spec", "options", "time_zone"), told, "give one as the time zone database has it: America/Los_Angeles"
