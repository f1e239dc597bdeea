"""The workbench over real HTTP, and the command line that speaks to it: real till files, a real plane, real people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from controlplane.access import create_account
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.quarantine.commands import app
from controlplane.wiring import Plane
from tests.conftest import START
from tests.web import PASSWORD, a_plane, found_by_the_console, signed_in

HEADER = "store;receipt;line;plu;qty;unit_price;sold_at"
GROUP = {"group": {"system": "tills", "code": "unmapped_sku", "fault": "999999"}}
QUARANTINE = "/api/v1/quarantine"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A plane whose tills have sold what nobody mapped: three rows of one code, one of another, one without an amount."""
    with a_plane(tmp_path, ManualClock(START)) as found:
        folder = tmp_path / "sandbox" / "tills"
        folder.mkdir(parents=True)
        rows = [f"ST1;R{n};1;999999;{n};9,90;2026-03-02T08:00:00Z" for n in (1, 2, 3)]
        rows += ["ST1;R4;1;888888;1;9,90;2026-03-02T08:00:00Z", "ST1;R5;1;900001;1;free;2026-03-02T08:00:00Z"]
        (folder / "sales_ST1_1.csv").write_text("\n".join([HEADER, *rows]) + "\n")
        found.sync.poll("till-sales")
        found.sync.translate()
        yield found


@pytest.fixture
def ben(url: str) -> Iterator[httpx.Client]:
    """An approver."""
    with closing(signed_in(url, "ben")) as client:
        yield client


@pytest.fixture
def vic(url: str) -> Iterator[httpx.Client]:
    """A viewer."""
    with closing(signed_in(url, "vic")) as client:
        yield client


def sales(plane: Plane) -> list[dict[str, Any]]:
    """The data of all sales in the ledger."""
    with plane.store.read() as conn:
        return list(conn.execute(select(t.message.c.data).where(t.message.c.type == "sale.recorded")).scalars())


def case_of(client: httpx.Client, fault: str) -> str:
    """The first case with a fault."""
    return str(client.get(QUARANTINE, params={"fault": fault}).json()["cases"][0]["id"])


# --- looking ---


def test_causes_are_counted_with_owner_oldest_and_what_helps(olga: httpx.Client) -> None:
    groups = olga.get(QUARANTINE, params={"group": "cause"}).json()["groups"]
    seen = [(one["code"], one["fault"], one["count"], one["owner"], one["flow"]) for one in groups]
    assert seen == [
        ("unmapped_sku", "999999", 3, "store-ops", "till-sales"),
        ("unmapped_sku", "888888", 1, "store-ops", "till-sales"),
        ("schema", "unit_price", 1, "store-ops", "till-sales"),
    ]
    assert groups[0]["oldest"] == START.isoformat()
    assert "'999999'" in groups[0]["reason"]
    assert (groups[0]["money"], groups[0]["unknown_worth"]) == ({}, 3)


def test_a_list_is_narrowed_and_read_page_by_page(olga: httpx.Client) -> None:
    first = olga.get(QUARANTINE, params={"code": "unmapped_sku", "limit": 3}).json()
    rest = olga.get(QUARANTINE, params={"code": "unmapped_sku", "limit": 3, "cursor": first["next"]}).json()
    assert rest["next"] is None
    assert [one["fault"] for one in [*first["cases"], *rest["cases"]]] == ["999999"] * 3 + ["888888"]
    assert olga.get(QUARANTINE, params={"owner": "nobody"}).json()["cases"] == []
    assert olga.get(QUARANTINE, params={"group": "colour"}).status_code == 422


