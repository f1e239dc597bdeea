"""Policies whose incident tool is a server of the test, and drills of it in shared time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from controlplane.connectors.commands import FixedPolicies
from controlplane.drill.material import gather
from controlplane.drill.run import Drill, Drilled, Meter, Plan
from controlplane.drill.target import Target, connector_of, target_of
from controlplane.drill.writes import writes_for
from controlplane.registry import Snapshot
from controlplane.registry.packs import pack_folder
from controlplane.settings import Settings
from tests.addresses import pairs_of
from tests.controlplane.drill.kit import Server, SharedTime

Start = Callable[..., Drilled]


@pytest.fixture(scope="session")
def shipped() -> Snapshot:
    """The shipped pack."""
    return FixedPolicies(pack_folder("sandbox")).snapshot()


def changed(policies: Snapshot, name: str, labels: dict[str, str] | None = None, **values: Any) -> Snapshot:
    """The policies with one System changed."""
    system = policies.systems[name]
    system = system.model_copy(update={"spec": system.spec.model_copy(update=values)})
    if labels is not None:
        system = system.model_copy(update={"metadata": system.metadata.model_copy(update={"labels": labels})})
    documents = {**policies.documents, ("System", name): system}
    return replace(policies, documents=MappingProxyType(documents))


@pytest.fixture
def time() -> SharedTime:
    return SharedTime()


@pytest.fixture
def serving() -> Iterator[Callable[[Server], Server]]:
    """`serving(server)`: close it at the end of the test."""
    with ExitStack() as stack:

        def keep(server: Server) -> Server:
            stack.callback(server.close)
            return server

        yield keep


@pytest.fixture
def drill(shipped: Snapshot, time: SharedTime, tmp_path: Path, serving: Callable[[Server], Server]) -> Start:
    """`drill(server, rates=…)`: drill the incident tool at a server's address."""
    secrets = tmp_path / "sandbox" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "pager_token").write_text("a token of the test", encoding="ascii")
    settings = Settings(home=tmp_path, database_url="", engine="embedded")

    def run(server: Server, **given: Any) -> Drilled:
        serving(server)
        policies = changed(shipped, "pager", endpoint=server.url, internal=pairs_of(server.url))
        return drilled(policies, target_of(policies, "pager", "incidents"), settings, time, **given)

    return run


def drilled(policies: Snapshot, target: Target, settings: Settings, time: SharedTime, **given: Any) -> Drilled:
    """Drill a target in shared time."""
    values = {"seconds": 10.0, "at_once": 16, "max_writes": 5000, "max_errors": 20, "margin": 0.2} | given
    meter, plan = Meter(), Plan(**values)
    connector = connector_of(policies, target.system, settings, time, plan.at_once, meter)
    kind = target.message_type(connector.manifest)
    material = gather(policies, target.system.name, connector, [], None, goods=False)
    writes = writes_for(target.entity, kind, "T", material, time)
    one = Drill(time, connector, writes, meter, plan, told=[].append)
    time.at_work = lambda: min(one.load.pending, one.load.at_once)
    try:
        return one.run("T", policies.retry_policies[target.flow.spec.retry].spec)
    finally:
        connector.close()
