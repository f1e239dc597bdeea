"""httpx through the door of a system: every connection goes to a checked address, and an exchange is over in time.

Beside `network`, which knows no HTTP: whoever speaks none, as a comparison of what was read, is not to load a client for it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from controlplane.connectors.network import Door, share_of

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
            share = share_of(_left(timeout, httpcore.ConnectTimeout), found)
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