def test_a_case_tells_its_history_and_the_other_cases_of_its_record(plane: Plane, olga: httpx.Client) -> None:
    case = case_of(olga, "888888")
    olga.post(
        f"{QUARANTINE}/{case}/correct",
        json={"set": {"body.row.plu": "900001", "body.row.store": "ST9"}, "note": "read off"},
    )
    olga.post(f"{QUARANTINE}/{case}/replay")
    plane.sync.process()
    again = case_of(olga, "ST9")
    one = olga.get(f"{QUARANTINE}/{again}").json()
    assert [(each["id"], each["state"]) for each in one["cases"]] == [(case, "replayed"), (again, "waiting")]
    assert [step["kind"] for step in one["history"]] == ["opened"]
    first = olga.get(f"{QUARANTINE}/{case}").json()["history"]
    assert [(step["kind"], step["actor"]) for step in first] == [
        ("opened", "plane"),
        ("corrected", "olga"),
        ("replayed", "olga"),
    ]
    assert first[1]["note"] == "read off"
    assert "888888" in first[1]["before"]["body"]["row"]
    assert "900001" in first[1]["after"]["body"]["row"]


# --- acting ---


def test_a_group_is_corrected_looked_at_and_let_go(plane: Plane, olga: httpx.Client) -> None:
    asked = {"select": GROUP, "set": {"body.row.plu": "900001"}}
    dry = olga.post(f"{QUARANTINE}/correct", json={**asked, "dry_run": True}).json()
    assert (len(dry["corrected"]), dry["dry_run"]) == (3, True)
    assert dry["corrected"][0]["changes"] == [{"path": "body.row.plu", "before": "999999", "after": "900001"}]
    assert olga.get(QUARANTINE, params={"group": "cause"}).json()["groups"][0]["corrected"] == 0
    assert len(olga.post(f"{QUARANTINE}/correct", json=asked).json()["corrected"]) == 3
    looked = olga.post(f"{QUARANTINE}/preview", json={"select": GROUP}).json()
    assert [one["deliveries"][0]["payload"]["quantity"] for one in looked["previews"]] == [1, 2, 3]
    answer = olga.post(f"{QUARANTINE}/replay", json={"select": GROUP, "rate": 1})
    assert (answer.status_code, answer.json()["scheduled"]) == (202, 3)
    assert answer.json()["last"] > answer.json()["first"]
    for _ in range(3):
        plane.sync.release()
        plane.clock.advance(1)  # type: ignore[attr-defined]
    assert [(one["sku"], one["quantity"]) for one in sales(plane)] == [("0001-WHT-L", n) for n in (1, 2, 3)]


def test_money_takes_two_people_over_the_api(plane: Plane, olga: httpx.Client, ben: httpx.Client) -> None:
    case = case_of(olga, "unit_price")
    made = olga.post(f"{QUARANTINE}/{case}/correct", json={"set": {"body.row.unit_price": "9,90"}}).json()
    assert (made["state"], made["needs_approval"]) == ("corrected", True)
    refused = olga.post(f"{QUARANTINE}/{case}/replay")
    assert (refused.status_code, "takes a second person" in refused.json()["detail"]) == (409, True)
    assert olga.post(f"{QUARANTINE}/{case}/approve").status_code == 403
    assert ben.post(f"{QUARANTINE}/{case}/approve", json={"correction_id": "another"}).status_code == 409
    seen = ben.get(f"{QUARANTINE}/{case}").json()["correction_id"]
    assert ben.post(f"{QUARANTINE}/{case}/approve", json={"correction_id": seen}).json()["approved_by"] == "ben"
    assert olga.post(f"{QUARANTINE}/{case}/replay").json()["state"] == "replayed"
    assert [one["unit_price"] for one in sales(plane)] == ["9.90"]


def test_what_is_protected_is_refused_with_the_remedy(olga: httpx.Client) -> None:
    answer = olga.post(f"{QUARANTINE}/{case_of(olga, '888888')}/correct", json={"set": {"body.row.receipt": "R9"}})
    assert answer.status_code == 403
    assert "body.row.receipt may not be corrected" in answer.json()["detail"]
    assert "correction.protected_fields" in answer.json()["detail"]


