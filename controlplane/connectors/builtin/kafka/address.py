"""Where a topic is: the endpoint of a System and its options, read strictly."""

from __future__ import annotations

import re
import ssl
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

SCHEMES = ("kafka", "kafkas")
EXAMPLE = "write for instance kafkas://kafka.example:9093"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
HELD, MOST = 100, 1000
"""Records that are held at once unless policy says otherwise, and at most."""
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A topic at a cluster."""

    secure: bool
    host: str
    port: int
    topic: str
    group: str
    """The consumer group that the plane reads by; empty: the topic is put into."""
    held: int
    mechanism: str

    def __str__(self) -> str:
        return f"{'kafkas' if self.secure else 'kafka'}://{self.host}:{self.port}"


def flaws(endpoint: str, options: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what is wrong with an endpoint and options: path within the spec, rule, remedy."""
    yield from ((("endpoint",), rule, remedy) for rule, remedy in _endpoint(endpoint))
    topic, held, mechanism = options.get("topic"), options.get("prefetch", HELD), options.get("sasl", MECHANISMS[0])
    if topic is None:
        yield ("options",), "it names no topic", "add 'topic: NAME'"
    elif not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        yield (
            ("options", "topic"),
            f"'{topic}' is no name of a topic",
            "write 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'",
        )
    if flaw := name_flaw(options, "group"):
        yield flaw
    if isinstance(held, bool) or not isinstance(held, int) or not 1 <= held <= MOST:
        yield ("options", "prefetch"), f"{held!r} is no number of records to hold", f"write a whole number, 1 to {MOST}"
    if mechanism not in MECHANISMS:
        yield (
            ("options", "sasl"),
            f"'{mechanism}' is no mechanism that is spoken",
            f"write one of {', '.join(MECHANISMS)}",
        )


def _endpoint(endpoint: str) -> Iterator[tuple[str, str]]:
    found = list(place_flaws(endpoint, SCHEMES, "no scheme of Kafka", "the secrets user and password", EXAMPLE))
    yield from found or more_flaws(endpoint, EXAMPLE)


def address_of(context: Context) -> Address:
    """Return what the policy names. Raises SettingsError with every flaw."""
    found = list(flaws(context.endpoint, context.options))
    if found:
        told = "; ".join(f"{'.'.join(path)}: {rule}; {remedy}" for path, rule, remedy in found)
        raise SettingsError(f"System '{context.system}': {told}")
    parts, options = urlsplit(context.endpoint), context.options
    return Address(
        secure=parts.scheme == "kafkas", host=str(parts.hostname), port=parts.port or addresses.PORTS[parts.scheme],
        topic=options["topic"], group=options.get("group", ""), held=options.get("prefetch", HELD),
        mechanism=options.get("sasl", MECHANISMS[0]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Login:
    """As whom a System logs in, and how patient it is."""

    system: str
    user: str | None
    password: str | None
    timeout: float
    """Wall seconds that the cluster may take to answer."""
    door: Door
    authorities: str | None = None
    """Certificates (PEM) of those who alone may vouch for a broker; None: whom the machine trusts."""

    def check(self, address: Address) -> None:
        """Raises SettingsError where the certificates are none, or would be of no use."""
        if self.authorities is None:
            return
        if not address.secure:
            raise SettingsError(
                f"System '{self.system}' has the secret 'ca', and {address} is spoken to in the open; write kafkas:// or take it away"
            )
        try:
            ssl.create_default_context(cadata=self.authorities)
        except (ssl.SSLError, ValueError) as error:
            raise SettingsError(
                f"System '{self.system}': the secret 'ca' holds no certificate in PEM ({error}); "
                "refer to the file of the authority's certificate, for instance file:kafka-ca.pem"
            ) from error

    def unavailable(self, address: Address, what: str, remedy: str, error: object) -> UnavailableError:
        """Return an error that names the cluster, what it said and what to do; without the password."""
        told = Redactor([self.password or ""]).text(" ".join(str(error).split()))
        return UnavailableError(f"{self.system}: Kafka at {address} {what}: {told}; {remedy}")
