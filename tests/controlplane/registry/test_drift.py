"""`trueup policy drift` against a plane that is served over HTTP, and files that lie in a git work tree or in none."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import insert
from typer.testing import CliRunner

from controlplane.clock import ManualClock
from controlplane.health.observations.settings import Reading, kept
from controlplane.registry.change_commands import app
from controlplane.registry.drift import commit_of
from controlplane.store import tables as t
from controlplane.wiring import Plane
from rules.ids import new_id
from tests.conftest import START
from tests.web import a_plane, found_by_the_console, served

NO_GIT = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with a_plane(tmp_path / "home", ManualClock(START)) as found:
        yield found


@pytest.fixture
def files(plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The registry of a served plane as files."""
    with served(plane) as url:
        found_by_the_console(plane, url, monkeypatch)
        run("export", str(tmp_path / "policies"))
        yield tmp_path / "policies"


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def git(folder: Path, *arguments: str) -> str:
    given = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *given, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def seen(plane: Plane, *settings: dict[str, Any], system: str = "shop", unread: str | None = None) -> None:
    """Keep a reading, as the ticker does."""
    snapshot, now = plane.registry.snapshot(), plane.clock.now()
    reading = Reading(system, snapshot.revision("System", system), settings, unread)
    row = {"id": new_id(now), "schedule": "settings", "scheduled_for": now, "state": "done", "started_at": now}
    with plane.store.write() as conn:
        conn.execute(insert(t.run).values(**row, finished_at=now, detail={"result": kept([reading])}))


def setting(name: str, standing: str, actual: str | None) -> dict[str, Any]:
    return {"name": name, "standing": standing, "promised": "USD", "actual": actual, "remedy": "ask them", "note": ""}


def test_files_that_are_the_registry_do_not_differ(files: Path) -> None:
    told = run("drift", str(files))
    assert "different" not in told.replace("0 different", "")
    assert "in no git work tree" in told


def test_each_kind_of_difference_is_told_with_both_values_and_the_exit_code_is_1(files: Path) -> None:
    changed = files / "RetryPolicy" / "default.yaml"
    document = yaml.safe_load(changed.read_text())
    document["spec"]["cap"] = "9m"
    changed.write_text(yaml.safe_dump(document))
    new = {**document, "metadata": {"name": "patient"}}
    (files / "RetryPolicy" / "patient.yaml").write_text(yaml.safe_dump(new))
    (files / "RetryPolicy" / "stock.yaml").unlink()
    told = run("drift", str(files), code=1)
    assert "different: RetryPolicy/default (revision 1)\n  spec.cap: 5m -> 9m" in told
    assert "only in the files: RetryPolicy/patient\n" in told
    assert "only in force: RetryPolicy/stock (revision 1)" in told
    found = json.loads(run("drift", str(files), "--json", code=1))
    assert [(one["name"], one["step"]) for one in found["documents"]] == [
        ("default", "different"), ("patient", "only in the files"), ("stock", "only in force")
    ]  # fmt: skip
    assert found["documents"][0]["fields"] == [{"path": "spec.cap", "in_force": "5m", "in_files": "9m"}]


@NO_GIT
def test_the_commit_of_the_files_is_told_and_whether_they_are_as_it_has_them(files: Path) -> None:
    git(files, "init", "--quiet")
    assert commit_of(files) is None  # nothing is committed yet
    git(files, "add", ".")
    git(files, "commit", "--quiet", "-m", "policies")
    head = git(files, "rev-parse", "HEAD")
    assert f"{files}: commit {head}\n" in run("drift", str(files))
    (files / "Team" / "ecommerce.yaml").write_text((files / "Team" / "ecommerce.yaml").read_text() + "# a word\n")
    assert f"commit {head}, with changes that are not committed" in run("drift", str(files))
    [told] = json.loads(run("drift", str(files), "--json"))["files"]
    assert told == {"path": str(files), "commit": head, "uncommitted_changes": True}


def test_systems_that_nobody_has_read_are_unknown_and_never_well(files: Path) -> None:
    told = run("drift")
    assert "unknown: shop: nobody has read it yet" in told
    assert "settings at systems: 0 same, 0 different, 5 unknown" in told


def test_a_setting_that_differs_at_a_system_makes_the_exit_code_1(files: Path, plane: Plane) -> None:
    seen(plane, setting("currency", "different", "EUR"), setting("zone", "unknown", None), setting("x", "same", "USD"))
    told = run("drift", code=1)
    assert "different: shop: currency ought to be USD and is EUR; ask them" in told
    assert "unknown: shop: zone: the system does not tell it" in told
    assert "1 same, 1 different, 5 unknown" in told
    rows = json.loads(run("drift", "--json", code=1))["settings"]
    [row] = [row for row in rows if row["standing"] == "different"]
    assert (row["system"], row["name"], row["promised"], row["actual"]) == ("shop", "currency", "USD", "EUR")


def test_a_system_that_does_not_tell_is_unknown_with_the_reason(files: Path, plane: Plane) -> None:
    seen(plane, unread="it could not be read: no connection")
    assert "unknown: shop: it could not be read: no connection" in run("drift")
