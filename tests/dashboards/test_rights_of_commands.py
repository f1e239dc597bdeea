"""Every command of the console, walked with every role against the table of the API: it has no rights of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from controlplane import plugins
from controlplane.access import create_account
from controlplane.cli import root
from controlplane.clock import ManualClock
from controlplane.registry.changes import Changes
from controlplane.registry.commands import app as policies
from controlplane.store.owner import only_one
from controlplane.wiring import Plane
from rules.policy.writing import to_yaml
from tests.conftest import START
from tests.controlplane.registry.common import ADA
from tests.dashboards.seed import Seed
from tests.dashboards.test_rights import API, ROLES
from tests.web import PASSWORD, a_plane, found_by_the_console, served

MAY_NOT = "may not do this"
BACKSTAGE = "backstage.io/v1alpha1"
FILE = "FILE"
"""Stands for a file that changes a policy."""
COMMANDS: dict[str, tuple[str, str]] = {
    "access accounts": ("people.list_accounts", ""), "access create": ("people.make_account", "made --role viewer"),
    "access roles": ("people.set_roles", "nobody --role viewer"), "access password": ("people.set_password", "nobody"),
    "access disable": ("people.disable", "nobody"), "access enable": ("people.enable", "nobody"),
    "access tokens": ("people.list_tokens", ""), "access issue": ("people.issue", "--account nobody --purpose x"),
    "access revoke": ("people.revoke", "nothing"),
    "audit export": ("audit.export", "OUT"),
    "change list": ("deeds.list_requests", ""), "change show": ("deeds.get_request", "REQUEST"),
    "change approve": ("deeds.vote_on_request", "REQUEST --as ME"),
    "change reject": ("deeds.vote_on_request", "REQUEST --as ME --comment no"),
    "change apply": ("deeds.apply_request", "REQUEST --as ME"),
    "change schedule": ("deeds.schedule_request", "REQUEST --as ME --at 2030-01-01T00:00:00Z"),
    "change break-glass": ("deeds.break_glass", "DRAFT --as ME --hours 1 --reason x"),
    "change review": ("deeds.review_request", "REQUEST --as ME --comment x"),
    "change withdraw": ("deeds.withdraw_request", "REQUEST --as ME"),
    "finding list": ("rooms.get_findings", ""), "finding run": ("deeds.run_comparison", "stock-three-way"),
    "finding preview": ("comparing.preview_healing", "stock-three-way"), "finding accept": ("comparing.accept_finding", "FINDING --note x"),
    "finding reopen": ("comparing.reopen_finding", "FINDING"), "finding heal": ("comparing.heal_finding", "FINDING --reason x"),
    "finding approve": ("comparing.approve_heal", "FINDING"),
    "policy plan": ("rooms.get_policies", FILE), "policy drift": ("installed.list_systems", ""),
    "policy apply": ("deeds.open_request", f"{FILE} --reason x --as ME"), "policy export": ("rooms.get_policies", ""),
    "policy owners": ("deeds.open_request", "CATALOG --reason x --as ME"), "policy diff": ("rooms.get_policy", "Flow orders"),
    "policy history": ("rooms.get_policy", "Flow orders"), "policy list": ("rooms.get_policies", ""),
    "policy show": ("rooms.get_policy", "Flow orders"), "policy rollback": ("deeds.roll_back", "Flow orders 1 --reason x --as ME"),
    "policy simulate": ("deeds.simulate_request", "REQUEST --as ME"),
    "quarantine list": ("quarantine.list_cases", ""), "quarantine show": ("quarantine.get_case", "CASE"),
    "quarantine show --unseal": ("quarantine.unseal_case", "CASE --reason x"),
    "quarantine correct": ("quarantine.correct_case", "CASE --set body.row.plu=1"),
    "quarantine preview": ("quarantine.preview_case", "CASE"),
    "quarantine approve": ("quarantine.approve_case", "CASE"), "quarantine vouch": ("quarantine.vouch_for_case", "CASE --reason x"),
    "quarantine replay": ("quarantine.replay_case", "CASE"), "quarantine drop": ("quarantine.drop_case", "nothing --reason x"),
    "sync status": ("rooms.get_flows", ""), "sync retrying": ("operators.get_retrying", ""),
    "sync pause": ("operators.pause_system", "--system erp --reason x"), "sync resume": ("operators.resume_system", "--system erp"),
    "sync pause --flow": ("operators.pause_flow", "orders --reason x"), "sync resume --flow": ("operators.resume_flow", "orders"),
    "sync run": ("operators.run_system", "--system erp"), "sync run --flow": ("operators.run_flow", "orders"),
    "sync run --delivery": ("operators.run_delivery", "nothing"),
    "sync replay": ("operators.start_replay", "orders --since 2026-03-01T00:00:00Z --reason x --dry-run"),
    "sync replays": ("operators.list_replays", ""), "sync replays --cancel": ("operators.cancel_replay", "nothing"),
    "ledger archive": ("ledger.get_retention", ""), "ledger archive --now": ("ledger.archive_now", ""),
    "ledger parts": ("ledger.get_parts", ""), "ledger restore": ("ledger.restore_part", "file:///nothing/part"),
}  # fmt: skip
"""Command -> what of the API it asks for (the deed, where it asks for more), and with which words."""
OF_THE_MACHINE = frozenset(
    {"up", "worker", "doctor", "drill", "compare", "snapshot", "connector", "db", "keys", "scenario"}
)
"""Commands that run where they are called, with the files, the database and the secrets of whoever calls them."""
FILES_ALONE = frozenset({"audit verify", "policy validate"})
"""Commands of the others that read files, and ask no plane."""
LATER = ("ledger archive --now",)
"""Waits for a run that only a ticker does: walked by those whom it refuses."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A plane with an account for each role."""
    with a_plane(tmp_path_factory.mktemp("home"), ManualClock(START)) as found:
        for role in ROLES:
            create_account(found.store, found.clock, f"the-{role}", PASSWORD, [role], actor="setup", team="store-ops")
        yield found


