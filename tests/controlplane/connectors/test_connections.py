"""Connections follow the registry, and resolve endpoints and secrets."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.till_files.connector import TillFilesConnector
from controlplane.connectors.connections import Connections, context_of, resolve_endpoint, resolve_secret
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


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        ("${HOME}", {}), ("file://${HOME}", {}), ("${HOME}/drop/..", {}), ("${HOME}/sandbox/secrets", {}), ("${HOME}/link", {}),
        ("sqlite:///${HOME}/plane.sqlite", {}), ("sqlite+pysqlite:///${HOME}/plane.sqlite", {}),
        ("${HOME}/sandbox", {"inbox": "secrets"}), ("${HOME}/drop", {"manifest": {"reads": [{"folder": "../sandbox/secrets"}]}}),
        ("file:///", {"inbox": "${HOME}"}), ("/proc/self", {}), ("/dev/fd", {}), ("file:///proc", {"inbox": "self"}), ("/sys/kernel", {}),
    ],
)  # fmt: skip
def test_no_system_reads_what_the_plane_keeps_for_itself(
    settings: Settings, endpoint: str, options: dict[str, Any]
) -> None:
    """An approved endpoint that leads to the keys, the database or the secrets would show them to whoever sees its records."""
    (settings.secrets / "deeper").mkdir(parents=True)
    (settings.home / "drop").mkdir()
    (settings.home / "plane.sqlite").touch()
    (settings.home / "link").symlink_to(settings.secrets)
    filled = {
        name: resolve_endpoint(each, settings) if isinstance(each, str) else each for name, each in options.items()
    }
    registry = Governed(system(endpoint=endpoint, options=filled))
    with pytest.raises(SettingsError, match="is where the plane keeps what is its own; hand files over in a folder"):
        context_of(registry.snapshot(), "tills", settings, ManualClock(START))


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        ("${HOME}/drop", {"inbox": "in"}), ("${HOME}/sandbox/tills", {"currency": "EUR"}), ("/srv/edi", {"inbox": "in"}),
        ("https://shop.example", {"inbox": "secrets"}), ("sqlite:///${HOME}/drop/erp.sqlite", {}),
    ],
)  # fmt: skip
def test_folders_of_a_systems_own_are_read(settings: Settings, endpoint: str, options: dict[str, Any]) -> None:
    registry = Governed(system(endpoint=endpoint, options=options))
    context = context_of(registry.snapshot(), "tills", settings, ManualClock(START))
    assert context.endpoint == resolve_endpoint(endpoint, settings)


@pytest.mark.parametrize(
    "reference", ["env:TRUEUP_ADMIN_PASSWORD", "env:trueup_database_url", "file:oidc", "env:SEALS", "env:VAULT_LOGIN"]
)
def test_what_lets_the_plane_itself_in_is_given_to_no_system(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    settings = settings.model_copy(
        update={"oidc_client_secret": "file:oidc", "seal_keys": "env:SEALS", "vault_token": "env:VAULT_LOGIN"}
    )
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "oidc").write_text("planted")
    for name in ("TRUEUP_ADMIN_PASSWORD", "trueup_database_url", "SEALS", "VAULT_LOGIN"):
        monkeypatch.setenv(name, "planted")
    with pytest.raises(SettingsError, match="is the plane's own, and is given to no system") as refused:
        resolve_secret("the secret 'token' of System 'tills'", reference, settings)
    assert "planted" not in str(refused.value)


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