def test_a_viewer_and_an_approver_may_not_touch_records(
    vic: httpx.Client, olga: httpx.Client, ben: httpx.Client
) -> None:
    case = case_of(olga, "888888")
    for client in (vic, ben):
        for path, body in (
            (f"/{case}/correct", {"set": {"a": 1}}), ("/correct", {"select": GROUP, "set": {"a": 1}}), (f"/{case}/replay", {}),
            (f"/{case}/vouch", {"reason": "x"}),
            ("/replay", {"select": GROUP}), ("/drop", {"select": GROUP, "reason": "x"}), ("/preview", {"select": GROUP}),
        ):  # fmt: skip
            assert client.post(f"{QUARANTINE}{path}", json=body).status_code == 403, path
    assert vic.post(f"{QUARANTINE}/{case}/approve").status_code == 403


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("/correct", {"set": {"a": 1}}),
    ("/correct", {"select": [], "set": {"a": 1}}),
    ("/correct", {"select": {"group": {}}, "set": {"a": 1}}),
    ("/correct", {"select": {"ids": ["x"], "group": {"code": "x"}}, "set": {"a": 1}}),
    ("/correct", {"select": {"group": {"colour": "x"}}, "set": {"a": 1}}),
    ("/correct", {"select": GROUP}),
    ("/correct", {"select": GROUP, "set": {"a": 1}, "record": {}}),
    ("/correct", {"select": GROUP, "record": {}}),
    ("/correct", {"select": GROUP, "put": {}}),
    ("/correct", {"select": GROUP, "set": ["a"]}),
    ("/correct", {"select": GROUP, "remove": "a"}),
    ("/replay", {"select": GROUP, "rate": "fast"}),
    ("/replay", {"select": GROUP, "rate": 0}),
    ("/replay", {"select": GROUP, "rate": True}),
    ("/drop", {"select": GROUP}),
    ("/drop", {"select": GROUP, "reason": " "}),
]


def test_what_is_not_understood_changes_nothing(olga: httpx.Client) -> None:
    for path, body in WRONG:
        answer = olga.post(f"{QUARANTINE}{path}", json=body)
        assert answer.status_code == 422, (path, body, answer.text)
    assert {one["state"] for one in olga.get(QUARANTINE).json()["cases"]} == {"waiting"}


# --- the command line ---


