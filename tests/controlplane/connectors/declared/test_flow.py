"""A declared system in a registry, as it runs: polled by a flow, translated, and in the ledger's account of stock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors import Connections
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines import Sync
from tests.addresses import pairs_of
from tests.controlplane.connectors.conftest import START
from tests.controlplane.connectors.declared.acme import Acme, manifest, row
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

POLICIES = Path(__file__).parents[4] / "rules" / "packs" / "tryton" / "tryton.yaml"


def policies(url: str) -> str:
    """The shipped pack for an ERP that is polled, with Acme in its place."""
    documents = list(yaml.safe_load_all(POLICIES.read_text(encoding="utf-8")))
    for one in documents:
        if one["kind"] == "System" and one["metadata"]["name"] == "tryton":
            one["spec"] |= {
                "connector": "declared", "endpoint": url, "internal": list(pairs_of(url)), "secrets": {"token": "env:ACME_TOKEN"},
                "options": {"manifest": manifest(), "locations": ["WH"]},
            }  # fmt: skip
        if one["kind"] == "Mapping":
            one["spec"]["codes"] = {"WH1": "WH", "DC2": "DC2"}
    kept = [one for one in documents if one["metadata"]["name"] != "tryton-items"]
    return yaml.safe_dump_all(kept)


def test_a_poll_flow_brings_a_declared_systems_stock_into_the_account(
    scripted: Callable[[Callable[[Asked], Reply]], ScriptedServer],
    sqlite_store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACME_TOKEN", "the-token-of-acme")
    monkeypatch.setenv("INCIDENT_TOKEN", "unused")
    vendor = Acme()
    url = scripted(vendor).url
    (tmp_path / "acme.yaml").write_text(policies(url), encoding="utf-8")
    clock = ManualClock(START, pace=1.0)
    registry = Registry(sqlite_store, clock)
    load_genesis(sqlite_store, clock, registry, tmp_path / "acme.yaml")
    connections = Connections(registry, Settings(home=tmp_path), clock)
    sync = Sync(sqlite_store, clock, registry, connections)
    assert sync.poll("tryton-stock") == 5
    assert sync.poll("tryton-stock") == 0, "what was told is known again"
    sync.drain()
    vendor.rows[0] = row(1, changed=(START + timedelta(minutes=1)).isoformat().replace("+00:00", "Z"), count=99)
    clock.advance(120)
    assert sync.poll("tryton-stock") == 1
    sync.drain()
    with sqlite_store.read() as connection:
        rows = connection.execute(select(t.stock_position)).all()
    held = {(one.sku, one.location): (one.on_hand, one.available) for one in rows}
    assert held == {("A1", "WH"): (99, 1), **{(f"A{n}", "WH"): (10 + n, n) for n in range(2, 6)}}
    connections.close()
