"""`trueup change`, and the whole loop of a change over the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controlplane.access import Actor, create_account
from controlplane.audit.commands import app as audit_app
from controlplane.clock import ManualClock
from controlplane.errors import ForbiddenError
from controlplane.jobs.schedules import schedules
from controlplane.registry.change_commands import app as policy_app
from controlplane.registry.changes import Changes
from controlplane.registry.decision_commands import app, speaking
from controlplane.wiring import Plane
from tests.conftest import START
from tests.controlplane.registry.test_change_commands import FILE, edit
from tests.web import PASSWORD, a_plane, found_by_the_console, served


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plane]:
    """A plane that the command line finds, where everybody has the same password."""
    monkeypatch.setenv("TRUEUP_PASSWORD", PASSWORD)
    with a_plane(tmp_path / "home", ManualClock(START)) as found, served(found) as url:
        found_by_the_console(found, url, monkeypatch)
        yield found


def policy(*arguments: str) -> str:
    return done(CliRunner().invoke(policy_app, list(arguments), catch_exceptions=False))


def change(*arguments: str, typed: str | None = None) -> str:
    return done(CliRunner().invoke(app, list(arguments), input=typed, catch_exceptions=False))


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


def proposed(folder: Path, **spec: object) -> str:
    """Return the id of a change that is in review."""
    policy("export", str(folder))
    edit(folder / FILE, **spec)
    [made] = json.loads(policy("apply", str(folder), "--reason", "peak", "--as", "ada", "--json"))
    return str(made["id"])


def tick(plane: Plane) -> None:
    for each in schedules(plane, timedelta(seconds=15)):
        if each.name == "changes":
            each.run()


def cap(plane: Plane) -> timedelta:
    return plane.registry.snapshot().retry_policies["default"].spec.cap


def test_the_whole_loop_over_the_command_line(plane: Plane, tmp_path: Path) -> None:
    assert isinstance(plane.clock, ManualClock)
    request = proposed(tmp_path / "files", cap="9m")
    assert request in change("list")
    assert "vendor calls" in policy("simulate", request, "--as", "ada")
    assert "spec.cap: 5m -> 9m" in change("show", request)
    with pytest.raises(ForbiddenError, match="it takes the right"):
        change("approve", request, "--as", "ada")
    assert "in_review" in change("approve", request, "--as", "ben", "--comment", "fine")
    assert "approve by ben: fine" in change("show", request)
    assert "approved" in change("approve", request, "--as", "wim")
    at = (plane.clock.now() + timedelta(hours=1)).isoformat()
    assert "scheduled" in change("schedule", request, "--as", "ada", "--at", at)
    assert cap(plane) == timedelta(minutes=5)
    plane.clock.advance(3601)
    tick(plane)
    assert cap(plane) == timedelta(minutes=9)
    assert request not in change("list")
    assert request in change("list", "--all")
    back = policy("rollback", "retry-policy", "default", "1", "--reason", "peak is over", "--as", "ada").split()[2]
    for person in ("ben", "wim"):
        if "in_review" in change("show", back):
            change("approve", back, "--as", person)
    assert "effective" in change("apply", back, "--as", "ada")
    assert cap(plane) == timedelta(minutes=5)
    assert "rolled_back" in change("show", request)
    exported = tmp_path / "log.jsonl"
    done(CliRunner().invoke(audit_app, ["export", str(exported)], catch_exceptions=False))
    done(CliRunner().invoke(audit_app, ["verify", str(exported)], catch_exceptions=False))


def test_what_is_rejected_or_withdrawn_says_why(plane: Plane, tmp_path: Path) -> None:
    request = proposed(tmp_path / "files", cap="9m")
    assert "rejected" in change("reject", request, "--as", "ben", "--comment", "not in peak")
    assert "reject by ben: not in peak" in change("show", request)
    again = proposed(tmp_path / "more", cap="8m")
    with pytest.raises(ForbiddenError, match="it takes the right"):
        change("withdraw", again, "--as", "ben")


def test_a_break_glass_is_in_force_at_once_and_is_reviewed_by_another(plane: Plane) -> None:
    draft = Changes(plane.registry)
    ada = Actor("ada", frozenset({"editor"}), "integration-platform")
    document = plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
    document["spec"]["cap"] = "9m"
    request = draft.open("RetryPolicy", "default", document, "Wait longer", "", ada).id
    assert "effective" in change("break-glass", request, "--as", "ada", "--hours", "2", "--reason", "the ERP is down")
    assert cap(plane) == timedelta(minutes=9)
    assert "effective" in change("review", request, "--as", "ben", "--comment", "it was right")


def test_a_wrong_password_is_told_and_nothing_is_done(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = proposed(tmp_path / "files", cap="9m")
    monkeypatch.delenv("TRUEUP_PASSWORD")
    with pytest.raises(ForbiddenError, match="does not know 'ben' by this password"):
        change("approve", request, "--as", "ben", typed="wrong\n")
    assert PASSWORD not in change("approve", request, "--as", "ben", typed=f"{PASSWORD}\n")
    assert json.loads(change("show", request, "--json"))["votes"][0]["voter"] == "ben"


def test_what_is_proposed_by_the_command_line_has_a_person_for_its_author_who_does_not_approve_it(
    plane: Plane, tmp_path: Path
) -> None:
    create_account(plane.store, plane.clock, "eve", PASSWORD, ["editor", "approver"], actor="setup", team="store-ops")
    policy("export", str(tmp_path / "files"))
    edit(tmp_path / "files" / FILE, cap="4m")
    mine = ("apply", str(tmp_path / "files"), "--reason", "peak", "--json")
    assert "Missing option '--as'" in CliRunner().invoke(policy_app, list(mine)).output
    [made] = json.loads(policy(*mine, "--as", "eve"))
    assert "by eve" in change("show", made["id"])
    with pytest.raises(ForbiddenError, match="'eve' wrote it"):
        change("approve", made["id"], "--as", "eve")


def test_the_machines_token_proposes_nothing(plane: Plane) -> None:
    with speaking() as online, pytest.raises(ForbiddenError, match=r"it takes the scope 'policy\.propose'"):
        online.post("policies/RetryPolicy/default/rollback", {"revision": 1, "reason": "mine"})
