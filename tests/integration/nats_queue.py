"""A stream of a test's own at a real NATS server, as whoever sends to it sees it."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import nats
import pytest
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from tests.integration.sources import SourceQueue

T = TypeVar("T")


class NatsQueue(SourceQueue):
    """A stream that takes `<name>.>`, read by the consumer `plane`."""

    connector = "nats"
    group = "plane"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 4222
        self.user, self.password = parts.username, parts.password
        self.name = f"test-{uuid.uuid4().hex[:10]}"
        self.url = url

    @property
    def options(self) -> dict[str, Any]:
        """What a System policy says of the stream."""
        return {"stream": self.name, "group": self.group}

    @property
    def endpoint(self) -> str:
        """The address without the login, for a System policy."""
        return f"nats://{self.host}:{self.port}"

    def ask(self, do: Callable[[Any], Awaitable[T]]) -> T:
        """Do something over a connection of its own."""

        async def asked() -> T:
            client = await nats.connect(self.url, allow_reconnect=False, max_reconnect_attempts=1, connect_timeout=3)
            try:
                return await do(client.jetstream(timeout=10))
            finally:
                await client.close()

        return asyncio.run(asked())

    def make(self, **given: Any) -> None:
        """Have the stream there."""
        config = StreamConfig(name=self.name, subjects=[f"{self.name}.>"], **given)
        self.ask(lambda js: js.add_stream(config))

    def send(self, bodies: Sequence[bytes]) -> None:
        """Append bodies to the stream."""

        async def sent(js: Any) -> None:
            for one in bodies:
                await js.publish(f"{self.name}.sales", one)

        self.ask(sent)

    def left(self) -> int:
        """How many the consumer has not acknowledged, those that it never was given among them."""

        async def left(js: Any) -> int:
            try:
                found = await js.consumer_info(self.name, self.group)
            except NotFoundError:
                return int((await js.stream_info(self.name)).state.messages)
            return int(found.num_pending + found.num_ack_pending)

        return self.ask(left)

    def remove(self) -> None:
        """Remove the stream."""
        with suppress(Exception):
            self.ask(lambda js: js.delete_stream(self.name))


def there(url: str) -> None:
    """Return when a server with JetStream answers; else skip, or fail where CI promises that it is there."""

    async def asked() -> None:
        client = await nats.connect(url, allow_reconnect=False, max_reconnect_attempts=1, connect_timeout=3)
        await client.jetstream().account_info()
        await client.close()

    try:
        asyncio.run(asked())
    except Exception as error:
        reason = f"no NATS with JetStream (TRUEUP_TEST_NATS) answers: {error!r}"
        if os.environ.get("CI", "").lower() == "true":
            raise RuntimeError(reason) from error
        pytest.skip(reason)
