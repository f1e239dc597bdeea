"""A message broker on trial, against a Redis server that the bench starts for itself."""

from __future__ import annotations

import json
import shutil
import socket
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import ClassVar

from controlplane.connectors.builtin.broker.connector import BrokerConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.process import Process
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.contract import Connector

QUEUE = "conformance"


class BrokerBench(Bench):
    """One list of one Redis; what RabbitMQ does differently is tried by the integration tests."""

    connector: ClassVar[type[Connector]] = BrokerConnector
    against = "a Redis server of the bench's own"

    def start(self, folder: Path) -> Place:
        """Start Redis on a free port of loopback, without a file. Raises NotApplicable where there is none."""
        server = shutil.which("redis-server")
        try:
            import redis
        except ImportError as error:
            raise NotApplicable(f"{error}; install the extra: pip install 'trueup[broker]'") from error
        if server is None:
            raise NotApplicable("there is no redis-server here; install the package redis-server")
        port = _free_port()
        told = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
        self._process = Process([server, *told], folder / "redis.log")
        self._process.ready("eady to accept connections")
        self._client, self._next = redis.Redis("127.0.0.1", port), count(1)
        return Place(f"redis://127.0.0.1:{port}/0", options={"queue": QUEUE})

    def stop(self) -> None:
        """Stop it."""
        if hasattr(self, "_process"):
            self._client.close()
            self._process.stop()

    def enqueue(self, count: int) -> list[bytes]:
        """Put events into the list, and one that is none."""
        bodies = [*(self._event() for _ in range(count - 1)), b"\xff no event"]
        self._client.lpush(QUEUE, *bodies)
        return bodies

    def _event(self) -> bytes:
        name, at = f"sale-{next(self._next)}", datetime(2026, 11, 27, 6, tzinfo=UTC).isoformat()
        return json.dumps(
            {"id": name, "source": "tills", "type": "sale.recorded", "subject": name, "time": at, "data": {}}
        ).encode()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
