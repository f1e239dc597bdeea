"""Change requests: two people, one document, one hash."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from controlplane.access import ROLES, create_account, disable_account
from controlplane.audit import verify
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError, PolicyError
from controlplane.registry import Registry, revisions
from controlplane.registry.changes import Changes
from controlplane.registry.requests import ChangeRequest
from controlplane.store import tables as t
from rules.policy.kinds import System
from tests.controlplane.registry.common import ADA, ADMIN, BEN, BOTH, WIM, approved, drafted, person, policy


def cap(registry: Registry) -> timedelta:
    """Return the cap of the retry policy that is in force."""
    return registry.snapshot().retry_policies["default"].spec.cap


def test_a_change_by_one_person_and_approved_by_another_takes_effect_at_once(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    before = registry.snapshot()
    request = drafted(changes)
    assert (request.state, request.base_revision) == ("draft", 1)
    assert changes.submit(request.id, ADA).state == "in_review"
    changes.vote(request.id, BEN, "approve")
    assert changes.vote(request.id, WIM, "approve").state == "approved"
    assert cap(registry) == timedelta(minutes=5)
    clock.advance(60)
    done = changes.apply(request.id, ADA)
    assert (done.state, done.effective_at) == ("effective", clock.now())
    assert cap(registry) == timedelta(minutes=9)
    assert registry.snapshot().version == before.version + 1
    with registry.store.read() as conn:
        new, old = revisions.history(conn, "RetryPolicy", "default")
    assert (new["revision"], new["author"], new["origin"]) == (2, "ada", f"change_request/{request.id}")
    assert new["id"] == done.applied_revision == registry.snapshot().revision("RetryPolicy", "default")
    assert new["hash"] == request.hash
    assert old["valid_to"] == new["valid_from"] == clock.now()


@pytest.mark.parametrize(
    "change",
    [
        {"secrets": {"access_token": "hunter2"}},
        {"secrets": {"Hunter2 hunter2": "env:X"}},
        *(
            {"endpoint": f"https://{rest}"}
            for rest in (
                "u:hunter2@host/", "u:hunter2/a@host/", ":hunter2@host/", "hunter2@host/", "host/x?token=hunter2",
                "host/x?a=1&api_key=hunter2", "host/?key=hunter2", "host/#access_token=hunter2",
            )
        ),
    ],
)  # fmt: skip
def test_a_secret_by_value_is_refused_before_anything_of_it_is_stored(
    registry: Registry, changes: Changes, change: dict[str, object]
) -> None:
    with registry.store.read() as conn:
        document = revisions.get(conn, "System", "shop")["document"]
    wrong = {**document, "spec": {**document["spec"], **change}}
    with pytest.raises(PolicyError, match="by reference, never by value") as caught:
        changes.open("System", "shop", wrong, "New token", "it was rotated", ADA)
    assert "hunter2" not in str(caught.value)
    assert "Hunter2" not in str(caught.value)
    right = changes.open("System", "shop", document, "Nothing yet", "r", ADA)
    with pytest.raises(PolicyError, match="by reference, never by value"):
        changes.edit(right.id, wrong, ADA)
    with registry.store.read() as conn:
        kept = [*conn.execute(select(t.change_request)), *conn.execute(select(t.action))]
    assert "hunter2" not in str(kept)


@pytest.mark.parametrize("field", ["budget", "cap", "first"])
def test_a_duration_without_bounds_is_refused_before_it_is_simulated(changes: Changes, field: str) -> None:
    request = drafted(changes, **{field: "999999999d"})
    with pytest.raises(PolicyError, match=rf"spec.{field}: it is longer than 366d.*write at most 366d"):
        changes.submit(request.id, ADA)


def test_an_address_that_lets_nobody_in_is_taken(changes: Changes) -> None:
    for endpoint in (
        "https://host:8080/x/@y",
        "https://host/x?page=1",
        "https://host/?token=",
        "https://host/keys?a=key",
    ):
        with changes.store.read() as conn:
            document = revisions.get(conn, "System", "shop")["document"]
        changed = {**document, "spec": {**document["spec"], "endpoint": endpoint}}
        assert changes.open("System", "shop", changed, "Moved", "r", ADA).state == "draft"


@pytest.mark.parametrize("given", [["hunter2"], 20041123, {"a": "hunter2"}])
def test_a_secret_that_is_not_even_text_is_not_shown(changes: Changes, given: object) -> None:
    with changes.store.read() as conn:
        document = revisions.get(conn, "System", "shop")["document"]
    wrong = {**document, "spec": {**document["spec"], "secrets": {"access_token": given}}}
    with pytest.raises(PolicyError, match="by reference, never by value") as caught:
        changes.open("System", "shop", wrong, "New token", "it was rotated", ADA)
    assert not any(value in str(caught.value) for value in ("hunter2", "20041123"))


def test_every_step_is_in_the_action_log(registry: Registry, changes: Changes) -> None:
    changes.apply(approved(changes).id, ADA)
    with registry.store.read() as conn:
        found = [(row.actor, row.action) for row in conn.execute(select(t.action).order_by(t.action.c.seq))]
        assert verify(conn) == []
    assert found == [
        ("genesis", "registry.load"),
        ("ada", "change_request.open"),
        ("ada", "change_request.simulate"),
        ("ada", "change_request.submit"),
        ("ben", "change_request.approve"),
        ("wim", "change_request.approve"),
        ("ada", "change_request.apply"),
    ]


def test_who_wrote_it_cannot_approve_it_whatever_the_roles(changes: Changes) -> None:
    request = changes.submit(drafted(changes, BOTH).id, BOTH)
    with pytest.raises(ForbiddenError, match="'eve' wrote it and cannot approve"):
        changes.vote(request.id, BOTH, "approve")


def test_who_edited_it_last_cannot_approve_it(changes: Changes) -> None:
    request = drafted(changes)
    changes.edit(request.id, policy(changes, cap="8m"), BOTH)
    changes.submit(request.id, ADA)
    with pytest.raises(ForbiddenError, match="'eve' last edited it"):
        changes.vote(request.id, BOTH, "approve")
    changes.vote(request.id, BEN, "approve")
    assert changes.vote(request.id, WIM, "approve").state == "approved"


def test_an_admin_without_the_role_of_an_approver_cannot_approve(changes: Changes) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    with pytest.raises(ForbiddenError, match=r"policy\.approve.*approver"):
        changes.vote(request.id, ADMIN, "approve")
    assert "policy.approve" not in ROLES["admin"]


def test_an_admin_who_is_an_approver_too_approves_nothing(changes: Changes) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    both = person("mia", "admin", "approver", team="warehouse-ops")
    with pytest.raises(ForbiddenError, match="is an admin, who may not do this"):
        changes.vote(request.id, both, "approve")
    assert changes.refusals(request.id, both)["approve"] == "an admin approves nothing, whatever other roles"


def test_an_edit_voids_the_approval_even_when_it_is_taken_back(registry: Registry, changes: Changes) -> None:
    request = approved(changes)
    changes.edit(request.id, policy(changes, cap="2h"), ADA)
    edited = changes.edit(request.id, request.document, ADA)
    assert (edited.state, edited.hash) == ("draft", request.hash)
    assert [vote.voter for vote in edited.votes] == ["ben", "wim"]
    assert edited.valid_votes == ()
    changes.submit(request.id, ADA)
    with pytest.raises(ConflictError, match="is in_review"):
        changes.apply(request.id, ADA)
    changes.vote(request.id, BEN, "approve")
    changes.vote(request.id, WIM, "approve")
    changes.apply(request.id, ADA)
    assert cap(registry) == timedelta(minutes=9)


def test_a_base_that_moved_is_a_conflict_until_the_request_is_rebased(registry: Registry, changes: Changes) -> None:
    late = approved(changes, cap="7m")
    changes.apply(approved(changes, cap="9m").id, ADA)
    with pytest.raises(ConflictError, match="was made on revision 1, and that is not what is in force"):
        changes.apply(late.id, ADA)
    assert changes.get(late.id).state == "conflict"
    assert cap(registry) == timedelta(minutes=9)
    with pytest.raises(ConflictError, match="edit with rebase"):
        changes.edit(late.id, policy(changes, cap="7m"), ADA)
    rebased = changes.edit(late.id, policy(changes, cap="7m"), ADA, rebase=True)
    assert (rebased.state, rebased.base_revision) == ("draft", 2)
    changes.submit(late.id, ADA)
    changes.vote(late.id, BEN, "approve")
    changes.apply(late.id, ADA)
    assert cap(registry) == timedelta(minutes=7)


def test_two_who_apply_at_once_make_one_revision(registry: Registry, changes: Changes) -> None:
    requests = [approved(changes, cap=f"{minutes}m") for minutes in (6, 7, 8)]

    def attempt(request: ChangeRequest) -> str:
        try:
            return changes.apply(request.id, ADA).state
        except ConflictError:
            return changes.get(request.id).state

    with ThreadPoolExecutor(3) as pool:
        states = sorted(pool.map(attempt, requests))
    assert states == ["conflict", "conflict", "effective"]
    with registry.store.read() as conn:
        assert [row["revision"] for row in revisions.history(conn, "RetryPolicy", "default")] == [2, 1]
        assert verify(conn) == []


def test_a_document_that_the_registry_would_have_problems_with_is_refused_at_submit(changes: Changes) -> None:
    request = drafted(changes, cap="1s")
    with pytest.raises(PolicyError, match="the cap 1s is shorter than the first delay 2s"):
        changes.submit(request.id, ADA)
    assert changes.get(request.id).state == "draft"


def test_a_name_that_lost_its_meaning_after_approval_is_refused_at_apply(registry: Registry, changes: Changes) -> None:
    with registry.store.read() as conn:
        wms = revisions.get(conn, "System", "wms")["document"]
    opened = changes.open("System", "wms", {**wms, "spec": {**wms["spec"], "timeout": "20s"}}, "Slow", "", ADA)
    changes.submit(opened.id, ADA)
    for approver in (BEN, WIM):
        if changes.get(opened.id).state == "in_review":
            changes.vote(opened.id, approver, "approve")
    with registry.store.write() as conn:  # what lint refuses came in by another way: a restored backup, for instance
        broken = revisions.get(conn, "Team", "warehouse-ops")
        conn.execute(update(t.policy_revision).where(t.policy_revision.c.id == broken["id"]).values(name="gone"))
        document = {**broken["document"], "metadata": {**broken["document"]["metadata"], "name": "gone"}}
        conn.execute(update(t.policy_revision).where(t.policy_revision.c.id == broken["id"]).values(document=document))
        conn.execute(insert(t.registry_version).values(recorded_at=registry.clock.now(), reason="restored"))
    with pytest.raises(PolicyError, match="there is no Team 'warehouse-ops'"):
        changes.apply(opened.id, ADA)
    assert changes.get(opened.id).state == "approved"


def test_systems_from_before_a_rule_that_finds_fault_with_them_are_mended_one_at_a_time(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    def moved(name: str, internal: tuple[str, ...]) -> System:
        system = registry.snapshot().systems[name]
        spec = system.spec.model_copy(update={"endpoint": "http://10.1.2.3:8443/x", "internal": internal})
        return system.model_copy(update={"spec": spec})

    old = [moved("erp", ()), moved("wms", ())]
    with registry.store.write() as conn:
        revisions.write(conn, clock, old, author="test", origin="test", reason="before the guard of addresses")
    mended = moved("erp", ("10.1.2.3:8443",)).model_dump(mode="json")
    request = changes.open("System", "erp", mended, "State where it is", "", ADA)
    assert changes.submit(request.id, ADA).state == "in_review"
    worse = moved("wms", ()).model_dump(mode="json") | {"metadata": {"name": "wms", "title": "Another title"}}
    request = changes.open("System", "wms", worse, "As it was", "", ADA)
    with pytest.raises(
        PolicyError, match=r"System/wms spec\.endpoint: 10\.1\.2\.3:8443 is private; if that is meant, add"
    ):
        changes.submit(request.id, ADA)


def test_a_malformed_document_never_becomes_a_request(changes: Changes) -> None:
    with pytest.raises(PolicyError, match=r"RetryPolicy/default spec\.kap: unknown key 'kap'; did you mean 'cap'\?"):
        drafted(changes, kap="9m")
    with pytest.raises(PolicyError, match="the request is for RetryPolicy/stock"):
        changes.open("RetryPolicy", "stock", policy(changes, cap="9m"), "Wrong", "", ADA)
    assert changes.list() == []


def test_a_request_that_changes_nothing_is_refused(changes: Changes) -> None:
    request = drafted(changes, cap="5m")
    with pytest.raises(BadInputError, match="changes nothing"):
        changes.submit(request.id, ADA)


def test_a_rejection_ends_a_request(changes: Changes) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    assert changes.vote(request.id, BEN, "reject", "too long").state == "rejected"
    with pytest.raises(ConflictError, match="is rejected"):
        changes.edit(request.id, policy(changes, cap="8m"), ADA)


def test_an_approver_who_lost_the_role_since_no_longer_counts(registry: Registry, changes: Changes) -> None:
    request = approved(changes)
    with registry.store.write() as conn:
        conn.execute(update(t.account).where(t.account.c.name == "ben").values(roles=["viewer"]))
    with pytest.raises(ForbiddenError, match="no approver any more"):
        changes.apply(request.id, ADA)


def test_a_request_is_withdrawn_by_its_author_or_an_admin_only(changes: Changes) -> None:
    request = drafted(changes)
    with pytest.raises(ForbiddenError, match="only 'ada' or an admin"):
        changes.withdraw(request.id, person("eli", "editor"))
    assert changes.withdraw(request.id, ADMIN, "not needed").state == "withdrawn"


@pytest.mark.parametrize("role", ["viewer", "operator", "auditor", "approver"])
def test_only_who_may_propose_can_open_a_request(changes: Changes, role: str) -> None:
    with pytest.raises(ForbiddenError, match=r"policy\.propose"):
        drafted(changes, person("vic", role))


def test_requests_are_listed_newest_first_by_state(changes: Changes, clock: ManualClock) -> None:
    first = drafted(changes)
    clock.advance(1)
    second = changes.submit(drafted(changes, cap="8m").id, ADA)
    assert [request.id for request in changes.list()] == [second.id, first.id]
    assert [request.id for request in changes.list("draft")] == [first.id]
    with pytest.raises(NotFoundError, match="no change request 'x'"):
        changes.get("x")


def test_what_older_policies_are_wrong_with_locks_nothing_but_is_mended_where_it_is_touched(
    registry: Registry, changes: Changes
) -> None:
    flow = registry.snapshot().flows["orders"].model_dump(mode="json")
    flow["spec"]["retry_past_promise"] = ""
    with registry.store.write() as conn:
        document = type(registry.snapshot().flows["orders"]).model_validate(flow)
        revisions.write(conn, changes.clock, [document], author="old", origin="test", reason="from before the rule")
    assert changes.submit(drafted(changes).id, ADA).state == "in_review"
    mine = changes.open("Flow", "orders", {**flow, "spec": {**flow["spec"], "promise": "4m"}}, "Faster", "", ADA)
    with pytest.raises(PolicyError, match="'default' goes on for 1d, and the flow promises 4m"):
        changes.submit(mine.id, ADA)


def test_what_a_change_would_make_wrong_elsewhere_is_refused(registry: Registry, changes: Changes) -> None:
    with registry.store.read() as conn:
        domain = revisions.get(conn, "Domain", "orders")["document"]
    entities = {**domain["spec"]["entities"], "order": {"system_of_record": "erp"}}
    mine = changes.open(
        "Domain", "orders", {**domain, "spec": {**domain["spec"], "entities": entities}}, "ERP", "", ADA
    )
    with pytest.raises(PolicyError, match=r"Flow/orders spec.message_types.0: 'shop' is not of record for 'order'"):
        changes.submit(mine.id, ADA)


def test_a_team_without_a_living_account_is_made_owner_of_nothing(registry: Registry, changes: Changes) -> None:
    create_account(registry.store, changes.clock, "olga", "a long password", ["operator"], actor="test")
    disable_account(registry.store, changes.clock, "olga", actor="test")
    with registry.store.read() as conn:
        domain = revisions.get(conn, "Domain", "orders")["document"]
    mine = changes.open(
        "Domain", "orders", {**domain, "spec": {**domain["spec"], "owner": "store-ops"}}, "Stores", "", ADA
    )
    with pytest.raises(PolicyError, match="of the Team 'store-ops' nobody is left"):
        changes.submit(mine.id, ADA)


def owned_by(changes: Changes, owner: str) -> ChangeRequest:
    """Ask for another owner of the orders."""
    with changes.store.read() as conn:
        domain = revisions.get(conn, "Domain", "orders")["document"]
    return changes.open("Domain", "orders", {**domain, "spec": {**domain["spec"], "owner": owner}}, "Owner", "", ADA)


def test_a_team_of_which_nobody_ever_had_an_account_is_made_owner_of_nothing(
    registry: Registry, changes: Changes
) -> None:
    """Of the team's own account, of a member's, and of a member's at the provider; a stranger's of his name is none."""
    mine = owned_by(changes, "store-ops")
    refusal = "spec.owner: of the Team 'store-ops' nobody has an account in use here; name another Team"
    with pytest.raises(PolicyError, match=refusal):
        changes.submit(mine.id, ADA)
    with registry.store.write() as conn:
        known = insert(t.account).values(
            display_name="", password_hash="", roles=[], created_at=changes.clock.now(), disabled=False, failed_logins=0
        )
        conn.execute(known.values(name="olga@elsewhere.example"))
        conn.execute(known.values(name="olga@login.example#2", issuer="https://login.example", subject="2"))
    with pytest.raises(PolicyError, match=refusal):
        changes.submit(mine.id, ADA)
    with registry.store.write() as conn:
        conn.execute(known.values(name="olga@login.example", issuer="https://login.example", subject="1"))
    assert changes.submit(mine.id, ADA).state == "in_review"


def test_who_belongs_to_a_team_by_his_account_is_enough(registry: Registry, changes: Changes) -> None:
    create_account(registry.store, changes.clock, "pia", "a long password", ["viewer"], actor="test", team="store-ops")
    assert changes.submit(owned_by(changes, "store-ops").id, ADA).state == "in_review"


def test_an_owner_whom_nobody_answers_for_already_keeps_nobody_from_mending_something_else(changes: Changes) -> None:
    """The first pack may name people who are yet to come: what it says is told, and refused to be made worse only."""
    assert changes.staffing().unattended == ("ecommerce", "store-ops")
    with changes.store.read() as conn:
        tills = revisions.get(conn, "System", "tills")["document"]
        team = revisions.get(conn, "Team", "warehouse-ops")["document"]
    assert tills["spec"]["owner"] == "store-ops"
    mended = {**tills, "spec": {**tills["spec"], "timeout": "20s"}}
    assert changes.submit(changes.open("System", "tills", mended, "Time", "", ADA).id, ADA).state == "in_review"
    strangers = {**team, "spec": {"members": [{"username": "nobody-yet", "name": "N"}]}}
    assert changes.submit(changes.open("Team", "warehouse-ops", strangers, "Ours", "", ADA).id, ADA).state, (
        "by accounts"
    )
    with changes.store.write() as conn:
        conn.execute(t.account.update().where(t.account.c.name == "wim").values(team=None))
    worse = changes.open("Team", "warehouse-ops", strangers, "Ours", "", ADA)
    with pytest.raises(PolicyError, match=r"spec.owner: of the Team 'warehouse-ops' nobody has an account"):
        changes.submit(worse.id, ADA)


def test_the_same_text_put_again_by_another_leaves_who_edited_it_last(changes: Changes) -> None:
    request = drafted(changes)
    changes.edit(request.id, policy(changes, cap="8m"), BOTH)
    assert changes.edit(request.id, policy(changes, cap="8m"), ADA).last_editor == "eve"
    changes.submit(request.id, ADA)
    with pytest.raises(ForbiddenError, match="'eve' last edited it"):
        changes.vote(request.id, BOTH, "approve")


def test_whoever_edited_in_between_decides_nothing_though_another_edited_after(changes: Changes) -> None:
    """Words of Eve's stand in what Ada saved last; who wrote which of them nobody can tell."""
    request = drafted(changes)
    changes.edit(request.id, policy(changes, cap="8m"), BOTH)
    found = changes.edit(request.id, policy(changes, cap="8m", max_attempts=9), ADA)
    assert (found.author, found.last_editor, found.editors) == ("ada", "ada", ("ada", "eve"))
    changes.submit(request.id, ADA)
    assert "you edited it, so another person has to" in changes.refusals(request.id, BOTH)["approve"]
    for decision in ("approve", "reject"):
        with pytest.raises(ForbiddenError, match="'eve' edited it and cannot approve or reject it"):
            changes.vote(request.id, BOTH, decision)
    assert changes.get(request.id).votes == ()


@pytest.mark.parametrize("odd", ["a\x00b", "\x00"])
def test_a_document_is_refused_that_would_be_stored_as_another_than_is_approved(changes: Changes, odd: str) -> None:
    document = policy(changes, cap="8m")
    for told in ({"description": odd}, {"labels": {odd: "x"}}, {"labels": {"x": odd}}):
        with pytest.raises(PolicyError):
            changes.open(
                "RetryPolicy", "default", {**document, "metadata": {**document["metadata"], **told}}, "t", "", ADA
            )
    request = drafted(changes)
    with pytest.raises(PolicyError):
        changes.edit(request.id, {**document, "metadata": {**document["metadata"], "title": odd}}, ADA)
    assert [one.id for one in changes.list()] == [request.id]
