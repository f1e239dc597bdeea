"""Where the keys are, who may read them, and what happens where they are not."""

from __future__ import annotations

import getpass
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import insert, select
from typer.testing import CliRunner

from controlplane.audit import verify
from controlplane.audit.key_commands import app
from controlplane.clock import ManualClock
from controlplane.errors import ConflictError, KeyMissingError, SettingsError
from controlplane.sealing import Keys, Ring
from controlplane.settings import Settings, load_settings
from controlplane.store import tables as t
from controlplane.wiring import Plane, build_plane
from tests.web import a_plane, found_by_the_console, served


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation, which the command line is told of by the environment."""
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path))
    return load_settings()


def test_the_plane_makes_keys_once_that_only_their_owner_can_read(settings: Settings, clock: ManualClock) -> None:
    keys = Keys(settings)
    assert keys.make(clock)
    path = settings.home / "seal-keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert not keys.make(clock)
    assert path.read_bytes() == before


@pytest.mark.parametrize("_again", range(5))
def test_of_several_that_begin_on_one_home_at_once_one_makes_the_keys_and_all_have_the_same(
    settings: Settings, clock: ManualClock, _again: int
) -> None:
    together = Barrier(8)

    def begin(_: int) -> tuple[bool, str]:
        keys = Keys(settings)
        together.wait()
        return keys.make(clock), keys.ring().text

    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(begin, range(8)))
    assert [made for made, _ in begun].count(True) == 1
    assert len({text for _, text in begun}) == 1
    assert [path.name for path in settings.home.iterdir()] == ["seal-keys.json"]


def test_keys_that_are_missing_are_named_with_their_place(settings: Settings) -> None:
    with pytest.raises(KeyMissingError, match=r"seal-keys\.json: .*cannot be read .No such file.*TRUEUP_SEAL_KEYS"):
        Keys(settings).ring()


def test_keys_are_never_made_where_a_reference_says_that_they_come_from_elsewhere(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reference in ("env:THEIR_KEYS", "file:their-keys"):
        keys = Keys(load_settings(home=tmp_path, seal_keys=reference))
        assert not keys.make(clock)
        with pytest.raises(KeyMissingError, match=reference):
            keys.ring()
    ring = Ring.new(clock.now())
    monkeypatch.setenv("THEIR_KEYS", ring.text)
    assert Keys(load_settings(home=tmp_path, seal_keys="env:THEIR_KEYS")).ring() == ring
    folder = load_settings(home=tmp_path).secrets
    folder.mkdir(parents=True)
    (folder / "their-keys").write_text(ring.text)
    assert Keys(load_settings(home=tmp_path, seal_keys="file:their-keys")).ring() == ring


def test_a_reference_that_is_the_key_itself_is_refused_without_being_shown(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(SettingsError, match="TRUEUP_SEAL_KEYS") as told:
        load_settings(home=tmp_path, seal_keys=Ring.new(clock.now()).text)
    assert "hashing" not in str(told.value)


def test_a_running_process_takes_up_a_rotation(settings: Settings, clock: ManualClock) -> None:
    keys = Keys(settings)
    keys.make(clock)
    sealed = keys.ring().seal("intake/1", b"x")
    assert CliRunner().invoke(app, ["rotate"]).exit_code == 0
    assert len(keys.ring().keys) == 2
    assert keys.ring().open("intake/1", sealed) == b"x"


def test_the_command_line_lists_rotates_and_destroys_without_showing_a_key(
    settings: Settings, clock: ManualClock
) -> None:
    runner, keys = CliRunner(), Keys(settings)
    assert runner.invoke(app, ["new"]).exit_code == 0
    assert isinstance(runner.invoke(app, ["new"]).exception, ConflictError)
    [first] = keys.ring().keys
    runner.invoke(app, ["rotate"])
    listed = runner.invoke(app, ["list"]).output
    assert f"{first.id}\t{first.made_at}\topens" in listed
    assert runner.invoke(app, ["destroy", first.id], input="n\n").exit_code == 1
    assert len(keys.ring().keys) == 2
    assert runner.invoke(app, ["destroy", first.id, "--yes"]).exit_code == 0
    listed = runner.invoke(app, ["list"]).output
    assert f"{first.id}\t" in listed
    assert "destroyed" in listed
    assert first.told()["key"] not in listed
    assert stat.S_IMODE((settings.home / "seal-keys.json").stat().st_mode) == 0o600


def test_keys_in_the_environment_are_printed_to_be_put_there(
    settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_SEAL_KEYS", "env:THEIR_KEYS")
    monkeypatch.setenv("THEIR_KEYS", Ring.new(clock.now()).text)
    assert isinstance(CliRunner().invoke(app, ["rotate"]).exception, SettingsError)
    printed = CliRunner().invoke(app, ["rotate", "--print"]).stdout
    assert len(Ring.read(printed, "printed").keys) == 2
    assert not any(settings.home.iterdir())


def told(plane: Plane) -> list[tuple[str, str]]:
    """Who did what to the keys, as the action log has it."""
    a = t.action.c
    with plane.store.read() as connection:
        assert verify(connection) == []
        rows = connection.execute(select(a.action, a.actor).where(a.subject == "keys/ring").order_by(a.seq))
        return [(row.action, row.actor) for row in rows]


def test_what_is_done_to_the_keys_stands_in_the_action_log_of_the_plane_that_runs(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_plane(tmp_path, clock) as plane, served(plane) as url:
        found_by_the_console(plane, url, monkeypatch)
        [first] = Keys(plane.settings).ring().keys
        assert CliRunner().invoke(app, ["rotate"]).exit_code == 0
        done = CliRunner().invoke(app, ["destroy", first.id, "--yes"])
        assert (done.exit_code, "noted in the action log" in done.stderr) == (0, True)
        assert "the action log knows it" in CliRunner().invoke(app, ["record"]).stderr
        assert told(plane) == [("keys.rotate", "admin"), ("keys.destroy", "admin")]
        with plane.store.read() as connection:
            last = connection.execute(select(t.action).where(t.action.c.action == "keys.destroy")).one()
        assert (last.before["opens"], last.after["destroyed"]) == ([first.id], [first.id])
        ring = Keys(plane.settings).ring()
        assert not [key for key in (*ring.keys, ring.hashing) if key.told()["key"] in str(last)]


def test_what_is_done_to_the_keys_while_no_plane_runs_stands_in_the_action_log_too(
    settings: Settings, clock: ManualClock
) -> None:
    assert "there is no action log yet" in CliRunner().invoke(app, ["new"]).stderr
    with a_plane(settings.home, clock) as plane:
        assert told(plane) == []
    assert "noted in the action log" in CliRunner().invoke(app, ["rotate"]).stderr
    with closing(build_plane(settings, clock)) as plane:
        assert told(plane) == [("keys.rotate", f"console ({getpass.getuser()})")]


def test_a_plane_whose_records_are_sealed_makes_no_other_keys_in_place_of_those_that_are_lost(
    tmp_path: Path, clock: ManualClock
) -> None:
    with a_plane(tmp_path, clock) as plane:
        path = tmp_path / "seal-keys.json"
        assert path.exists()
        body, sealed = plane.sync.shield("shop").body("intake/1", b'{"email": "anna@example.org"}')
        row = {
            "id": "1", "system": "shop", "channel": "webhook", "topic": "x", "event_key": "x", "headers": {}, "body": body,
            "sealed": sealed, "received_at": clock.now(), "trace_id": "", "state": "ignored",
        }  # fmt: skip
        with plane.store.write() as connection:
            connection.execute(insert(t.intake).values(**row))
    path.unlink()
    again = build_plane(load_settings(home=tmp_path, database_url=""), clock)
    again.close()
    assert not path.exists()