@pytest.fixture
def shell(url: str, plane: Plane, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shell in which the plane is found."""
    found_by_the_console(plane, url, monkeypatch)
    return url


def run(*arguments: str) -> tuple[int, str]:
    """Run the command; what the plane refuses as a whole is raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return result.exit_code, result.output


def test_the_list_is_one_line_a_cause_and_one_a_case(shell: str) -> None:
    _, output = run("list")
    lines = [line.split("\t") for line in output.splitlines()]
    assert lines[0][:4] == ["records", "cause", "what", "system"]
    assert lines[1][:6] == ["3", "unmapped_sku", "999999", "tills", "till-sales", "store-ops"]
    _, output = run("list", "--cases", "--fault", "999999", "--json")
    assert [one["about"] for one in json.loads(output)] == [f"sales_ST1_1.csv, line {n}" for n in (2, 3, 4)]
    assert run("list", "--owner", "nobody")[1] == "nothing waits for a person\n"


def test_a_cause_is_mended_from_the_command_line(shell: str, plane: Plane) -> None:
    chosen = ("--system", "tills", "--fault", "999999")
    code, output = run("correct", "--set", "body.row.plu=900001", "--dry-run", *chosen)
    assert (code, output.count("would be corrected"), output.count('"999999" -> "900001"')) == (0, 3, 3)
    code, output = run("correct", "--set", "body.row.plu=900001", *chosen)
    assert (code, output.count(": corrected")) == (0, 3)
    code, output = run("preview", *chosen)
    assert output.count("to erp: cash_sale ST1/R") == 3
    code, output = run("replay", "--rate", "50", *chosen)
    assert (code, output.startswith("3 scheduled")) == (0, True)
    plane.clock.advance(1)  # type: ignore[attr-defined]
    plane.sync.release()
    assert len(sales(plane)) == 3
    code, output = run("drop", "--reason", "test sale", "--code", "unmapped_sku")
    assert (code, output) == (0, "1 dropped\n")


def test_one_case_is_shown_whole_and_approved_by_another(shell: str, olga: httpx.Client) -> None:
    case = case_of(olga, "unit_price")
    olga.post(f"{QUARANTINE}/{case}/correct", json={"set": {"body.row.unit_price": "9,90"}})
    _, output = run("show", case)
    assert "approval:    waits for a second person" in output
    assert "ST1;R5;1;900001;1;free" in output
    assert "ST1;R5;1;900001;1;9,90" in output
    assert "olga         corrected    a second person has to agree: body.row.unit_price was changed" in output
    code, output = run("replay", case)
    assert (code, "takes a second person" in output) == (1, True)
    assert run("approve", case)[1].startswith(f"{case}: approved by admin")
    assert json.loads(run("show", case, "--json")[1])["approved_by"] == "admin"
    assert run("replay", case)[0] == 0


def test_who_has_looked_at_the_target_vouches_with_a_reason(shell: str, plane: Plane, olga: httpx.Client) -> None:
    with pytest.raises(BadInputError, match="was never sent to a target"):
        run("vouch", case_of(olga, "888888"), "--reason", "I looked")
    sent = quarantine.Case("delivery", "erp", "orders", "finance", "rejected", "no", "look", "#1", {"ref": "#1"})
    with plane.store.write() as conn:
        case = quarantine.hold(conn, plane.clock, sent)
    assert olga.post(f"{QUARANTINE}/{case}/vouch", json={"reason": " "}).status_code == 422
    assert run("vouch", case, "--reason", "cancelled it there") == (0, f"{case}: admin vouches that it had no effect\n")
    assert "vouched      cancelled it there" in run("show", case)[1]


def test_nobody_approves_their_own_from_the_command_line_either(shell: str, olga: httpx.Client) -> None:
    case = case_of(olga, "unit_price")
    assert "a second person has to agree" in run("correct", case, "--set", "body.row.unit_price=9,90")[1]
    with pytest.raises(ForbiddenError, match="takes somebody else"):
        run("approve", case)
    with pytest.raises(ConflictError, match="waits for nobody's approval"):
        run("approve", case_of(olga, "888888"))


def test_values_are_text_unless_they_are_said_to_be_json(shell: str, olga: httpx.Client) -> None:
    case = case_of(olga, "888888")
    _, output = run(
        "correct", case, "--set", "body.row.plu=900001", "--set", 'body.extra:={"a": 1}', "--dry-run", "--json"
    )
    changes = {one["path"]: one["after"] for one in json.loads(output)["corrected"][0]["changes"]}
    assert changes == {"body.row.plu": "900001", "body.extra.a": 1}
    for wrong in ("body", "=x", "a:=x"):
        with pytest.raises(BadInputError):
            run("correct", case, "--set", wrong)


def test_what_is_meant_has_to_be_said(shell: str, olga: httpx.Client) -> None:
    with pytest.raises(BadInputError, match="name either cases, or what they have in common"):
        run("replay")
    with pytest.raises(BadInputError, match="name either cases"):
        run("replay", "x", "--code", "schema")
    code, output = run("replay", "nothing")
    assert (code, "nothing: refused: no quarantine case 'nothing'" in output) == (1, True)
    with pytest.raises(NotFoundError, match="no quarantine case 'nothing'"):
        run("show", "nothing")


def test_more_than_one_request_acts_on_are_all_acted_on(shell: str, plane: Plane, tmp_path: Path) -> None:
    rows = [f"ST1;S{n};1;777777;1;9,90;2026-03-02T08:00:00Z" for n in range(510)]
    (tmp_path / "sandbox" / "tills" / "sales_ST1_2.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    plane.sync.poll("till-sales")
    while plane.sync.translate():
        pass
    code, output = run("replay", "--fault", "777777", "--rate", "1000")
    assert (code, output.startswith("510 scheduled")) == (0, True)
    assert len(json.loads(run("list", "--cases", "--fault", "777777", "--json")[1])) == 510


# --- what is personal ---

EMAIL, NAME = "anna.lindqvist@example.org", "Lindqvistova"


@pytest.fixture
def sealed(plane: Plane, tmp_path: Path) -> str:
    """A case whose till knew its customer."""
    rows = [
        f"{HEADER};customer_email;customer_name",
        f"ST1;P1;1;555555;1;9,90;2026-03-02T08:00:00Z;{EMAIL};Anna {NAME}",
    ]
    (tmp_path / "sandbox" / "tills" / "sales_ST1_9.csv").write_text("\n".join(rows) + "\n")
    plane.sync.poll("till-sales")
    plane.sync.translate()
    q = t.quarantine.c
    with plane.store.read() as conn:
        return str(conn.execute(select(q.id).where(q.fault == "555555")).scalar_one())


def test_only_who_has_the_right_sees_what_is_personal_and_it_is_in_the_action_log(
    plane: Plane, url: str, sealed: str, olga: httpx.Client
) -> None:
    create_account(plane.store, plane.clock, "pia", PASSWORD, ["privacy"], actor="test")
    create_account(plane.store, plane.clock, "aud", PASSWORD, ["auditor"], actor="test")
    for name in ("olga", "ben", "vic", "aud"):
        with closing(signed_in(url, name)) as client:
            assert client.post(f"{QUARANTINE}/{sealed}/unseal", json={"reason": "to see it"}).status_code == 403
    with closing(signed_in(url, "pia")) as pia:
        assert pia.post(f"{QUARANTINE}/{sealed}/unseal", json={"reason": " "}).status_code == 422
        assert pia.post(f"{QUARANTINE}/{sealed}/correct", json={"set": {"body.row.plu": "900001"}}).status_code == 403
        one = pia.post(f"{QUARANTINE}/{sealed}/unseal", json={"reason": "the customer asks"}).json()
    assert EMAIL in one["record"]["body"]["row"]
    with plane.store.read() as conn:
        [log] = conn.execute(select(t.action).where(t.action.c.action == "quarantine.unseal")).all()
    assert (log.actor, log.subject, log.reason) == ("pia", f"quarantine/{sealed}", "the customer asks")


def test_no_answer_of_the_api_and_no_export_holds_what_is_personal(
    plane: Plane, url: str, sealed: str, olga: httpx.Client
) -> None:
    create_account(plane.store, plane.clock, "aud", PASSWORD, ["auditor"], actor="test")
    where = f"{QUARANTINE}/{sealed}"
    answers = [
        olga.get(QUARANTINE), olga.get(QUARANTINE, params={"group": "cause"}), olga.get(where),
        olga.post(f"{where}/correct", json={"set": {"body.row.plu": "900001", "body.row.customer_name": f"Eva {NAME}"}}),
        olga.get(where), olga.get(f"{where}/preview"), olga.post(f"{where}/replay"), olga.get(where),
    ]  # fmt: skip
    plane.sync.drain()
    with plane.store.read() as conn:
        ids = conn.execute(select(t.message.c.id)).scalars().all()
    assert ids
    answers += [olga.get(f"/api/v1/messages/{one}") for one in ids]
    with closing(signed_in(url, "aud")) as aud:
        answers.append(aud.get("/api/v1/audit/export"))
    assert [one.status_code for one in answers] == [200] * len(answers)
    assert [one.url for one in answers if EMAIL in one.text or NAME in one.text] == []
    assert olga.get(where).json()["sealed"] is True


def test_the_command_line_unseals_with_a_reason(shell: str, sealed: str) -> None:
    assert EMAIL not in run("show", sealed)[1]
    assert EMAIL in run("show", sealed, "--unseal", "--reason", "the customer asks")[1]
    with pytest.raises(BadInputError, match="reason"):
        run("show", sealed, "--unseal")
