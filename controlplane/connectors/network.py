"""The guarded way to an address that policy names: looked up once, every answer checked, and connected to one that was.

Which addresses are refused stands in `rules/addresses.py`. A connection is made to the checked address itself, so that a name which
leads elsewhere a moment later leads nowhere new; the name stays in the Host header, in SNI and on the certificate.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from controlplane.errors import BlockedAddressError
from rules.addresses import Pair, literal_of, refusal

Resolve = Callable[[str, int], Sequence[str]]
"""From a name and a port to every address that it leads to. Raises OSError when it leads nowhere."""
MOST_TRIED = 4
"""Of the addresses of a name, so many are tried in turn, within the time that one connection may take."""


def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the machine's own resolver."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # of a label that is empty or too long
        raise OSError(f"'{host}' is no name of a host: {error}") from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(frozen=True, slots=True)
class Door:
    """The only way to the network for one system."""

    system: str
    internal: frozenset[Pair] = frozenset()
    """What policy states beside the public addresses."""
    resolve: Resolve = look_up

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """Look a host up once, and return the addresses to connect to.

        Raises BlockedAddressError when one of all that it leads to is refused, OSError when it leads nowhere.
        """
        found = [] if (refused := refusal(host, port, (), self.internal)) else self._found(host, port)
        refused = refused or refusal(host, port, found, self.internal)
        if refused:
            raise BlockedAddressError(f"System '{self.system}': no connection was made: {refused}")
        if not found:
            raise OSError(f"'{host}' leads to no address")
        return found[:MOST_TRIED]

    def _found(self, host: str, port: int) -> Sequence[str]:
        literal = literal_of(host)
        return [str(literal)] if literal else self.resolve(host, port)

    def connect(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """Connect to one of the addresses. Raises as `addresses`, and OSError when none of them answers in time."""
        found = self.addresses(host, port)
        failed: OSError = OSError(f"no address of '{host}' answers")
        for address in found:
            try:
                return socket.create_connection((address, port), _share(timeout, found))
            except OSError as error:
                failed = error
        raise failed


def _share(timeout: float | None, found: Sequence[str]) -> float | None:
    """What each of several addresses may take of the time for all."""
    return None if timeout is None else timeout / len(found)


# --- how long an exchange may take in all ---

_over_at: ContextVar[float | None] = ContextVar("over_at", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let whatever goes over the network in the block take so many seconds in all.

    httpx's own time-outs start anew with every byte: headers or a body that drip would hold a thread for hours.
    """
    before = _over_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _over_at.reset(before)


def _left(timeout: float | None, over: type[Exception]) -> float | None:
    """Return the seconds that the next step may take. Raises `over` when none are left."""
    end = _over_at.get()
    if end is None:
        return timeout
    left = end - time.monotonic()
    if left <= 0:
        raise over("the exchange was not over within the time-out of the System policy")
    return left if timeout is None else min(timeout, left)


class _Timed(httpcore.NetworkStream):
    """A connection each of whose steps ends with the exchange."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, _left(timeout, httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class PinnedBackend(httpcore.NetworkBackend):
    """Makes httpcore's connections through a door. TLS goes on above it, by the name that was asked for."""

    def __init__(self, door: Door) -> None:
        self._door, self._plain = door, httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        """Connect to a checked address. Raises BlockedAddressError, and httpcore's errors."""
        try:
            found = self._door.addresses(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failed: Exception = httpcore.ConnectError(f"no address of '{host}' answers")
        for address in found:
            share = _share(_left(timeout, httpcore.ConnectTimeout), found)
            try:
                return _Timed(self._plain.connect_tcp(address, port, share, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed


class PinnedTransport(httpx.HTTPTransport):
    """httpx's transport over a door. Every connection passes it, one for a redirect too; no proxy of the environment is used."""

    def __init__(self, door: Door, limits: httpx.Limits, verify: ssl.SSLContext | None = None) -> None:
        context = verify or httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=context, trust_env=False, limits=limits)
        if not isinstance(getattr(self, "_pool", None), httpcore.ConnectionPool):
            raise TypeError("this version of httpx keeps its connections elsewhere, where they would not be checked")
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections, keepalive_expiry=limits.keepalive_expiry,
            network_backend=PinnedBackend(door),
        )  # fmt: skip
