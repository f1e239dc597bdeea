"""Change requests over HTTP: dates, break-glass, conflicts, rollback, and who is there to decide."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from controlplane.access import disable_account
from controlplane.audit import verify
from controlplane.client import Person, PlaneClient
from controlplane.clock import ManualClock
from controlplane.errors import ConflictError
from controlplane.jobs.schedules import schedules
from controlplane.serve import tell_staffing
from controlplane.settings import Settings
from controlplane.wiring import Plane, build_plane
from rules.policy.writing import to_yaml
from tests.web import PASSWORD, PEOPLE, a_plane, found_by_the_console, proved_anew, served, signed_in

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REQUESTS = "/api/v1/change-requests"
Api = dict[str, httpx.Client]


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A plane whose clock is moved by hand."""
    with a_plane(tmp_path, ManualClock(START)) as found:
        yield found


@pytest.fixture
def api(plane: Plane) -> Iterator[Api]:
    """A client for each of the people."""
    with served(plane) as url:
        yield {name: signed_in(url, name) for name in PEOPLE}


def pass_time(plane: Plane, seconds: float) -> list[Any]:
    """Move the clock, and run the ticker's schedule of changes where there is one."""
    assert isinstance(plane.clock, ManualClock)
    plane.clock.advance(seconds)
    return [each.run() for each in schedules(plane, timedelta(seconds=15)) if each.name == "changes"]


def document(api: Api, **spec: Any) -> dict[str, Any]:
    """Return the retry policy `default` as it is in force, with some keys changed."""
    found: dict[str, Any] = api["ada"].get("/api/v1/policies/RetryPolicy/default").json()["policy"]["document"]
    return {**found, "spec": {**found["spec"], **spec}}


def draft(api: Api, **spec: Any) -> str:
    """Open a draft of Ada's; return its address."""
    asked = {"kind": "RetryPolicy", "name": "default", "document": document(api, **spec), "title": "Another"}
    made = api["ada"].post(REQUESTS, json=asked)
    assert made.status_code == 201, made.text
    return f"{REQUESTS}/{made.json()['id']}"


def edit(api: Api, request: str, asked: dict[str, Any]) -> httpx.Response:
    """Edit a request as it is now."""
    return api["ada"].put(request, json=asked, headers={"If-Match": api["ada"].get(request).headers["ETag"]})


def approve(api: Api, request: str, *names: str) -> str:
    """Submit a request and approve it; return its state."""
    state = api["ada"].post(f"{request}/submit").json()["state"]
    for name in names:
        state = api[name].post(f"{request}/vote", json={"decision": "approve"}).json()["state"]
    return str(state)


def cap(api: Api) -> str:
    """Return the cap that is in force."""
    return str(document(api)["spec"]["cap"])


def test_a_change_is_scheduled_and_the_ticker_puts_it_in_force(plane: Plane, api: Api) -> None:
    request = draft(api, cap="4m")
    assert approve(api, request, "ben") == "approved"
    bad = api["ada"].post(f"{request}/schedule", json={"at": "tomorrow"})
    assert (bad.status_code, "'tomorrow' is no instant" in bad.json()["detail"]) == (422, True)
    asked = {"at": "2026-03-02T11:00:00+01:00"}
    assert api["ben"].post(f"{request}/schedule", json=asked).status_code == 403
    assert api["ada"].post(f"{request}/schedule", json=asked).json()["state"] == "scheduled"
    assert pass_time(plane, 3599) == []
    assert pass_time(plane, 1) == [{"effective": 1}]
    assert cap(api) == "4m"
    assert pass_time(plane, 5) == []


