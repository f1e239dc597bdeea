"""One connection to a NATS server, made through the system's door, and driven from the thread that asks.

The library keeps a list of servers, to which the cluster adds those that it tells of. Here only the endpoint of the policy is spoken to:
whatever else is told is refused before a name is looked up, and a connection that broke is closed, never moved elsewhere.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Any, TypeVar
from urllib.parse import ParseResult

from nats import errors
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError

from controlplane.connectors.builtin.nats.address import Address, Login
from controlplane.errors import ConnectorError

T = TypeVar("T")


class _Checked(TcpTransport):
    """A transport to the endpoint alone, over a socket that the door made."""

    def __init__(self, address: Address, login: Login) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._address, self._login = address, login
        self._is_tls = False
        self.failed: Exception | None = None

    def __bool__(self) -> bool:
        """It is there from the beginning: the library makes one of its own, which nobody checks, in the place of one that is false."""
        return True

    async def drain(self) -> None:
        """Send what was written, where there is a connection."""
        if self._io_writer is not None:
            await self._io_writer.drain()

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Connect to a checked address."""
        address = self._address
        try:
            if (uri.hostname, uri.port) != (address.host.lower(), address.port):
                raise OSError(
                    f"'{uri.hostname}' is not the endpoint of the System policy, and nothing else is spoken to"
                )
            made = await asyncio.to_thread(self._login.door.connect, address.host, address.port, self._login.timeout)
            made.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=made, limit=buffer_size)
        except Exception as error:
            self.failed = error
            raise
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    async def connect_tls(self, *given: Any, **named: Any) -> None:
        """Go on encrypted."""
        await super().connect_tls(*given, **named)
        self._is_tls = True

    def write(self, payload: bytes) -> Any:
        """Write, unless that would show the login to whoever listens."""
        self._guard()
        return super().write(payload)  # type: ignore[no-untyped-call]

    def writelines(self, payload: list[bytes]) -> Any:
        """Likewise."""
        self._guard()
        return super().writelines(payload)  # type: ignore[no-untyped-call]

    def _guard(self) -> None:
        if self._io_writer is None:
            raise OSError("there is no connection")
        if self._address.secure and not self._is_tls:
            self.failed = OSError("the server offers no TLS, and the endpoint asks for it: nothing was said")
            raise self.failed


class Link:
    """An open connection. For one thread at a time; what runs in the background runs while something is asked."""

    def __init__(self, address: Address, login: Login) -> None:
        self.address, self.login = address, login
        self._runner = asyncio.Runner()
        self._client = Client()
        if not hasattr(self._client, "_transport"):
            raise TypeError("this version of nats-py keeps its connection elsewhere, where it would not be checked")
        self._transport = self._client._transport = _Checked(address, login)
        self.js: JetStreamContext = self._client.jetstream(timeout=login.timeout)
        try:
            self.run(self._connected(), login.timeout)
        except BaseException:
            self.close()
            raise

    async def _connected(self) -> None:
        address, login = self.address, self.login
        given: dict[str, Any] = {
            "connect_timeout": login.timeout,
            "reconnect_time_wait": 0.01,
        }  # annotated as whole seconds
        try:
            await self._client.connect(
                f"nats://{address.host}:{address.port}", name=f"trueup {login.system}", user=login.user, password=login.password,
                token=login.token, tls=ssl.create_default_context() if address.secure else None,
                tls_hostname=address.host if address.secure else None, allow_reconnect=False, max_reconnect_attempts=1,
                error_cb=_quiet, **given,
            )  # fmt: skip
        except (TimeoutError, errors.Error, OSError) as error:
            raise self._transport.failed or error from error

    def run(self, asked: Coroutine[Any, Any, T], seconds: float) -> T:
        """Wait for an answer. Raises what the library raises, and TimeoutError."""
        return self._runner.run(asyncio.wait_for(asked, seconds))

    def is_alive(self) -> bool:
        """Ask whether the server is there still."""
        try:
            self.run(self._client.flush(ceil(self.login.timeout)), self.login.timeout + 1)
        except (TimeoutError, errors.Error, OSError):
            return False
        return bool(self._client.is_connected)

    @property
    def is_connected(self) -> bool:
        """Whether nothing is known to have ended it."""
        return bool(self._client.is_connected)

    def close(self) -> None:
        """End the connection."""
        with suppress(Exception):
            self.run(self._client.close(), 1)
        with suppress(Exception):
            self._runner.close()


async def _quiet(_error: Exception) -> None:
    """What goes wrong is told by what was asked."""


@contextmanager
def named(address: Address, login: Login) -> Iterator[None]:
    """Turn what the library raises into errors that say what to do."""
    try:
        yield
    except ConnectorError:
        raise
    except errors.AuthorizationError as error:
        raise login.unavailable(address, "refuses us", "check the secrets, and what that user may do", error) from error
    except (errors.NoRespondersError, NoStreamResponseError) as error:
        remedy = "see that JetStream is on there, and that the stream takes the subject"
        raise login.unavailable(address, "does not answer for a stream", remedy, error) from error
    except APIError as error:
        remedy = "check the options of the System policy, and what the user may do"
        raise login.unavailable(address, f"refuses ({error.code})", remedy, error) from error
    except (TimeoutError, errors.Error, OSError, asyncio.CancelledError) as error:
        remedy = "see that it runs and that the endpoint is right; what waits there is taken when it is back"
        raise login.unavailable(address, "is not reached", remedy, error) from error
