"""Connectors of the sandbox pack, talking to a real sandbox over HTTP; and a server with bad habits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.commands import FixedPolicies
from controlplane.connectors.connections import Connections
from controlplane.connectors.contract import Connector, Context, Draft, NoNumbers, Numbers, Write
from controlplane.connectors.network import Resolve, look_up
from controlplane.registry.packs import pack_folder
from controlplane.settings import Settings
from rules.addresses import Pair
from tests.addresses import opened
from tests.controlplane.connectors.bad_server import BadServer
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer
from tests.controlplane.sandbox.client import Client, Listener
from tests.controlplane.sandbox.conftest import listener, start

__all__ = ["listener", "start"]
START = datetime(2026, 11, 27, 6, tzinfo=UTC)


@dataclass
class Retailer:
    """A sandbox, the connectors of its systems, and one clock for both."""

    sandbox: Client
    connections: Connections
    clock: ManualClock
    heard: Listener

    def connector(self, system: str) -> Connector:
        return self.connections.get(system)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sandbox.advance(self.clock.now().isoformat())

    def drafts(self, system: str, entity: str, cursor: dict[str, Any] | None = None) -> list[Draft]:
        """Everything a poll brings, translated."""
        connector = self.connector(system)
        records = [record for page in connector.poll(entity, cursor) for record in page.records]
        return [draft for record in records for draft in connector.translate(record.topic, record.body)]

    def told(self, system: str) -> list[Draft]:
        """Everything the webhooks of a system brought, translated."""
        from controlplane.connectors.contract import Inbound

        connector, drafts = self.connector(system), []
        for source, headers, body in self.heard.got:
            if source == system:
                record = connector.receive(Inbound({name.lower(): value for name, value in headers.items()}, body))
                drafts += connector.translate(record.topic, record.body)
        return drafts

    def effects(self, system: str, doc: str) -> list[tuple[str, int]]:
        """(reference, ordinal) of the documents that took effect."""
        found = self.sandbox.journal("effect")
        return [(e["ref"], e["ordinal"]) for e in found if e["system"] == system and e["doc"] == doc]


@pytest.fixture
def retailer(start: Callable[..., Client], listener: Listener, tmp_path: Path) -> Iterator[Retailer]:
    """A quiet sandbox with eight articles, 40 pieces each, and the connectors of the shipped pack."""
    sandbox = start(home=tmp_path / "sandbox")
    clock = ManualClock(START, pace=1.0)
    port = int(sandbox.url.rpartition(":")[2])
    settings = Settings(home=tmp_path, sandbox_port=port)
    connections = Connections(FixedPolicies(pack_folder("sandbox")), settings, clock)
    yield Retailer(sandbox, connections, clock, listener)
    connections.close()


class PlainCodes:
    """Codes that stand for themselves."""

    def ours(self, entity: str, theirs: str) -> str:
        return theirs

    def theirs(self, entity: str, ours: str) -> str:
        return ours


@dataclass
class Given:
    """What a context is made of in a test."""

    endpoint: str
    secrets: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    timeout: float = 1.0
    concurrency: int = 4
    rate: float | None = None
    clock: ManualClock = field(default_factory=lambda: ManualClock(START, pace=1.0))
    internal: frozenset[Pair] | None = None
    """What policy states; unless told, the endpoint's own pair."""
    resolve: Resolve = look_up
    numbers: Numbers = field(default_factory=NoNumbers)

    def context(self, given: frozenset[str] = frozenset()) -> Context:
        return Context(
            system="theirs", endpoint=self.endpoint, options=self.options, secret=self.secrets.__getitem__,
            codes=PlainCodes(), clock=self.clock, timeout=self.timeout, concurrency=self.concurrency, rate=self.rate,
            internal=opened(self.endpoint) if self.internal is None else self.internal, resolve=self.resolve,
            given=given, numbers=self.numbers,
        )  # fmt: skip


@pytest.fixture
def bad_server() -> Iterator[BadServer]:
    """A server that does with each request what the test scripted."""
    server = BadServer()
    yield server
    server.close()


def write_of(entity: str, draft: Draft, key: str = "delivery-1", **changes: Any) -> Write:
    """The write that delivers a draft."""
    payload = {**draft.data, **changes}
    return Write(entity, draft.subject, key, payload, draft.subject)


def offer(sku: str, quantity: int, expected: int | None, key: str = "offer-1") -> Write:
    """The write that sets what the shop may sell."""
    payload = {"sku": sku, "location": "WH1", "channel": "shop", "quantity": quantity, "expected": expected}
    return Write("available", f"{sku}@WH1", key, payload, f"{sku}@WH1")


@pytest.fixture
def scripted() -> Iterator[Callable[[Callable[[Asked], Reply]], ScriptedServer]]:
    """Start a server that answers by a function."""
    servers: list[ScriptedServer] = []

    def begin(answer: Callable[[Asked], Reply]) -> ScriptedServer:
        servers.append(ScriptedServer(answer))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()
