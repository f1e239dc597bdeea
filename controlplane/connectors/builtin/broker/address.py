"""Where a broker is: the endpoint of a System and its options, read strictly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from controlplane.connectors.contract import Context, Flaw
from controlplane.connectors.endpoints import place_flaws
from controlplane.connectors.events import name_flaw
from controlplane.connectors.network import Door
from controlplane.connectors.redaction import Redactor
from controlplane.errors import SettingsError, UnavailableError
from rules import addresses

PORTS = {scheme: addresses.PORTS[scheme] for scheme in ("amqp", "amqps", "redis", "rediss")}
EXAMPLE = "write for instance amqps://broker.example/retail or rediss://redis.example/0"
HELD = 100
"""Records that are held at once, and so the largest commit, unless policy says otherwise."""
MOST = 1000
LONGEST = 255
"""Bytes of a queue's name."""


@dataclass(frozen=True, slots=True)
class Address:
    """A queue at a broker."""

    scheme: str
    host: str
    port: int
    place: str
    """RabbitMQ: the virtual host. Redis: the number of the database."""
    queue: str
    held: int
    group: str = ""
    """Redis: the consumer group, where the queue is a stream."""
    exchange: str = ""
    """RabbitMQ: what events are put into; empty: the default exchange."""
    routing_key: str = ""
    """RabbitMQ: by what they are routed; empty: by their type."""
    stream: str = ""
    """Redis: the stream that events are put into."""

    @property
    def is_redis(self) -> bool:
        """Whether the broker is Redis; else it is RabbitMQ."""
        return self.scheme.startswith("redis")

    @property
    def is_secure(self) -> bool:
        """Whether the way there is encrypted, and the broker shows who it is."""
        return self.scheme in ("amqps", "rediss")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/{self.place}"


def flaws(endpoint: str, options: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what is wrong with a broker's endpoint and options: path within the spec, rule, remedy."""
    yield from ((("endpoint",), rule, remedy) for rule, remedy in _endpoint(endpoint))
    if is_target(options):
        yield from _target(endpoint, options)
        return
    queue, held = options.get("queue"), options.get("prefetch", HELD)
    if queue is None:
        yield ("options",), "it names no queue, so nothing is taken off any", "add 'queue: NAME'"
    elif not isinstance(queue, str) or not 0 < len(queue.encode()) <= LONGEST or not queue.isprintable():
        yield ("options", "queue"), f"'{queue}' is no name of a queue", f"write text of 1 to {LONGEST} bytes"
    if isinstance(held, bool) or not isinstance(held, int) or not 1 <= held <= MOST:
        yield ("options", "prefetch"), f"{held!r} is no number of records to hold", f"write a whole number, 1 to {MOST}"
    yield from _group(endpoint, options.get("group"))


def is_target(options: Mapping[str, Any]) -> bool:
    """Whether events are put there, rather than taken off a queue."""
    return options.get("exchange") is not None or options.get("stream") is not None


def _target(endpoint: str, options: Mapping[str, Any]) -> Iterator[Flaw]:
    for option in ("queue", "group", "prefetch"):
        if options.get(option) is not None:
            rule = f"with '{option}' it would be taken from, and it is put into"
            yield ("options", option), rule, "leave it out, or write a System of its own for it"
    redis, exchange = endpoint.startswith(("redis:", "rediss:")), options.get("exchange")
    for option in ("exchange", "routing_key") if redis else ("stream",):
        if options.get(option) is not None:
            yield (
                ("options", option),
                f"this broker has no {option}",
                f"leave it out; write {'stream' if redis else 'exchange'}",
            )
    if exchange == "" and not options.get("routing_key"):
        yield ("options", "exchange"), "the default exchange needs a queue's name", "add 'routing_key: QUEUE'"
    for option in ("stream", "routing_key") if exchange == "" else ("stream", "exchange", "routing_key"):
        if flaw := name_flaw(options, option):
            yield flaw


def _group(endpoint: str, group: object) -> Iterator[Flaw]:
    if group is None:
        return
    if not isinstance(group, str) or not 0 < len(group.encode()) <= LONGEST or not group.isprintable():
        yield ("options", "group"), f"'{group}' is no name of a group", f"write text of 1 to {LONGEST} bytes"
    elif not endpoint.startswith(("redis:", "rediss:")):
        yield (
            ("options", "group"),
            "only streams of Redis are read by a group",
            "leave it out, or write a redis(s) endpoint",
        )


def _endpoint(endpoint: str) -> Iterator[tuple[str, str]]:
    unknown, secrets = "no broker that there is a connector for", "the secrets user and password"
    found = list(place_flaws(endpoint, PORTS, unknown, secrets, EXAMPLE))
    yield from found or _behind(endpoint, urlsplit(endpoint))


def _behind(endpoint: str, parts: SplitResult) -> Iterator[tuple[str, str]]:
    if parts.query or parts.fragment:
        yield f"'{endpoint}' has parameters, which would be passed over", f"leave out what follows the path; {EXAMPLE}"
    elif parts.scheme.startswith("redis") and not parts.path.strip("/").isdecimal() and parts.path.strip("/"):
        yield (
            f"'{parts.path.strip('/')}' is no database of Redis",
            "write its number, for instance redis://redis.example/0",
        )


def address_of(context: Context) -> Address:
    """Return what the policy names. Raises SettingsError with every flaw."""
    found = list(flaws(context.endpoint, context.options))
    if found:
        told = "; ".join(f"{'.'.join(path)}: {rule}; {remedy}" for path, rule, remedy in found)
        raise SettingsError(f"System '{context.system}': {told}")
    parts = urlsplit(context.endpoint)
    path = unquote(parts.path.removeprefix("/"))
    place = path.strip("/") or "0" if parts.scheme.startswith("redis") else path or "/"
    return Address(
        scheme=parts.scheme, host=str(parts.hostname), port=parts.port or PORTS[parts.scheme], place=place,
        queue=context.options.get("queue", ""), held=context.options.get("prefetch", HELD),
        group=context.options.get("group", ""), exchange=context.options.get("exchange", ""),
        routing_key=context.options.get("routing_key", ""), stream=context.options.get("stream", ""),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Login:
    """As whom a System logs in, and how patient it is."""

    system: str
    user: str | None
    password: str | None
    timeout: float
    """Wall seconds that the broker may take to answer."""
    door: Door
    """The only way there."""

    def unavailable(self, address: Address, what: str, remedy: str, error: BaseException) -> UnavailableError:
        """Return an error that names the broker, what it said and what to do; without the password."""
        told = Redactor([self.password or ""]).text(" ".join(str(error).split()) or type(error).__name__)
        return UnavailableError(f"{self.system}: the broker {address} {what}: {told}; {remedy}")
