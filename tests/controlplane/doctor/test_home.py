"""The settings and the home folder, broken in the ways that happen."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.clock import ManualClock
from controlplane.doctor.home import kind_of, reachable
from controlplane.sealing import Keys
from controlplane.settings import load_settings
from controlplane.store import Store
from tests.controlplane.doctor.conftest import Look, of, the


def test_a_setting_that_is_misspelt_is_named_with_the_one_that_was_meant(look: Look) -> None:
    answers = look(
        environment={"TRUEUP_DATBASE_URL": "postgresql://x", "TRUEUP_HOME": "h", "TRUEUP_SHOP_TOKEN": "s", "PATH": ""}
    )
    assert of(answers, "settings")[1:] == [
        ("warning", "TRUEUP_DATBASE_URL is set and is no setting -> did you mean TRUEUP_DATABASE_URL?")
    ]


def test_a_home_folder_that_is_not_there_yet_is_a_warning_and_stays_away(look: Look, tmp_path: Path) -> None:
    answers = look(home=tmp_path / "nowhere")
    assert the(answers, "home")[0] == "warning"
    assert the(answers, "database")[0] == "warning"
    assert not (tmp_path / "nowhere").exists()
    assert not [answer for answer in answers if answer.status == "wrong"]


def test_a_home_folder_that_cannot_be_written_to_is_wrong_even_for_root(look: Look) -> None:
    status, told = the(look(home=Path("/sys/kernel")), "home")
    assert status == "wrong"
    assert told.startswith("/sys/kernel cannot be written to: ")
    assert "TRUEUP_HOME" in told


def test_a_home_folder_in_order_is_well_and_nothing_is_left_in_it(look: Look, home: Path, store: Store) -> None:
    store.close()
    before = sorted(path.name for path in home.iterdir())
    answers = look()
    assert [the(answers, name)[0] for name in ("home", "space", "permissions", "file system")] == ["ok"] * 4
    assert sorted(path.name for path in home.iterdir()) == before


def test_a_token_that_others_can_read_is_wrong_with_the_command_that_mends_it(look: Look, home: Path) -> None:
    token = home / "cli-token"
    token.write_text("tru_x", encoding="ascii")
    token.chmod(0o644)
    status, told = the(look(), "permissions")
    assert (status, f"chmod 600 {token}" in told) == ("warning", True), "the folder above it keeps others out"
    open_to_all(home)
    status, told = the(look(), "permissions")
    assert (status, "others than its owner can read it" in told) == ("wrong", True)
    token.chmod(0o600)
    assert the(look(), "permissions")[0] == "ok"


def open_to_all(folder: Path) -> None:
    """Let everybody through a folder and all above it that pytest made."""
    for path in (folder, *folder.parents):
        if path.stat().st_mode & 0o055 != 0o055 and path.owner() == Path.home().owner():
            path.chmod(0o755)


def test_a_file_is_reachable_only_when_every_folder_above_it_lets_others_through(tmp_path: Path) -> None:
    file = tmp_path / "closed" / "open" / "secret"
    file.parent.mkdir(parents=True)
    file.write_text("s", encoding="ascii")
    file.chmod(0o604)
    open_to_all(tmp_path)
    assert reachable(file)
    (tmp_path / "closed").chmod(0o700)
    assert not reachable(file)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/data/plane/x.sqlite", "nfs4"), ("/data", "ext4"), ("/database/x", "overlay"), ("/other", "overlay")],
)
def test_the_file_system_of_a_path_is_that_of_the_longest_mount_point_above_it(path: str, kind: str) -> None:
    assert kind_of(Path(path), [("/", "overlay"), ("/data/plane", "nfs4"), ("/data", "ext4")]) == kind


def test_where_nothing_outside_vouches_for_the_action_log_is_a_warning(look: Look, home: Path) -> None:
    status, told = the(look(), "anchors")
    assert (status, "TRUEUP_AUDIT_ANCHORS" in told) == ("warning", True)


def test_each_place_outside_is_reached_or_named(look: Look, home: Path, tmp_path: Path) -> None:
    answers = of(look(audit_anchors=f"{tmp_path / 'there'} nosuch://bucket"), "anchors")
    assert [status for status, _ in answers] == ["ok", "wrong"]
    assert "nosuch://bucket cannot be used" in answers[1][1]


def test_keys_of_sealed_records_that_are_missing_or_broken_are_named(
    look: Look, home: Path, clock: ManualClock
) -> None:
    status, told = the(look(), "keys")
    assert (status, "seal-keys.json" in told, "restore the file from a backup" in told) == ("warning", True, True)
    assert the(look(seal_keys="env:NOT_SET"), "keys")[0] == "wrong"
    (home / "seal-keys.json").write_text("{}")
    assert the(look(), "keys")[0] == "wrong"
    (home / "seal-keys.json").unlink()
    Keys(load_settings(home=home)).make(clock)
    status, told = the(look(), "keys")
    assert (status, "1 keys for sealed records" in told) == ("ok", True)
    (home / "seal-keys.json").chmod(0o644)
    assert the(look(), "permissions")[0] == "warning"