@pytest.mark.parametrize(
    ("at", "instant"),
    [
        ("2026-03-29T01:59:59+01:00", datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)),
        ("2026-03-29T03:00:00+02:00", datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        ("2026-10-25T02:30:00+02:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("2026-10-25T02:30:00+01:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_change_is_in_force_at_its_instant_where_clocks_are_put_forward_or_back(
    plane: Plane, api: Api, at: str, instant: datetime
) -> None:
    """Half past two comes twice in October: each is another instant, and a time without its zone is refused."""
    assert isinstance(plane.clock, ManualClock)
    plane.clock.advance((instant - timedelta(hours=3) - plane.clock.now()).total_seconds())
    api = {name: signed_in(str(client.base_url), name) for name, client in api.items()}
    request = draft(api, cap="4m")
    assert approve(api, request, "ben") == "approved"
    for unclear in (at[:19], f"{at[:19]} Europe/Berlin"):
        assert api["ada"].post(f"{request}/schedule", json={"at": unclear}).status_code == 422
    assert api["ada"].post(f"{request}/schedule", json={"at": at}).json()["state"] == "scheduled"
    assert pass_time(plane, 3 * 3600 - 1) == []
    assert pass_time(plane, 1) == [{"effective": 1}]
    revision = api["ada"].get("/api/v1/policies/RetryPolicy/default").json()["policy"]
    assert datetime.fromisoformat(revision["valid_from"]) == instant


def test_break_glass_ends_at_its_time_though_the_plane_was_started_anew_meanwhile(tmp_path: Path) -> None:
    clock = ManualClock(START)
    with a_plane(tmp_path, clock) as before, served(before) as url:
        api = {name: signed_in(url, name) for name in PEOPLE}
        request = draft(api, cap="9m")
        asked = {"hours": 2, "reason": "the ERP is down"}
        assert api["ada"].post(f"{request}/break-glass", json=asked).json()["state"] == "effective"
    clock.advance(3600)
    settings = Settings(home=tmp_path, engine="embedded", admin_password="")
    for hour, told, in_force in ((1, [], 9 * MINUTE), (4, [{"rolled_back": 1}], 5 * MINUTE), (4, [], 5 * MINUTE)):
        after = build_plane(settings, clock)
        assert pass_time(after, 3599 if hour == 1 else 3600) == told, "the second after which it ends, it was down for"
        assert after.registry.snapshot().retry_policies["default"].spec.cap == in_force
        with after.store.read() as connection:
            assert verify(connection) == []
        after.close()


def test_break_glass_shows_the_review_that_is_owed_until_it_is_done(plane: Plane, api: Api) -> None:
    request = draft(api, cap="9m")
    asked = {"hours": 2, "reason": "the ERP is down"}
    assert api["ada"].post(f"{request}/break-glass", json={**asked, "hours": 25}).status_code == 422
    assert api["ada"].post(f"{request}/break-glass", json={**asked, "hours": True}).status_code == 422
    assert api["ben"].post(f"{request}/break-glass", json=asked).status_code == 403
    assert api["ada"].post(f"{request}/break-glass", json=asked).json()["state"] == "effective"
    assert cap(api) == "9m"
    assert pass_time(plane, 7200) == [{"rolled_back": 1}]
    assert cap(api) == "5m"
    [shown] = api["vic"].get(REQUESTS).json()["change_requests"]
    assert (shown["state"], shown["review_owed"]) == ("rolled_back", True)
    assert api["ada"].post(f"{request}/review", json={"comment": "mine"}).status_code == 403
    proved_anew(api["ben"])
    assert api["ben"].post(f"{request}/review", json={"comment": "it was right"}).json()["reviewed_by"] == "ben"
    assert api["vic"].get(REQUESTS).json()["change_requests"] == []


def test_a_moved_base_is_a_conflict_shown_by_field_until_it_is_rebased(api: Api) -> None:
    late, first = draft(api, cap="4m"), draft(api, cap="3m")
    assert [approve(api, one, "ben") for one in (late, first)] == ["approved", "approved"]
    assert api["ada"].post(f"{first}/apply").json()["state"] == "effective"
    assert api["ada"].post(f"{late}/apply").status_code == 409
    shown = api["ada"].get(late).json()
    assert shown["state"] == "conflict"
    [field] = shown["fields"]
    assert field == {"path": "spec.cap", "base": "5m", "theirs": "3m", "mine": "4m", "changed": "both"}
    mine = {"document": document(api, cap="2m")}
    assert edit(api, late, mine).status_code == 409
    assert edit(api, late, {**mine, "rebase": "yes"}).status_code == 422
    assert edit(api, late, {**mine, "rebase": True}).json()["base_revision"] == 2
    assert approve(api, late, "ben") == "approved"


def test_nobody_overwrites_or_approves_what_he_has_not_seen(api: Api) -> None:
    request = draft(api, cap="4m")
    first = api["ada"].get(request).headers["ETag"]
    mine = {"document": document(api, cap="2m")}
    blind = api["ada"].put(request, json=mine)
    assert (blind.status_code, "send its ETag as If-Match" in blind.json()["detail"]) == (428, True)
    edited = api["ada"].put(request, json=mine, headers={"If-Match": first})
    assert (edited.status_code, edited.headers["ETag"] != first) == (200, True)
    for stale in (first, '"another"', "0", "W/" + edited.headers["ETag"]):
        late = api["ada"].put(request, json={"document": document(api, cap="1m")}, headers={"If-Match": stale})
        assert (late.status_code, late.json()["type"]) == (412, "urn:trueup:stale"), stale
    assert api["ada"].get(request).json()["document"]["spec"]["cap"] == "2m"
    submitted = api["ada"].post(f"{request}/submit", headers={"If-Match": edited.headers["ETag"]})
    assert submitted.json()["state"] == "in_review"
    vote = {"decision": "approve"}
    assert (
        api["ben"].post(f"{request}/vote", json=vote, headers={"If-Match": edited.headers["ETag"]}).status_code == 412
    )
    seen = api["ben"].get(request).headers["ETag"]
    assert seen == submitted.headers["ETag"]
    assert api["ben"].post(f"{request}/vote", json=vote, headers={"If-Match": seen}).json()["state"] == "approved"
    assert api["ada"].put(request, json=mine, headers={"If-Match": "*"}).json()["state"] == "draft"


def test_the_command_line_acts_on_what_it_has_read_only(
    plane: Plane, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = draft(api, cap="4m")
    found_by_the_console(plane, str(api["ada"].base_url), monkeypatch, "ada")
    console, name = PlaneClient(person=Person("ada", PASSWORD)), request.removeprefix("/api/v1/")
    console.get(name)
    assert edit(api, request, {"document": document(api, cap="2m")}).status_code == 200
    with pytest.raises(ConflictError, match="is not what you have read"):
        console.post(f"{name}/submit")
    console.get(name)
    assert console.post(f"{name}/submit")["state"] == "in_review"
    assert console.post(f"{name}/withdraw")["state"] == "withdrawn", "what it did itself it has seen"


def test_a_policy_has_an_etag_by_revision(api: Api) -> None:
    address = "/api/v1/policies/RetryPolicy/default"
    first = api["ada"].get(address).headers["ETag"]
    request = draft(api, cap="4m")
    approve(api, request, "ben")
    api["ada"].post(f"{request}/apply")
    assert api["ada"].get(address).headers["ETag"] != first
    assert api["ada"].get(address, params={"revision": 1}).headers["ETag"] == first


def test_a_rollback_is_asked_for_by_revision(api: Api) -> None:
    first = draft(api, cap="4m")
    approve(api, first, "ben")
    api["ada"].post(f"{first}/apply")
    address = "/api/v1/policies/RetryPolicy/default/rollback"
    assert api["ada"].post(address, json={"revision": "1"}).status_code == 422
    assert api["ada"].post(address, json={"revision": 7}).status_code == 404
    made = api["ada"].post(address, json={"revision": 1, "reason": "it was wrong"})
    back = f"{REQUESTS}/{made.json()['id']}"
    assert (made.status_code, made.json()["rolls_back"]) == (201, 1)
    assert approve(api, back, "ben", "wim") == "approved"  # going back is longer again, and so it relaxes
    assert api["ben"].post(f"{back}/apply").json()["state"] == "effective"
    assert (cap(api), api["ada"].get(first).json()["state"]) == ("5m", "rolled_back")


def test_an_installation_with_one_person_says_so(plane: Plane, api: Api) -> None:
    assert api["ada"].get(REQUESTS).json()["installation"] == {
        "people": 5, "approvers": 2, "one_person": False, "note": "", "unattended": [],
    }  # fmt: skip
    for name in PEOPLE:
        if name != "ada":
            disable_account(plane.store, plane.clock, name, actor="test")
    request = draft(api, cap="4m")
    for address in (REQUESTS, request):
        found = api["ada"].get(address).json()["installation"]
        assert (found["people"], found["one_person"]) == (1, True)
        assert "one person only" in found["note"]
    with capture_logs() as said:
        tell_staffing(plane)
    assert found["unattended"] == ["ecommerce", "finance-systems", "store-ops", "warehouse-ops"]
    assert [(line["log_level"], line["event"][:40]) for line in said] == [
        ("warning", found["note"][:40]), ("warning", "Nobody has an account of these Teams, wh"),
    ]  # fmt: skip


def test_a_comment_stands_in_the_thread_and_changes_nothing(api: Api) -> None:
    request = draft(api, cap="4m")
    before = api["ada"].get(request)
    said = api["ben"].post(f"{request}/comments", json={"comment": " why not 5m? "})
    assert (said.status_code, said.json()["comment"]) == (201, "why not 5m?")
    assert api["vic"].post(f"{request}/comments", json={"comment": "me too"}).status_code == 403
    assert api["ben"].post(f"{request}/comments", json={"comment": " "}).status_code == 422
    assert api["ben"].post(f"{REQUESTS}/nothing/comments", json={"comment": "x"}).status_code == 404
    assert api["ada"].get(request).headers["ETag"] == before.headers["ETag"]
    first = api["vic"].get(f"{request}/thread", params={"limit": 1}).json()
    rest = api["vic"].get(f"{request}/thread", params={"cursor": first["next"]}).json()
    told = [(step["actor"], step["step"], step["said"]) for step in first["steps"] + rest["steps"]]
    assert (told, rest["next"]) == ([("ada", "open", ""), ("ben", "comment", "why not 5m?")], None)
    assert api["vic"].get(f"{REQUESTS}/nothing/thread").status_code == 404


def test_a_comment_that_is_sent_again_under_its_key_is_said_once(api: Api) -> None:
    request, key = draft(api, cap="4m"), {"Idempotency-Key": "said-once"}
    answers = [api["ben"].post(f"{request}/comments", json={"comment": "hm"}, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len(api["vic"].get(f"{request}/thread").json()["steps"]) == 2


def test_a_text_is_linted_with_its_lines_and_nothing_is_kept(api: Api) -> None:
    def problems(text: str, **about: str) -> list[Any]:
        answer = api["ada"].post("/api/v1/policies/lint", json={"text": text, **about})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["problems"])

    text = to_yaml(document(api))
    assert problems(text, kind="RetryPolicy", name="default") == []
    [wrong] = problems(text.replace("budget: 1d", "budget: never"))
    assert (wrong["line"], wrong["path"], "is not a duration" in wrong["rule"]) == (12, "spec.budget", True)
    assert [one["path"] for one in problems(text, kind="RetryPolicy", name="other")] == ["metadata.name"]
    assert [one["path"] for one in problems(text, kind="Flow")] == ["kind"]
    assert api["vic"].post("/api/v1/policies/lint", json={"text": text}).status_code == 403
    assert api["ada"].get(REQUESTS).json()["change_requests"] == []


def test_a_rebase_names_the_revision_that_it_was_made_for(api: Api) -> None:
    mine, theirs = draft(api, cap="4m"), draft(api, cap="3m")
    assert approve(api, theirs, "ben") == "approved"
    assert api["ada"].post(f"{theirs}/apply").json()["state"] == "effective"
    asked = {"document": document(api, cap="2m"), "rebase": True}
    overtaken = edit(api, mine, {**asked, "onto": 1})
    assert (overtaken.status_code, "revision 2 by 'ada' came into force since" in overtaken.json()["detail"]) == (
        409,
        True,
    )
    assert edit(api, mine, {**asked, "onto": 2}).json()["base_revision"] == 2
