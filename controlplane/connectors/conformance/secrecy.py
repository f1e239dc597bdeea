"""Secrets: a system that echoes them, and breaks off in every way, finds them told on nowhere."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from controlplane.connectors.conformance import faults
from controlplane.connectors.conformance.faults import Asked, Canned, Fault
from controlplane.connectors.conformance.report import ConformanceError, NotApplicable, demand
from controlplane.connectors.conformance.stand import Stand
from controlplane.connectors.contract import Connector, Write
from controlplane.errors import BadInputError, ConnectorError

SHORTEST = 8
"""Shorter words are found anywhere by chance."""


def secrets(stand: Stand) -> str:
    """Tell no secret in errors, outcomes, evidence, records and logs, not even what the system echoes of it."""
    given = stand.place.secrets
    if not given:
        raise NotApplicable("the connector has no secrets")
    values = {value for value in given.values() if len(value) >= SHORTEST}
    if not values:
        raise ConformanceError(
            f"the bench's secrets ({', '.join(given)}) are all shorter than {SHORTEST} characters: give it longer ones"
        )
    heard: list[str] = []
    with _logs() as lines:
        with stand.proxy.watching() as asked:
            for fault in _faults(values):
                with stand.proxy.strike(fault):
                    heard += list(_provoked(stand))
        heard += list(_provoked(stand))
    _search([*heard, *lines], values | _borne(asked))
    return ""


def _faults(values: set[str]) -> Iterator[Fault]:
    echo = " ".join(sorted(values) + [quote(value, safe="") for value in values] + [_base64(value) for value in values])
    for code in (200, 400, 401, 403, 429, 500, 503):
        yield Fault("answer", False, Canned.of(code, {"message": echo, "errors": [{"message": echo}], "data": None}))
        yield Fault("answer", False, Canned(code, f"you said {echo}".encode(), {"Content-Type": "text/plain"}))
    yield faults.cut(reached=True)
    yield faults.rubbish()


def _provoked(stand: Stand) -> Iterator[str]:
    connector = stand.connector()
    stand.bench.rest()
    for _, read in stand.readings():
        try:
            yield repr(read(connector))
        except (ConnectorError, BadInputError) as error:
            yield f"{error} {error!r} {dict(getattr(error, 'evidence', {}))}"
    for entity in stand.writes:
        try:
            yield from _written(connector, stand.bench.write(entity))
        except NotApplicable:
            continue
    try:
        connector.ping()
    except (ConnectorError, BadInputError) as error:
        yield f"{error} {dict(getattr(error, 'evidence', {}))}"


def _written(connector: Connector, request: Write) -> Iterator[str]:
    yield str(asdict(connector.write(request)))
    yield str(asdict(connector.read_back(request)))


def _borne(asked: list[Asked]) -> set[str]:
    """Return the bearer tokens that were sent: they were given by the system, and are secrets too."""
    told = (one.headers.get("authorization", "") for one in asked)
    return {value.partition(" ")[2] for value in told if value.lower().startswith(("bearer ", "basic "))}


def _search(texts: list[str], values: set[str]) -> None:
    for value in values:
        for form in (value, quote(value, safe=""), _base64(value)):
            found = next((text for text in texts if form in text), None)
            if found is not None:
                at = found.index(form)
                around = found[max(0, at - 80) : at] + "[the secret]" + found[at + len(form) : at + len(form) + 20]
                demand(False, f"a secret was told: …{around}…")


def _base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


@contextmanager
def _logs() -> Iterator[list[str]]:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter().format(record))

    root, handler = logging.getLogger(), Kept(logging.INFO)
    level: Any = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
