"""NATS JetStream: canonical messages (docs/messages.md) off a stream, or into one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from controlplane.connectors.builtin.nats.address import SCHEMES, Login, address_of, flaws
from controlplane.connectors.contract import Connector, Context, Draft, Feed, Manifest, UnsupportedError, Waiting, Write
from controlplane.connectors.events import drafts_of, source_of, target_of, written
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.errors import SettingsError
from rules.outcomes import Guarantee, Outcome

if TYPE_CHECKING:
    from controlplane.connectors.builtin.nats.link import Link

T = TypeVar("T")
IDLE = 8
"""Connections that are kept for writes."""


def specific(options: Mapping[str, Any]) -> Manifest:
    """Return what a System can do: one with a group is read, any other is put into."""
    general = NatsConnector.manifest
    return source_of(general) if options.get("group") is not None else target_of(general)


class NatsConnector(Connector):
    """A stream. Secrets: user and password, or token. Options: stream; group (the durable consumer it is read by) and subject
    (what is read of it), prefetch; or, to put into it, subject (what the subjects begin with)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="nats",
        title="NATS JetStream",
        consumes=True,
        writes=written(Guarantee.READABLE, "looked up under its subject; `Nats-Msg-Id` within the stream's window", 10.0),
        secrets=("user", "password", "token"),
        optional_secrets=("user", "password", "token"),
        options=("stream", "group", "subject", "prefetch"),
        schemes=SCHEMES,
        check=flaws,
        specific=specific,
        verified_against="NATS 2.9, running",
        probes=("latency", "depth"),
        kind="broker",
        auth="user and password, or token; TLS by the scheme",
        limits="`prefetch` records are held at once and committed together",
        gaps=(
            "nkeys and JWT", "other servers of a cluster than the endpoint", "gaps of a stream of which a part is read",
            "what a stream removed is no proof of absence",
        ),
        option_schemas={
            "stream": {"type": "string", "minLength": 1, "maxLength": 255},
            "group": {"type": "string", "minLength": 1, "maxLength": 255},
            "subject": {"type": "string", "minLength": 1, "maxLength": 255},
            "prefetch": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        },
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.manifest = specific(context.options)  # type: ignore[misc]  # what it can do is its system's own
        self._address = address_of(context)
        self._idle: list[Link] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def ping(self) -> None:
        """Log in, and look at the stream."""
        with self._linked() as link:
            link.run(link.js.stream_info(self._address.stream), link.login.timeout)

    def consume(self) -> Feed:
        """Open the stream. Raises UnavailableError, RejectedError for a stream or consumer that cannot be used, SettingsError."""
        self._reads()
        link = self._open()
        from controlplane.connectors.builtin.nats import source

        try:
            return source.Feed(link)
        except BaseException:
            link.close()
            raise

    def waiting(self) -> Waiting:
        """Ask how much waits. Raises UnavailableError, SettingsError, UnsupportedError where it is put into."""
        self._reads()
        with self._linked() as link:
            from controlplane.connectors.builtin.nats import source

            return source.waiting(link)

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read one event. Raises BadInputError naming the attribute, the rule and the remedy; for a gap always."""
        return drafts_of(topic, body, self.context.clock.now())

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Put an event into the stream."""
        from controlplane.connectors.builtin.nats import target

        return self._put(lambda link: target.publish(link, request), request)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look the event up under its subject."""
        from controlplane.connectors.builtin.nats import target

        return self._put(lambda link: target.find(link, request), request)

    def _put(self, do: Callable[[Link], T], request: Write) -> T:
        self.manifest.write_spec(request.entity)
        with self._linked() as link:
            return do(link)

    def _reads(self) -> None:
        if not self._address.group:
            raise UnsupportedError(f"System '{self.context.system}' is put into, and nothing is taken off it")

    @contextmanager
    def _linked(self) -> Iterator[Link]:
        """Lend a connection that the server answers on; one that something went wrong on is not used again."""
        link = self._usable() or self._open()
        from controlplane.connectors.builtin.nats.link import named

        try:
            with named(link.address, link.login):
                yield link
        except BaseException:
            link.close()
            raise
        with self._lock:
            if len(self._idle) < IDLE:
                self._idle.append(link)
                return
        link.close()

    def _usable(self) -> Link | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                link = self._idle.pop()
            if link.is_alive():
                return link
            link.close()

    def _open(self) -> Link:
        """Import what speaks to the server only now: it is an extra."""
        try:
            from controlplane.connectors.builtin.nats.link import Link, named
        except ImportError as error:
            raise SettingsError(
                f"System '{self.context.system}': {error}; install the extra: pip install 'trueup[nats]'"
            ) from error
        login = self._login()
        with named(self._address, login):
            return Link(self._address, login)

    def _login(self) -> Login:
        secret, given = self.context.secret, self.context.given
        user, password, token = (secret(name) if name in given else None for name in ("user", "password", "token"))
        patience = self.context.timeout * self.context.clock.pace
        return Login(self.context.system, user, password, token, patience, self.context.door)
