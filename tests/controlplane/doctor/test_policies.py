"""Policies, plugins, secrets and systems, broken in the ways that happen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from controlplane.access import create_account, seed_people
from controlplane.clock import ManualClock
from controlplane.registry import revisions
from controlplane.store import Store
from controlplane.store import tables as t
from rules.policy.kinds import System
from tests.addresses import pairs_of
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.doctor.conftest import Look, of, the
from tests.controlplane.doctor.servers import free_port
from tests.controlplane.health.kit import sandbox_pack
from tests.controlplane.sandbox.client import Client
from tests.controlplane.sandbox.conftest import START, listener, start

__all__ = ["listener", "start"]


def put(store: Store, clock: ManualClock, name: str, **changes: object) -> None:
    """Put a System in force with changes that no change request would have got through."""
    [system] = [
        entry.document for entry in sandbox_pack() if (entry.document.kind, entry.document.name) == ("System", name)
    ]
    assert isinstance(system, System)
    changed = system.model_copy(update={"spec": system.spec.model_copy(update=changes)})
    with store.write() as connection:
        revisions.write(connection, clock, [changed], author="test", origin="test", reason="test")


def test_an_empty_registry_is_a_warning(look: Look, empty_store: Store) -> None:
    answers = look()
    assert the(answers, "policies") == (
        "warning",
        "the registry is empty -> start the plane with a pack: `trueup up --pack NAME`",
    )
    assert "not looked at: the registry is empty" in the(answers, "secrets")[1]


def test_policies_in_order_are_well(look: Look, store: Store) -> None:
    answers = look()
    assert [the(answers, name)[0] for name in ("policies", "connectors", "secrets")] == ["ok"] * 3
    assert the(answers, "endpoints") == ("ok", "not asked (--offline) -> ")


def test_a_registry_in_which_nobody_is_told_of_what_waits_is_a_warning(look: Look, store: Store) -> None:
    assert the(look(), "alerts")[0] == "ok"
    with store.write() as connection:
        mine = t.policy_revision.c.kind == "AlertRule"
        connection.execute(t.policy_revision.delete().where(mine))
    level, told = the(look(), "alerts")
    assert level == "warning"
    assert "add an AlertRule on failed_messages" in told


def test_owners_of_whom_nobody_has_an_account_are_a_warning_until_they_have(
    look: Look, store: Store, clock: ManualClock
) -> None:
    create_account(store, clock, "wim@corp", "a long password", ["viewer"], actor="setup", team="warehouse-ops")
    level, told = the(look(), "owners")
    assert (level, "own policies: ecommerce, finance-systems, integration-platform, store-ops -> " in told) == (
        "warning",
        True,
    )
    seed_people(store, clock)
    assert the(look(), "owners")[0] == "ok"


def test_a_connector_that_is_not_installed_is_named_and_the_others_are_asked(
    look: Look, store: Store, clock: ManualClock
) -> None:
    put(store, clock, "erp", connector="netsuit")
    answers = look(offline=False)
    assert "there is no connector plugin 'netsuit'" in the(answers, "connectors")[1]
    assert "did you mean 'netsuite'?" in the(answers, "policies", "System/erp")[1]
    assert the(answers, "endpoints", "erp")[0] == "warning"
    assert the(answers, "endpoints", "tills")[0] == "ok"


def test_a_policy_that_this_version_cannot_read_is_wrong_and_the_other_checks_go_on(look: Look, store: Store) -> None:
    with store.write() as connection:
        connection.execute(text("UPDATE policy_revision SET document = '{\"kind\": \"System\"}' WHERE name = 'erp'"))
    answers = look()
    status, told = the(answers, "policies")
    assert (status, "the check broke: ValidationError" in told) == ("wrong", True)
    assert the(answers, "clock")[0] == "ok"


def test_a_duration_without_bounds_that_is_in_force_already_is_named(
    look: Look, store: Store, clock: ManualClock
) -> None:
    put(store, clock, "erp", timeout=timedelta(days=999_999_999))
    status, told = the(look(), "policies", "System/erp")
    assert (status, "spec.timeout: it is longer than 1h" in told) == ("wrong", True)


def test_a_secret_whose_file_is_missing_is_wrong_and_says_where_to_write_it(
    look: Look, store: Store, home: Path
) -> None:
    secrets = home / "sandbox" / "secrets"
    (secrets / "erp_token_id").unlink()
    (secrets / "shop_access_token").write_text("\n", encoding="ascii")
    answers = look()
    status, told = the(answers, "secrets", "erp")
    assert (status, f"write it to {secrets / 'erp_token_id'}" in told) == ("wrong", True)
    assert "is empty or not set" in the(answers, "secrets", "shop")[1]
    assert the(answers, "secrets", "") == ("ok", "7 of 9 references lead to a value -> ")


def test_a_secret_that_takes_a_restart_to_be_rotated_is_named(
    look: Look, store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, clock, "pager", secrets={"token": "env:PAGER_TOKEN"})
    monkeypatch.setenv("PAGER_TOKEN", "x" * 20)
    told = the(look(), "secrets", "")[1]
    assert (
        "a new value of pager/token (env:) takes a restart of the plane and its workers, of file: and vault: none"
        in told
    )


def test_a_secret_of_the_environment_that_is_not_set_is_wrong(look: Look, store: Store, clock: ManualClock) -> None:
    put(store, clock, "pager", secrets={"token": "env:NO_SUCH_PAGER_TOKEN"})
    status, told = the(look(), "secrets", "pager")
    assert (status, "set NO_SUCH_PAGER_TOKEN where the plane and its workers run" in told) == ("wrong", True)


def test_the_sandbox_that_does_not_run_yet_is_a_warning_and_others_that_do_not_answer_are_wrong(
    look: Look, store: Store, clock: ManualClock
) -> None:
    for name in ("shop", "pager"):
        endpoint = f"http://127.0.0.1:{free_port()}/events"
        put(store, clock, name, endpoint=endpoint, internal=pairs_of(endpoint))
    found = {answer.about: answer.status.value for answer in look(offline=False) if answer.check == "endpoints"}
    assert found == {"erp": "warning", "wms": "warning", "tills": "ok", "shop": "wrong", "pager": "wrong"}


@pytest.mark.parametrize(
    ("habit", "status", "told"),
    [
        (Habit(200, b'{"data": {"shop": {"name": "x"}}}'), "ok", "answers"),
        (Habit(401, b'{"errors": "wrong"}'), "wrong", "check the secrets"),
        (Habit(429, b"{}", Retry_After="7"), "warning", "asks to slow down"),
        (Habit(500, b"{}"), "wrong", "answered 500"),
        (Habit(hang=True), "wrong", "no answer"),
    ],
)
def test_a_systems_answer_to_the_ping_is_judged(
    look: Look, store: Store, clock: ManualClock, bad_server: BadServer, habit: Habit, status: str, told: str
) -> None:
    put(store, clock, "shop", endpoint=bad_server.url, internal=pairs_of(bad_server.url))
    bad_server.script(habit)
    found, detail = the(look(offline=False, seconds=2.0), "endpoints", "shop")
    assert (found, told in detail) == (status, True), detail


def test_a_system_at_an_address_that_policy_does_not_state_is_wrong_and_not_connected_to(
    look: Look, store: Store, clock: ManualClock, bad_server: BadServer
) -> None:
    for name in ("shop", "pager"):  # with a ping, and without
        put(store, clock, name, endpoint=f"{bad_server.url}/events")
    answers = look(offline=False)
    pair = bad_server.url.removeprefix("http://")
    for name in ("shop", "pager"):
        status, told = the(answers, "endpoints", name)
        assert (status, f"{pair} is loopback -> if that is meant, add '{pair}' to spec.internal" in told) == (
            "wrong",
            True,
        ), told
    assert "is loopback" in the(answers, "policies", "System/shop")[1]
    assert bad_server.asked == []


def test_a_system_without_a_ping_is_connected_to(
    look: Look, store: Store, clock: ManualClock, bad_server: BadServer
) -> None:
    put(store, clock, "pager", endpoint=f"{bad_server.url}/events", internal=pairs_of(bad_server.url))
    status, told = the(look(offline=False), "endpoints", "pager")
    assert (status, "takes connections" in told, bad_server.asked) == ("ok", True, [])


def test_systems_that_are_paused_blocked_or_failing_are_named(look: Look, store: Store, clock: ManualClock) -> None:
    now = clock.now()
    rows: list[dict[str, Any]] = [
        {"system": "erp", "paused_at": now, "blocked_until": None, "consecutive_failures": 0},
        {"system": "wms", "paused_at": None, "blocked_until": now + timedelta(minutes=2), "consecutive_failures": 1},
        {"system": "shop", "paused_at": None, "blocked_until": now - timedelta(minutes=2), "consecutive_failures": 9},
        {"system": "pager", "paused_at": None, "blocked_until": None, "consecutive_failures": 2},
    ]
    with store.write() as connection:
        connection.execute(t.system_state.insert(), rows)
    found = {answer.about: (answer.status.value, answer.detail) for answer in look() if answer.check == "systems"}
    assert found == {
        "erp": ("warning", "deliveries are paused since 2026-03-02 09:00 UTC"),
        "wms": ("warning", "gets nothing until 09:02:00 UTC: no reason noted"),
        "shop": ("warning", "failed 9 times in a row: no reason noted"),
    }


def test_settings_that_nobody_could_read_are_a_warning_and_never_well(look: Look, store: Store) -> None:
    answers = look(offline=False)
    assert the(answers, "settings at systems", "shop")[0] == "warning"
    assert "unknown: it could not be read" in the(answers, "settings at systems", "shop")[1]
    assert of(answers, "settings at systems", "tills") == []
    assert the(look(), "settings at systems") == ("ok", "not asked (--offline) -> ")


def test_a_setting_at_a_system_that_is_not_as_promised_is_wrong(
    look: Look, store: Store, start: Callable[..., Client], home: Path
) -> None:
    sandbox = start(home=home / "sandbox")
    gone = 'mutation { webhook_delete(data: {name: "Shipment Update"}) { request_id } }'
    assert "errors" not in sandbox.wms(gone)
    put(store, ManualClock(START), "wms", endpoint=f"{sandbox.url}/wms", internal=pairs_of(sandbox.url))
    [(status, told)] = of(look(offline=False), "settings at systems", "wms")
    assert status == "wrong"
    assert (
        "webhook Shipment Update ought to be told to an address that ends in /hooks/wms and is told to nobody" in told
    )
