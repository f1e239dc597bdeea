"""`trueup policy plan|apply|export|diff|history|rollback` against a plane that is served over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, PolicyError
from controlplane.registry.change_commands import app
from controlplane.wiring import Plane
from tests.conftest import START
from tests.web import PASSWORD, a_plane, found_by_the_console, served, signed_in

FILE = "RetryPolicy/default.yaml"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with a_plane(tmp_path / "home", ManualClock(START)) as found:
        yield found


@pytest.fixture
def url(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where it answers, and where the command line speaks to; everybody has the same password."""
    monkeypatch.setenv("TRUEUP_PASSWORD", PASSWORD)
    with served(plane) as found:
        found_by_the_console(plane, found, monkeypatch)
        yield found


@pytest.fixture
def files(url: str, tmp_path: Path) -> Path:
    """The registry as files."""
    run("export", str(tmp_path / "policies"))
    return tmp_path / "policies"


def run(*arguments: str) -> str:
    """Run the command; what it refuses is raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def edit(path: Path, **spec: object) -> None:
    document = yaml.safe_load(path.read_text())
    document["spec"] |= spec
    path.write_text(yaml.safe_dump(document))


def in_force(url: str, name: str = "default") -> dict[str, object]:
    client = signed_in(url, "ada")
    found: dict[str, object] = client.get(f"/api/v1/policies/RetryPolicy/{name}").json()["policy"]
    client.close()
    return found


def decide(url: str, request: str, *people: str) -> None:
    """Let people approve a change and put it in force."""
    for name in people:
        if signed_in(url, name).get(f"/api/v1/change-requests/{request}").json()["state"] == "approved":
            break
        client = signed_in(url, name)
        voted = client.post(f"/api/v1/change-requests/{request}/vote", json={"decision": "approve", "comment": "fine"})
        assert voted.is_success, voted.text
        client.close()
    client = signed_in(url, people[0])
    applied = client.post(f"/api/v1/change-requests/{request}/apply")
    assert applied.is_success, applied.text
    client.close()


def test_an_export_is_the_same_every_time_and_changes_nothing_when_it_is_planned(files: Path, tmp_path: Path) -> None:
    run("export", str(tmp_path / "again"))
    first = {path.relative_to(files): path.read_bytes() for path in files.rglob("*.yaml")}
    assert first == {
        path.relative_to(tmp_path / "again"): path.read_bytes() for path in (tmp_path / "again").rglob("*.yaml")
    }
    assert len(first) > 20
    assert run("plan", str(files)).strip().startswith("0 new, 0 changed, ")
    assert run("apply", str(files), "--reason", "none", "--as", "ada").strip() == "nothing to change"
    printed = list(yaml.safe_load_all(run("export")))
    assert len(printed) == len(first)


def test_a_plan_tells_each_field_and_what_the_files_leave_out(files: Path) -> None:
    edit(files / FILE, cap="7m")
    (files / "Calendar").rename(files.parent / "elsewhere")
    told = {(one["kind"], one["name"]): one for one in json.loads(run("plan", str(files), "--json"))}
    change = told["RetryPolicy", "default"]
    assert change["step"] == "changed"
    assert [(one["path"], one["after"]) for one in change["fields"]] == [("spec.cap", "7m")]
    assert "RetryPolicy/default (revision 1)" in run("plan", str(files))
    assert {one["step"] for key, one in told.items() if key[0] == "Calendar"} <= {"not in the files"}


def test_what_is_applied_is_a_change_request_that_two_people_decide_and_is_rolled_back(files: Path, url: str) -> None:
    edit(files / FILE, cap="7m")
    [made] = json.loads(run("apply", str(files), "--reason", "the ERP is slow", "--as", "ada", "--json"))
    assert made["state"] == "in_review"
    assert in_force(url)["document"]["spec"]["cap"] != "7m"  # type: ignore[index]
    decide(url, made["id"], "ben", "wim")
    assert in_force(url)["document"]["spec"]["cap"] == "7m"  # type: ignore[index]
    assert "spec.cap: 5m -> 7m" in run("diff", "retry-policy", "default")
    rows = run("history", "RetryPolicy", "default").splitlines()
    assert [row.split("\t")[0] for row in rows] == ["rev.", "2", "1"]
    request = run("rollback", "RetryPolicy", "default", "1", "--reason", "it is quick again", "--as", "ada").split()[2]
    decide(url, request, "ben", "wim")
    assert in_force(url)["document"]["spec"]["cap"] == "5m"  # type: ignore[index]
    assert in_force(url)["revision"] == 3


def test_files_with_a_problem_propose_nothing(files: Path, url: str) -> None:
    edit(files / FILE, cap="1ms", first="2s")
    with pytest.raises(PolicyError, match=r"spec\.cap"):
        run("apply", str(files), "--reason", "r", "--as", "ada")
    client = signed_in(url, "ada")
    assert client.get("/api/v1/change-requests").json()["change_requests"] == []
    client.close()


@pytest.mark.parametrize(
    "command", [["plan"], ["plan", "--json"], ["apply", "--reason", "r", "--as", "ada"], ["drift"]]
)
def test_a_secret_by_value_in_a_file_is_refused_by_every_command_and_shown_by_none(
    files: Path, command: list[str]
) -> None:
    edit(files / "System/pager.yaml", secrets={"token": "PLANTED"})
    result = CliRunner().invoke(app, [command[0], str(files), *command[1:]])
    assert isinstance(result.exception, PolicyError)
    assert "System/pager spec.secrets.token: a secret is given by reference, never by value" in str(result.exception)
    assert "PLANTED" not in result.output + str(result.exception)


def test_what_is_proposed_already_is_not_proposed_twice(files: Path) -> None:
    edit(files / FILE, cap="7m")
    first, second = (
        json.loads(run("apply", str(files / FILE), "--reason", "r", "--as", "ada", "--json")) for _ in range(2)
    )
    assert first == second
    edit(files / FILE, cap="8m")
    [third] = json.loads(run("apply", str(files / FILE), "--reason", "r", "--as", "ada", "--json"))
    assert third["id"] != first[0]["id"], "another wish"


def test_a_refusal_by_the_plane_says_what_was_made_before_it(files: Path, url: str) -> None:
    """The file is well formed by itself; that nothing is named so, only the whole registry shows."""
    edit(files / FILE, cap="7m")
    edit(files / "ServiceLevel" / f"{next((files / 'ServiceLevel').glob('*.yaml')).stem}.yaml", owner="nobody-there")
    with pytest.raises(ConflictError, match=r"1 were made before; the next was refused: .*nobody-there"):
        run("apply", str(files), "--reason", "r", "--as", "ada")
    waiting = signed_in(url, "ada").get("/api/v1/change-requests").json()["change_requests"]
    assert [one["kind"] for one in waiting] == ["RetryPolicy"], "no draft of what was refused is left"


def test_one_revision_is_held_against_nothing(url: str) -> None:
    with pytest.raises(BadInputError, match="one revision only"):
        run("diff", "RetryPolicy", "default")


def test_a_file_of_no_policy_in_force_is_named_and_left(files: Path) -> None:
    (files / "Flow" / "gone.yaml").write_text("x: 1\n")
    result = CliRunner().invoke(app, ["export", str(files)])
    assert "Flow/gone.yaml: is of no policy in force" in result.output
    assert (files / "Flow" / "gone.yaml").read_text() == "x: 1\n"


def test_service_levels_contracts_and_owners_go_out_in_other_formats_and_what_is_lost_is_told(
    url: str, tmp_path: Path
) -> None:
    for form, file in (("openslo", "common.yaml"), ("odcs", "inventory.odcs.yaml"), ("backstage", "catalog-info.yaml")):
        first = CliRunner().invoke(app, ["export", str(tmp_path / form), "--as", form])
        assert first.exit_code == 0, first.output
        assert "not carried" not in first.stdout
        assert first.stderr.count(": not carried: ") >= 2
        text = (tmp_path / form / file).read_text()
        assert run("export", str(tmp_path / form), "--as", form)
        assert (tmp_path / form / file).read_text() == text
    with pytest.raises(BadInputError, match=r"'excel' is no format.*one of trueup, openslo, odcs, backstage"):
        run("export", "--as", "excel")


def test_an_owner_that_a_catalogue_names_is_proposed_and_nothing_else(url: str, tmp_path: Path) -> None:
    run("export", str(tmp_path), "--as", "backstage")
    file = tmp_path / "catalog-info.yaml"
    assert "0 new, 0 changed" in run("owners", str(file))
    found = list(yaml.safe_load_all(file.read_text()))
    flow = next(one for one in found if (one["kind"], one["metadata"]["name"]) == ("Component", "orders"))
    flow["spec"]["owner"] = "finance-systems"
    file.write_text(yaml.safe_dump_all(found))
    [change] = [one for one in json.loads(run("owners", str(file), "--json")) if one["step"] != "same"]
    assert (change["kind"], change["name"]) == ("Flow", "orders")
    assert [(one["path"], one["after"]) for one in change["fields"]] == [("spec.owner", "finance-systems")]
    [made] = json.loads(run("owners", str(file), "--reason", "as the catalogue has it", "--as", "ada", "--json"))
    assert (made["kind"], made["name"], made["state"]) == ("Flow", "orders", "in_review")


def test_a_catalogue_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    for text in ("- 1\n", "kind: Group\nmetadata: [a]\n", "kind: Group\nmetadata: {name: a}\nspec: team\n",
                 "kind: User\nspec: {profile: me}\n"):  # fmt: skip
        (tmp_path / "strange.yaml").write_text(text)
        with pytest.raises(BadInputError, match="an entity is a mapping with kind, metadata and spec"):
            run("owners", str(tmp_path / "strange.yaml"))
    (tmp_path / "broken.yaml").write_text("{")
    with pytest.raises(BadInputError, match=r"broken.yaml is no YAML"):
        run("owners", str(tmp_path / "broken.yaml"))
    with pytest.raises(BadInputError, match=r"nowhere.yaml cannot be read"):
        run("owners", str(tmp_path / "nowhere.yaml"))
