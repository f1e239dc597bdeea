"""Where a stream is: the endpoint of a System and its options, read strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from controlplane.connectors.contract import Context, Flaw
from controlplane.connectors.endpoints import more_flaws, place_flaws
from controlplane.connectors.events import name_flaw
from controlplane.connectors.network import Door
from controlplane.connectors.redaction import Redactor
from controlplane.errors import SettingsError, UnavailableError
from rules import addresses

SCHEMES = ("nats", "tls")
EXAMPLE = "write for instance tls://nats.example:4222"
HELD, MOST = 100, 1000
"""Records that are held at once unless policy says otherwise, and at most."""
_NAME = re.compile(r"[^\s.*>/\\]+")
_SUBJECT = re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*")
_FILTER = re.compile(r"([^\s.*>]+|\*)(\.([^\s.*>]+|\*))*(\.>)?|>")


@dataclass(frozen=True, slots=True)
class Address:
    """A stream at a server."""

    secure: bool
    host: str
    port: int
    stream: str
    group: str
    """The durable consumer that the plane reads by; empty: the stream is put into."""
    subject: str
    """Of a source what is read of the stream, all if empty; of a target what its subjects begin with."""
    held: int

    def __str__(self) -> str:
        return f"{'tls' if self.secure else 'nats'}://{self.host}:{self.port}"


def flaws(endpoint: str, options: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what is wrong with an endpoint and options: path within the spec, rule, remedy."""
    yield from ((("endpoint",), rule, remedy) for rule, remedy in _endpoint(endpoint))
    if options.get("stream") is None:
        yield ("options",), "it names no stream", "add 'stream: NAME'"
    if options.get("group") is None and options.get("subject") is None:
        rule = "it is neither read nor put into"
        yield (
            ("options",),
            rule,
            "add 'group: NAME', the consumer that it is read by, or 'subject: PREFIX', to put into",
        )
    for option in ("stream", "group", "subject"):
        if flaw := name_flaw(options, option):
            yield flaw
        elif isinstance(given := options.get(option), str) and not _form(option, options).fullmatch(given):
            rule = f"'{given}' is no {option}"
            yield ("options", option), rule, "leave out blanks, wildcards and what divides tokens where none is meant"
    held = options.get("prefetch", HELD)
    if isinstance(held, bool) or not isinstance(held, int) or not 1 <= held <= MOST:
        yield ("options", "prefetch"), f"{held!r} is no number of records to hold", f"write a whole number, 1 to {MOST}"


def _form(option: str, options: Mapping[str, Any]) -> re.Pattern[str]:
    if option != "subject":
        return _NAME
    return _FILTER if options.get("group") is not None else _SUBJECT


def _endpoint(endpoint: str) -> Iterator[tuple[str, str]]:
    found = list(place_flaws(endpoint, SCHEMES, "no scheme of NATS", "user and password, or token", EXAMPLE))
    yield from found or more_flaws(endpoint, EXAMPLE)


def address_of(context: Context) -> Address:
    """Return what the policy names. Raises SettingsError with every flaw."""
    found = list(flaws(context.endpoint, context.options))
    if found:
        told = "; ".join(f"{'.'.join(path)}: {rule}; {remedy}" for path, rule, remedy in found)
        raise SettingsError(f"System '{context.system}': {told}")
    parts, options = urlsplit(context.endpoint), context.options
    return Address(
        secure=parts.scheme == "tls", host=str(parts.hostname), port=parts.port or addresses.PORTS[parts.scheme],
        stream=options["stream"], group=options.get("group", ""), subject=options.get("subject", ""),
        held=options.get("prefetch", HELD),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Login:
    """As whom a System logs in, and how patient it is."""

    system: str
    user: str | None
    password: str | None
    token: str | None
    timeout: float
    """Wall seconds that the server may take to answer."""
    door: Door
    """The only way there."""

    def unavailable(self, address: Address, what: str, remedy: str, error: BaseException) -> UnavailableError:
        """Return an error that names the server, what it said and what to do; without the secrets."""
        told = Redactor([self.password or "", self.token or ""]).text(" ".join(str(error).split()))
        return UnavailableError(f"{self.system}: NATS at {address} {what}: {told or type(error).__name__}; {remedy}")
