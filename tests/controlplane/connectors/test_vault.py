"""Secrets from Vault, and what becomes of those that change: against a server that answers as Vault does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.connections import LOOKED, Connections, resolve_secret
from controlplane.connectors.vault import KEPT, RESTS, Vault, api_path
from controlplane.errors import SettingsError
from controlplane.registry import Snapshot
from controlplane.settings import Settings, load_settings
from tests.addresses import pairs_of
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.connectors.conftest import START
from tests.controlplane.connectors.test_connections import Governed, system
from tests.controlplane.connectors.vault_server import TOKEN, VaultServer

SHOP = "vault:secret/shop/api#token"


@pytest.fixture
def vault() -> Iterator[VaultServer]:
    server = VaultServer()
    server.put("shop/api", token="first-value", webhook="hook-one")
    yield server
    server.close()


@pytest.fixture
def settings(tmp_path: Path, vault: VaultServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "sandbox" / "secrets").mkdir(parents=True)
    (tmp_path / "sandbox" / "secrets" / "vault_token").write_text(TOKEN + "\n")
    return Settings(home=tmp_path, port=9000, vault_addr=vault.url, vault_token="file:vault_token")


def reader(settings: Settings, clock: ManualClock) -> Callable[[], str]:
    held = Vault(settings.vault_addr, settings.vault_namespace, clock)
    return lambda: resolve_secret("the secret 'token'", SHOP, settings, held)


def test_a_field_of_a_secret_is_read_by_path(settings: Settings, vault: VaultServer) -> None:
    assert resolve_secret("it", SHOP, settings) == "first-value"
    assert vault.asked == [("/v1/secret/data/shop/api", "")]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("secret/shop", "/v1/secret/data/shop"),
        ("kv/a/b", "/v1/kv/data/a/b"),
        ("team/kv/data/shop", "/v1/team/kv/data/shop"),
    ],
)
def test_data_stands_behind_the_mount_unless_it_is_there(path: str, told: str) -> None:
    assert api_path(path) == told


def test_vault_is_asked_once_in_a_while_and_a_new_value_is_seen_within_it(
    settings: Settings, vault: VaultServer
) -> None:
    clock = ManualClock(START)
    read = reader(settings, clock)
    assert {read() for _ in range(50)} == {"first-value"}
    assert len(vault.asked) == 1
    vault.put("shop/api", token="second-value")
    clock.advance(KEPT.total_seconds())
    assert read() == "second-value"
    assert len(vault.asked) == 2


def test_a_namespace_goes_with_every_question(settings: Settings, vault: VaultServer) -> None:
    vault.namespace = "retail/eu"
    with pytest.raises(SettingsError, match=r"refused by Vault \(403\).*TRUEUP_VAULT_NAMESPACE"):
        resolve_secret("it", SHOP, settings)
    within = settings.model_copy(update={"vault_namespace": "retail/eu"})
    assert resolve_secret("it", SHOP, within) == "first-value"


def test_a_new_token_of_vault_needs_no_restart(settings: Settings, vault: VaultServer) -> None:
    clock = ManualClock(START)
    read = reader(settings, clock)
    vault.token = "hvs.rotated"
    with pytest.raises(SettingsError, match="403"):
        read()
    (settings.secrets / "vault_token").write_text("hvs.rotated")
    clock.advance(RESTS.total_seconds())
    assert read() == "first-value"


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("vault:secret/nothing#token", r"\(vault:secret/nothing#token\) is not in Vault; write it"),
        ("vault:secret/shop/api#tokn", "has no field 'tokn' in Vault"),
        ("vault:other/shop/api#token", "see that its mount is a KV engine"),
        ("vault:shop#token", "no reference to Vault"),
        ("vault:secret/../sys#token", "no reference to Vault"),
        ("vault:secret/shop/api", "no reference to Vault"),
    ],
)
def test_what_leads_nowhere_is_told_with_the_remedy(settings: Settings, reference: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        resolve_secret("the secret 'token' of System 'shop'", reference, settings)


def test_a_deleted_and_a_destroyed_version_are_told_as_that_and_not_used_further(
    settings: Settings, vault: VaultServer
) -> None:
    clock = ManualClock(START)
    read = reader(settings, clock)
    assert read() == "first-value"
    vault.secrets["shop/api"][-1].deleted = True
    clock.advance(KEPT.total_seconds())
    with pytest.raises(SettingsError, match=r"is deleted at 2026-03-02T08:30:00Z in Vault \(version 1\)"):
        read()
    vault.secrets["shop/api"][-1].destroyed = True
    clock.advance(RESTS.total_seconds())
    with pytest.raises(SettingsError, match="is destroyed in Vault"):
        read()


def test_while_vault_is_sealed_what_is_held_goes_on_being_used_and_it_is_left_alone_for_some_seconds(
    settings: Settings, vault: VaultServer
) -> None:
    clock = ManualClock(START)
    read = reader(settings, clock)
    read()
    vault.sealed = True
    clock.advance(KEPT.total_seconds())
    assert {read() for _ in range(20)} == {"first-value"}
    assert len(vault.asked) == 2
    with pytest.raises(SettingsError, match=r"cannot be read from Vault: it is sealed .*unseal it"):
        reader(settings, clock)()
    vault.sealed = False
    vault.put("shop/api", token="second-value")
    clock.advance(RESTS.total_seconds())
    assert read() == "second-value"


def test_a_vault_that_does_not_answer_is_told_without_the_token(settings: Settings, vault: VaultServer) -> None:
    vault.close()
    with pytest.raises(SettingsError) as caught:
        resolve_secret("it", SHOP, settings)
    assert "no answer from http://127.0.0.1" in str(caught.value)
    assert "TRUEUP_VAULT_ADDR" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_value_that_is_no_text_is_refused_without_being_shown(settings: Settings, vault: VaultServer) -> None:
    vault.put("shop/api", token=4711_0815)
    with pytest.raises(SettingsError, match="is no text in Vault") as caught:
        resolve_secret("it", SHOP, settings)
    assert "47110815" not in str(caught.value)


def test_without_an_address_of_vault_the_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set TRUEUP_VAULT_ADDR and TRUEUP_VAULT_TOKEN"):
        resolve_secret("it", SHOP, Settings(home=tmp_path))


@pytest.mark.parametrize("given", ["hvs.a-token-by-value", "vault:secret/a#b"])
def test_vault_s_token_is_a_reference_and_never_shown_when_it_is_none(given: str) -> None:
    with pytest.raises(SettingsError, match=r"TRUEUP_VAULT_TOKEN=\(hidden\).*env:NAME or file:NAME") as caught:
        load_settings(vault_token=given)
    assert given not in str(caught.value)


# --- what changes while the plane runs ---


class Notified(Governed):
    """One incident tool whose token is at the given reference."""

    def __init__(self, url: str, reference: str) -> None:
        super().__init__(
            system(connector="webhook", endpoint=url, secrets={"token": reference}, internal=pairs_of(url))
        )

    def snapshot(self) -> Snapshot:
        return self._snapshot


def tell(connections: Connections) -> Any:
    from controlplane.connectors.contract import Write

    payload = {
        "fingerprint": "f", "action": "trigger", "title": "t", "severity": "page", "opened_at": "2026-03-02T09:00:00Z",
        "incident": "i", "owner": "o", "cause": "c", "money_at_risk": "0", "currency": "EUR", "sequence": 1, "url": "",
    }  # fmt: skip
    return connections.get("tills").write(Write("incident", "i", "k", payload, "i"))


def bearers(server: BadServer) -> list[str]:
    return [headers["authorization"] for _, _, headers, _ in server.asked]


def test_a_file_that_is_written_anew_is_used_by_the_next_request_and_the_old_connector_ends_in_peace(
    settings: Settings, bad_server: BadServer
) -> None:
    clock = ManualClock(START)
    (settings.secrets / "token").write_text("one")
    connections = Connections(Notified(bad_server.url, "file:token"), settings, clock)
    old = connections.get("tills")
    tell(connections)
    (settings.secrets / "token").write_text("two")
    clock.advance(LOOKED.total_seconds())
    tell(connections)
    assert bearers(bad_server) == ["Bearer one", "Bearer two"]
    assert connections.get("tills") is not old
    assert old.context.system == "tills"
    connections.close()


def test_a_new_version_in_vault_is_used_without_a_restart(
    settings: Settings, vault: VaultServer, bad_server: BadServer
) -> None:
    clock = ManualClock(START)
    connections = Connections(Notified(bad_server.url, SHOP), settings, clock)
    tell(connections)
    vault.put("shop/api", token="second-value")
    for _ in range(31):
        clock.advance(1)
        tell(connections)
    assert bearers(bad_server)[0] == "Bearer first-value"
    assert bearers(bad_server)[-1] == "Bearer second-value"
    assert len(vault.asked) == 2
    connections.close()


def test_a_refusal_has_the_secret_looked_up_at_once_and_once_a_second_at_most(
    settings: Settings, vault: VaultServer, bad_server: BadServer
) -> None:
    clock = ManualClock(START)
    bad_server.script(Habit(401))
    connections = Connections(Notified(bad_server.url, SHOP), settings, clock)
    tell(connections)
    vault.put("shop/api", token="second-value")
    for _ in range(5):
        tell(connections)
    assert bearers(bad_server) == ["Bearer first-value", *["Bearer second-value"] * 5]
    assert len(vault.asked) == 2
    connections.close()


def test_a_secret_that_was_taken_away_is_used_no_more(settings: Settings, bad_server: BadServer) -> None:
    clock = ManualClock(START)
    (settings.secrets / "token").write_text("one")
    connections = Connections(Notified(bad_server.url, "file:token"), settings, clock)
    tell(connections)
    (settings.secrets / "token").unlink()
    clock.advance(LOOKED.total_seconds())
    for _ in range(2):
        with pytest.raises(SettingsError, match="cannot be read from"):
            tell(connections)
    assert len(bad_server.asked) == 1
    connections.close()
