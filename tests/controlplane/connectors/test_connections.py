"""Connections follow the registry, and resolve endpoints and secrets."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.till_files.connector import TillFilesConnector
from controlplane.connectors.connections import Connections, resolve_endpoint, resolve_secret
from controlplane.errors import NotFoundError, SettingsError
from controlplane.registry import Snapshot
from controlplane.settings import Settings
from rules.policy.kinds import Document, Mapping, System
from tests.controlplane.connectors.conftest import START


def system(**spec: Any) -> System:
    given = {"connector": "till_files", "owner": "o", "role": "till", "endpoint": "${HOME}/drop", **spec}
    return System(apiVersion="trueup/v1", kind="System", metadata={"name": "tills"}, spec=given)


def mapping(codes: dict[str, str]) -> Mapping:
    spec = {"system": "tills", "entity": "sku", "codes": codes}
    return Mapping(apiVersion="trueup/v1", kind="Mapping", metadata={"name": "plu"}, spec=spec)


class Governed:
    """A registry whose documents the test changes."""

    def __init__(self, *documents: Document) -> None:
        self.version = 0
        self.put(*documents)

    def put(self, *documents: Document) -> None:
        self.version += 1
        named = {(document.kind, document.name): document for document in documents}
        self._snapshot = Snapshot(self.version, MappingProxyType(named), MappingProxyType({}))

    def snapshot(self) -> Snapshot:
        return self._snapshot


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, port=9000)


def test_a_connector_is_kept_until_its_own_policies_change(settings: Settings) -> None:
    registry = Governed(system(), mapping({"1": "A"}))
    connections = Connections(registry, settings, ManualClock(START))
    first = connections.get("tills")
    assert isinstance(first, TillFilesConnector)
    assert first.context.endpoint == str(settings.home / "drop")
    registry.put(system(), mapping({"1": "A"}))
    assert connections.get("tills") is first
    registry.put(system(), mapping({"1": "B"}))
    changed = connections.get("tills")
    assert changed is not first
    assert changed.context.codes.ours("sku", "1") == "B"
    registry.put(system(timeout="3s"), mapping({"1": "B"}))
    assert connections.get("tills").context.timeout == 3.0
    connections.close()


def test_an_unknown_system_and_an_unknown_plugin_are_named(settings: Settings) -> None:
    connections = Connections(Governed(system(connector="fax")), settings, ManualClock(START))
    with pytest.raises(NotFoundError, match="no system 'erp' in the registry; there are: tills"):
        connections.get("erp")
    with pytest.raises(NotFoundError, match="no plugin 'fax'"):
        connections.get("tills")


def test_every_connector_that_is_shipped_is_installed(settings: Settings) -> None:
    manifests = Connections(Governed(), settings, ManualClock(START)).manifests()
    assert {"netsuite", "shiphero", "shopify", "till_files", "tryton", "webhook"} <= set(manifests)
    assert all(name == manifest.name for name, manifest in manifests.items())


def test_placeholders_are_filled_in_and_others_refused(settings: Settings) -> None:
    assert resolve_endpoint("${SANDBOX}/erp", settings) == "http://127.0.0.1:9001/erp"
    with pytest.raises(SettingsError, match="PLACE"):
        resolve_endpoint("${PLACE}/erp", settings)


def test_secrets_come_from_the_environment_or_from_the_secrets_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "token").write_text("from-file\n")
    monkeypatch.setenv("THEIR_TOKEN", "from-env")
    assert resolve_secret("it", "file:token", settings) == "from-file"
    assert resolve_secret("it", "env:THEIR_TOKEN", settings) == "from-env"


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("env:NOT_SET_ANYWHERE", "env:NOT_SET_ANYWHERE.*empty or not set"),
        ("file:missing", "file:missing.*cannot be read"),
        ("file:../../etc/passwd", "plain name without folders"),
        ("hunter2", "write env:NAME, file:NAME or vault"),
    ],
)
def test_a_secret_that_cannot_be_resolved_is_named_without_its_value(
    settings: Settings, reference: str, told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        resolve_secret("the secret 'token' of System 'x'", reference, settings)


def test_a_missing_secret_names_the_system(settings: Settings) -> None:
    connections = Connections(Governed(system(connector="webhook", endpoint="http://x")), settings, ManualClock(START))
    with pytest.raises(SettingsError, match="System 'tills' needs the secret 'token'"):
        connections.get("tills")
