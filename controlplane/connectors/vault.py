"""Secrets in HashiCorp Vault: the KV engine, version 2, over HTTP. Each secret is asked for once in `KEPT` at most.

    refused (403), not there, deleted (404)          SettingsError, and what was held of it is forgotten
    away (no connection, sealed, standby, 429, 5xx)   what is held goes on being used; SettingsError where nothing is

Neither a value nor the token stands in any message, nor what Vault itself says.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import structlog

from controlplane.clock import Clock
from controlplane.errors import SettingsError

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger()
KEPT = timedelta(seconds=30)
"""For so long what Vault answered is believed; a rotated secret is seen within it."""
RESTS = timedelta(seconds=5)
"""For so long Vault is left alone with a secret after it did not give it."""
TIMEOUT = 5.0
"""Wall seconds that Vault may take."""
SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
REFERENCE = re.compile(rf"vault:({SEGMENT}(?:/{SEGMENT})+)#({SEGMENT})")
"""`vault:PATH#FIELD`, the path as `vault kv get` takes it: the mount first."""


class _AwayError(Exception):
    """Vault cannot answer now."""


@dataclass(slots=True)
class _Held:
    """What is known of a secret: its fields, or why there are none."""

    fields: Mapping[str, Any] | None
    error: str
    until: datetime
    """Before this Vault is not asked again."""


class Vault:
    """One Vault. Safe to use from several threads; `address` and `namespace` as in Vault's own variables."""

    def __init__(self, address: str, namespace: str, clock: Clock) -> None:
        self._address, self._namespace, self._clock = address.rstrip("/"), namespace, clock
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._held: dict[str, _Held] = {}

    def read(self, reference: str, token: Callable[[], str]) -> str:
        """Return the value behind `vault:PATH#FIELD`. Raises SettingsError saying what is wrong with it, and the remedy.

        `token` is asked for when Vault is, so that a new one needs no restart; it raises SettingsError.
        """
        match = REFERENCE.fullmatch(reference)
        if match is None:
            raise SettingsError("is no reference to Vault; write vault:MOUNT/PATH#FIELD")
        path, name = match.groups()
        fields = self._fields(path, token)
        if name not in fields:
            raise SettingsError(f"has no field '{name}' in Vault; write it (`vault kv patch {path} {name}=…`)")
        if not isinstance(fields[name], str):
            raise SettingsError(f"is no text in Vault: the field '{name}' holds something else; write it as text")
        return str(fields[name])

    def forget(self, reference: str) -> None:
        """Ask for it at the next read, however fresh it is; it goes on being held in case Vault is away."""
        match = REFERENCE.fullmatch(reference)
        with self._lock:
            held = self._held.get(match[1]) if match else None
            if held is not None:
                held.until = self._clock.now()

    def _fields(self, path: str, token: Callable[[], str]) -> Mapping[str, Any]:
        with self._lock:
            turn = self._turns.setdefault(path, threading.Lock())
        with turn:  # one asks, the others wait for what it is told
            held, now = self._held.get(path), self._clock.now()
            if held is None or not timedelta(0) < held.until - now <= KEPT:
                held = self._asked(path, token, held)
                self._held[path] = held
        if held.fields is None:
            raise SettingsError(held.error)
        return held.fields

    def _asked(self, path: str, token: Callable[[], str], before: _Held | None) -> _Held:
        try:
            fields = self._get(path, token())
        except SettingsError as error:
            return _Held(None, str(error), self._clock.now() + RESTS)
        except _AwayError as error:
            if before is not None and before.fields is not None:
                log.warning(
                    "Vault does not answer; the secret that is held is used further", path=path, reason=str(error)
                )
                return _Held(before.fields, "", self._clock.now() + RESTS)
            return _Held(None, f"cannot be read from Vault: {error}", self._clock.now() + RESTS)
        return _Held(fields, "", self._clock.now() + KEPT)

    def _get(self, path: str, token: str) -> Mapping[str, Any]:
        import httpx  # not everybody has a Vault

        headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        try:
            # no redirects, for the token would go with them; no proxy from the environment
            answer = httpx.get(f"{self._address}{api_path(path)}", headers=headers, timeout=TIMEOUT, trust_env=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = type(error).__name__
            raise _AwayError(
                f"no answer from {self._address} ({why}); see that it runs, and TRUEUP_VAULT_ADDR"
            ) from None
        if answer.status_code == HTTPStatus.FORBIDDEN:
            raise SettingsError(
                f"is refused by Vault (403); give TRUEUP_VAULT_TOKEN a token whose policy lets it read {api_path(path)}, "
                "and TRUEUP_VAULT_NAMESPACE where there are namespaces"
            )
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise SettingsError(_missing(path, answer))
        if not answer.is_success:
            raise _AwayError(_away(answer))
        return _fields_of(path, answer)


def api_path(path: str) -> str:
    """Return the path of the HTTP API: `data` stands behind the mount, which is the first segment unless one is there."""
    segments = path.split("/")
    if "data" not in segments[1:-1]:
        segments.insert(1, "data")
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def _fields_of(path: str, answer: httpx.Response) -> Mapping[str, Any]:
    data = _data(answer)
    fields = data.get("data")
    if not isinstance(fields, dict):
        raise SettingsError(
            f"is not answered as by a KV engine of version 2; see what is mounted at {path.split('/')[0]}"
        )
    return fields


def _missing(path: str, answer: httpx.Response) -> str:
    about = _data(answer).get("metadata")
    if isinstance(about, dict) and (about.get("deletion_time") or about.get("destroyed")):
        how = "destroyed" if about.get("destroyed") else f"deleted at {str(about['deletion_time'])[:19]}Z"
        return f"is {how} in Vault (version {about.get('version')}); write a new one (`vault kv put {path} …`), or undelete it"
    return f"is not in Vault; write it (`vault kv put {path} …`), and see that its mount is a KV engine of version 2"


def _away(answer: httpx.Response) -> str:
    if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        return "it is sealed or being maintained (503); unseal it"
    if answer.is_redirect:
        return f"it is a standby that sends us on ({answer.status_code}); name the active one in TRUEUP_VAULT_ADDR"
    return f"it answered {answer.status_code}; look at its log"


def _data(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()["data"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
