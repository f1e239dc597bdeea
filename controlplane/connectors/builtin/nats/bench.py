"""A stream of NATS on trial, at a server that the bench starts for itself."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from controlplane.connectors.builtin.nats.connector import NatsConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.process import Process
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.contract import Connector

STREAM = "conformance"


class NatsBench(Bench):
    """One stream, read by one consumer."""

    connector: ClassVar[type[Connector]] = NatsConnector
    against = "a NATS server of the bench's own"

    def start(self, folder: Path) -> Place:
        """Start a server with JetStream on a free port of loopback. Raises NotApplicable where there is none."""
        server = shutil.which("nats-server")
        try:
            import nats  # noqa: F401  # asked for before anything is started
        except ImportError as error:
            raise NotApplicable(f"{error}; install the extra: pip install 'trueup[nats]'") from error
        if server is None:
            raise NotApplicable("there is no nats-server here; install the package nats-server")
        self._port, self._next = _free_port(), count(1)
        told = ["-a", "127.0.0.1", "-p", str(self._port), "-js", "-sd", str(folder / "jetstream")]
        # it logs to standard error
        joined = ["/bin/sh", "-c", 'exec "$0" "$@" 2>&1', server, *told]
        self._process = Process(joined, folder / "nats.log")
        self._process.ready("Server is ready")
        self._ask(lambda js: js.add_stream(name=STREAM, subjects=[f"{STREAM}.>"]))
        return Place(f"nats://127.0.0.1:{self._port}", options={"stream": STREAM, "group": "plane"})

    def stop(self) -> None:
        """Stop it."""
        if hasattr(self, "_process"):
            self._process.stop()

    def enqueue(self, count: int) -> list[bytes]:
        """Put events into the stream, and one that is none."""
        bodies = [*(self._event() for _ in range(count - 1)), b"\xff no event"]

        async def sent(js: Any) -> None:
            for body in bodies:
                await js.publish(f"{STREAM}.sales", body)

        self._ask(sent)
        return bodies

    def _ask(self, do: Callable[[Any], Awaitable[Any]]) -> None:
        import nats

        async def asked() -> None:
            client = await nats.connect(f"nats://127.0.0.1:{self._port}")
            try:
                await do(client.jetstream())
            finally:
                await client.close()

        asyncio.run(asked())

    def _event(self) -> bytes:
        name, at = f"sale-{next(self._next)}", datetime(2026, 11, 27, 6, tzinfo=UTC).isoformat()
        return json.dumps(
            {"id": name, "source": "tills", "type": "sale.recorded", "subject": name, "time": at, "data": {}}
        ).encode()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