@pytest.fixture(scope="module")
def words(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the words in capitals stand for."""
    folder, ids = tmp_path_factory.mktemp("files"), Seed(plane).everything()
    changes, snapshot = Changes(plane.registry), plane.registry.snapshot()
    faster = snapshot.flows["orders"].model_dump(mode="json")
    faster["spec"]["promise"] = "1m"
    draft = changes.open("Flow", "orders", faster, "Faster", "", ADA)
    longer = snapshot.retry_policies["default"].model_dump(mode="json")
    longer["spec"]["cap"] = "9m"
    request = changes.submit(changes.open("RetryPolicy", "default", longer, "Wait longer", "", ADA).id, ADA)
    return {
        "CASE": ids["case"], "FINDING": ids["finding"], "REQUEST": request.id, "DRAFT": draft.id, "OUT": str(folder / "out"),
        FILE: str(folder / "policy.yaml"), "CATALOG": str(folder / "catalog.yaml"),
    }  # fmt: skip


def write_files(plane: Plane, words: dict[str, str], role: str) -> None:
    """Write files that change what no other role's do: what is proposed already is shown to whoever proposes it again."""
    snapshot, turn = plane.registry.snapshot(), ROLES.index(role)
    document = snapshot.retry_policies["default"].model_dump(mode="json")
    document["spec"]["cap"] = f"{500 + turn}s"
    Path(words[FILE]).write_text(to_yaml(document))
    flow = sorted(snapshot.flows.values(), key=lambda one: one.name)[turn]
    owner = next(name for kind, name in snapshot.documents if kind == "Team" and name != flow.spec.owner)
    team = {"apiVersion": BACKSTAGE, "kind": "Group", "metadata": {"name": owner}, "spec": {"members": ["ada"]}}
    entity = {"apiVersion": BACKSTAGE, "kind": "Component", "metadata": {"name": flow.name}, "spec": {"owner": owner}}
    Path(words["CATALOG"]).write_text(f"{json.dumps(team)}\n---\n{json.dumps(entity)}\n")


def commands() -> Iterator[str]:
    """Yield every command that asks a plane, as it is typed."""
    for group in plugins.registered("commands"):
        if group in OF_THE_MACHINE:
            continue
        found = plugins.load("commands", group)
        assert isinstance(found, typer.Typer), f"{group}: say who may call it"
        for one in found.registered_commands:
            assert one.callback is not None
            yield f"{group} {one.name or one.callback.__name__.replace('_', '-').strip('-')}"


def test_every_command_is_in_the_table() -> None:
    assert policies.registered_commands
    known = {" ".join(command.split()[:2]) for command in COMMANDS}
    assert set(commands()) - FILES_ALONE == known
    assert {endpoint for endpoint, _ in COMMANDS.values()} <= API.keys()


@pytest.mark.parametrize("role", ROLES)
def test_every_command_is_for_just_the_roles_of_the_table(
    plane: Plane, words: dict[str, str], role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_PASSWORD", PASSWORD)
    monkeypatch.setenv("TRUEUP_NEW_PASSWORD", "a password of twenty")
    wrong: list[Any] = []
    write_files(plane, words, role)
    with served(plane) as url, only_one(plane.settings):
        for command, (endpoint, rest) in COMMANDS.items():
            may = role in API[endpoint]
            if may and command in LATER:
                continue
            # who is named acts, and not the machine: that has another role here
            whose = ("operator" if role == "viewer" else "viewer") if "--as" in rest else role
            (plane.settings.home / "cli-token").unlink(missing_ok=True)
            found_by_the_console(plane, url, monkeypatch, f"the-{whose}")
            Path(words["OUT"]).unlink(missing_ok=True)
            typed = [f"the-{role}" if word == "ME" else words.get(word, word) for word in f"{command} {rest}".split()]
            done = CliRunner().invoke(root, typed)
            said = f"{done.output}{done.exception!r}"
            if (MAY_NOT in said) is may or "Usage:" in said:
                wrong.append((command, role, may, said[:300]))
    assert wrong == []
