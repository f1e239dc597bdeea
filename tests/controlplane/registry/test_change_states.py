"""Quorum by risk, dates, conflicts, break-glass and rollback, on both databases."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from controlplane.access import create_account, disable_account
from controlplane.audit import verify
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError, PolicyError
from controlplane.registry import Registry, revisions
from controlplane.registry.changes import Changes
from controlplane.registry.checking import as_document
from controlplane.registry.requests import ChangeRequest
from controlplane.store import tables as t
from rules.changes import PATIENCE
from tests.controlplane.registry.common import (
    ADA,
    ADMIN,
    BEN,
    BOTH,
    EVERYBODY,
    PAT,
    WIM,
    approved,
    drafted,
    person,
    policy,
)

HOUR = timedelta(hours=1)


def in_force(registry: Registry) -> tuple[str, int]:
    """Return the cap of the retry policy `default`, and its revision."""
    with registry.store.read() as conn:
        row = revisions.get(conn, "RetryPolicy", "default")
    return row["document"]["spec"]["cap"], row["revision"]


def told(registry: Registry, request: ChangeRequest) -> list[tuple[str, str]]:
    """Return who did what to a request, from the action log; the chain has to hold."""
    mine = t.action.c.subject == f"change_request/{request.id}"
    with registry.store.read() as conn:
        assert verify(conn) == []
        found = [(row.actor, row.action) for row in conn.execute(select(t.action).where(mine).order_by(t.action.c.seq))]
    return [(actor, action.removeprefix("change_request.")) for actor, action in found]


def account(registry: Registry, name: str, **values: Any) -> None:
    """Change an account behind everybody's back."""
    with registry.store.write() as conn:
        conn.execute(update(t.account).where(t.account.c.name == name).values(**values))


# --- quorum ---


def test_relaxing_takes_two_and_one_of_them_from_the_data_owners_team(changes: Changes) -> None:
    request = changes.submit(drafted(changes, cap="9m").id, ADA)
    assert changes.vote(request.id, BEN, "approve").state == "in_review"
    assert changes.vote(request.id, PAT, "approve").state == "in_review"
    risk = changes.risk(request.id)
    assert (risk.relaxes, risk.needed, risk.approvers) == (True, 2, ("ben", "pat"))
    assert risk.missing == "1 approval more, one of them from ecommerce or store-ops or warehouse-ops"
    assert changes.vote(request.id, WIM, "approve").state == "approved"


def test_tightening_takes_one_from_any_team(changes: Changes) -> None:
    request = changes.submit(drafted(changes, cap="4m").id, ADA)
    assert changes.vote(request.id, PAT, "approve").state == "approved"


def test_nobody_becomes_the_owner_by_the_change_itself(changes: Changes) -> None:
    with changes.store.read() as conn:
        document = revisions.get(conn, "Flow", "postings")["document"]
    spec = {**document["spec"], "domain": "incidents"}
    taken = {**document, "spec": spec}
    request = changes.open("Flow", "postings", taken, "Ours now", "", ADA)
    assert changes.risk(request.id).owners == ("finance-systems",)


@pytest.mark.parametrize(
    "values", [{"roles": ["viewer"]}, {"disabled": True}, {"team": "finance-systems"}], ids=["role", "account", "team"]
)
def test_who_lost_role_account_or_team_no_longer_counts_when_it_is_applied(
    registry: Registry, changes: Changes, values: dict[str, Any]
) -> None:
    request = approved(changes)
    account(registry, "wim", **values)
    with pytest.raises(ForbiddenError, match="there is missing: 1 approval more, one of them from ecommerce"):
        changes.apply(request.id, ADA)
    assert in_force(registry) == ("5m", 1)
    assert changes.get(request.id).state == "approved"


def test_an_approver_may_change_his_mind_until_it_is_in_force(registry: Registry, changes: Changes) -> None:
    request = approved(changes)
    assert changes.vote(request.id, WIM, "reject", "not before Christmas").state == "rejected"
    with pytest.raises(ConflictError, match="is rejected"):
        changes.apply(request.id, ADA)
    assert in_force(registry) == ("5m", 1)


# --- dates ---


def test_a_scheduled_change_is_put_in_force_at_its_time_and_not_before(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    request = changes.schedule(approved(changes).id, clock.now() + HOUR, ADA)
    assert (request.state, request.scheduled_by) == ("scheduled", "ada")
    clock.advance(3599)
    assert not changes.waiting()
    assert changes.advance() == {}
    clock.advance(1)
    assert changes.waiting()
    assert changes.advance() == {"effective": 1}
    assert in_force(registry) == ("9m", 2)
    assert changes.get(request.id).effective_at == clock.now()
    assert told(registry, request)[-2:] == [("ada", "schedule"), ("plane", "apply")]
    assert (changes.advance(), in_force(registry)[1]) == ({}, 2)


def test_who_schedules_it_does_not_count_as_its_approver(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    request = approved(changes)
    with pytest.raises(ForbiddenError, match="without 'wim' there is missing: 1 approval more, one of them from"):
        changes.schedule(request.id, clock.now() + HOUR, WIM)
    assert changes.get(request.id).state == "approved"
    assert changes.schedule(request.id, clock.now() + HOUR, PAT).state == "scheduled"
    with pytest.raises(ForbiddenError, match="'pat' scheduled it and cannot approve or reject"):
        changes.vote(request.id, PAT, "reject")


def test_a_time_that_is_past_is_no_time(changes: Changes, clock: ManualClock) -> None:
    request = approved(changes)
    for instant in (clock.now(), (clock.now() + HOUR).replace(tzinfo=None)):
        with pytest.raises(BadInputError, match="is no instant to come"):
            changes.schedule(request.id, instant, ADA)


def test_an_edit_takes_a_change_off_the_schedule(registry: Registry, changes: Changes, clock: ManualClock) -> None:
    request = changes.schedule(approved(changes).id, clock.now() + HOUR, ADA)
    edited = changes.edit(request.id, policy(changes, cap="8m"), ADA)
    assert (edited.state, edited.scheduled_for, edited.valid_votes) == ("draft", None, ())
    clock.advance(7200)
    assert changes.advance() == {}
    assert in_force(registry) == ("5m", 1)


@pytest.mark.parametrize(("gone", "why"), [("wim", "there is missing: 1 approval"), ("ada", "'ada', who scheduled it")])
def test_a_scheduled_change_whose_people_are_gone_expires_and_says_why(
    registry: Registry, changes: Changes, clock: ManualClock, gone: str, why: str
) -> None:
    request = changes.schedule(approved(changes).id, clock.now() + HOUR, ADA)
    disable_account(registry.store, clock, gone, actor="admin")
    clock.advance(3600)
    assert changes.advance() == {"expired": 1}
    assert why in changes.get(request.id).note
    assert in_force(registry) == ("5m", 1)
    assert told(registry, request)[-1] == ("plane", "expire")


def test_a_scheduled_change_whose_base_has_moved_is_a_conflict_told_field_by_field(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    late = changes.schedule(approved(changes, cap="7m", budget="2d").id, clock.now() + HOUR, ADA)
    changes.apply(approved(changes, cap="9m", jitter=False).id, ADA)
    clock.advance(3600)
    assert changes.advance() == {"conflict": 1}
    found = {one.path: (one.base, one.theirs, one.mine, one.changed) for one in changes.against(late.id)}
    assert found == {
        "spec.cap": ("5m", "9m", "7m", "both"),
        "spec.budget": ("1d", "1d", "2d", "mine"),
        "spec.jitter": (True, False, True, "theirs"),
    }
    assert in_force(registry) == ("9m", 2)


def test_what_nobody_touches_for_a_month_expires(registry: Registry, changes: Changes, clock: ManualClock) -> None:
    scheduled = changes.schedule(approved(changes).id, clock.now() + PATIENCE * 2, ADA)
    stale = [drafted(changes), changes.submit(drafted(changes, cap="8m").id, ADA), approved(changes, cap="7m")]
    clock.advance(PATIENCE.total_seconds())
    fresh = drafted(changes, cap="6m")
    assert changes.expire() == 0
    clock.advance(1)
    assert changes.expire() == 3
    assert [changes.get(one.id).state for one in stale] == ["expired"] * 3
    assert [changes.get(one.id).state for one in (scheduled, fresh)] == ["scheduled", "draft"]
    assert told(registry, stale[0])[-1] == ("plane", "expire")


def overtaken(registry: Registry, clock: ManualClock) -> None:
    """Let a flow take another retry policy: what simulations of retry policies look at has changed."""
    with registry.store.write() as conn:
        row = revisions.get(conn, "Flow", "returns")["document"]
        flow = as_document({**row, "spec": {**row["spec"], "retry": "postings"}})
        revisions.write(conn, clock, [flow], author="test", origin="test", reason="")


def test_what_was_approved_on_a_simulation_of_other_policies_waits_for_a_new_look(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    request = approved(changes)
    overtaken(registry, clock)
    with pytest.raises(ConflictError, match="have changed since it was approved"):
        changes.apply(request.id, ADA)
    assert in_force(registry) == ("5m", 1)
    again = changes.get(request.id)
    assert (again.state, again.valid_votes) == ("in_review", ())
    with pytest.raises(ConflictError, match="simulate it anew"):
        changes.vote(request.id, BEN, "approve")
    changes.simulate(request.id, ADA)
    changes.vote(request.id, BEN, "approve")
    changes.vote(request.id, WIM, "approve")
    assert changes.apply(request.id, ADA).state == "effective"
    assert ("ada", "look_again") in told(registry, request)


def test_a_new_simulation_alone_does_not_carry_approvals_that_rest_on_an_old_one(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    request = approved(changes)
    overtaken(registry, clock)
    changes.simulate(request.id, ADA)
    with pytest.raises(ConflictError, match="have changed since it was approved"):
        changes.apply(request.id, ADA)


def test_a_scheduled_change_comes_into_force_however_old_its_simulation_is_by_then(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    changes.schedule(approved(changes).id, clock.now() + 48 * HOUR, ADA)
    clock.advance(48 * 3600)
    assert changes.advance() == {"effective": 1}
    assert in_force(registry) == ("9m", 2)


def test_a_scheduled_change_whose_simulation_was_overtaken_is_in_review_again(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    request = changes.schedule(approved(changes).id, clock.now() + HOUR, ADA)
    overtaken(registry, clock)
    clock.advance(3600)
    assert changes.advance() == {"in_review": 1}
    again = changes.get(request.id)
    assert (again.scheduled_for, again.valid_votes) == (None, ())
    assert "have changed since it was approved" in again.note
    assert (changes.advance(), in_force(registry)) == ({}, ("5m", 1))


# --- break-glass ---


def test_break_glass_is_in_force_at_once_ends_by_itself_and_is_owed_a_review(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    request = changes.break_glass(drafted(changes).id, HOUR, "the ERP is down", ADA)
    assert (request.state, request.review_owed, request.reverts_at) == ("effective", True, clock.now() + HOUR)
    assert in_force(registry) == ("9m", 2)
    clock.advance(3600)
    assert changes.advance() == {"rolled_back": 1}
    assert in_force(registry) == ("5m", 3)
    assert changes.get(request.id).review_owed
    with pytest.raises(BadInputError, match="give a comment"):
        changes.review(request.id, BEN, " ")
    done = changes.review(request.id, BEN, "it was right")
    assert (done.state, done.reviewed_by, done.review_owed) == ("rolled_back", "ben", False)
    assert told(registry, request) == [("ada", "open"), ("ada", "break_glass"), ("plane", "revert"), ("ben", "review")]
    with pytest.raises(ConflictError, match="no review is owed"):
        changes.review(request.id, WIM, "me too")


def test_break_glass_is_bounded_and_needs_a_reason(registry: Registry, changes: Changes) -> None:
    request = drafted(changes)
    for lasting in (timedelta(0), timedelta(hours=24, seconds=1)):
        with pytest.raises(BadInputError, match="at most 24 hours"):
            changes.break_glass(request.id, lasting, "now", ADA)
    with pytest.raises(BadInputError, match="needs a reason"):
        changes.break_glass(request.id, HOUR, "  ", ADA)
    with pytest.raises(ForbiddenError, match=r"policy\.break_glass"):
        changes.break_glass(request.id, HOUR, "now", person("olga", "operator"))
    fresh = {"apiVersion": "trueup/v1", "kind": "RetryPolicy", "metadata": {"name": "slow"}, "spec": {}}
    new = changes.open("RetryPolicy", "slow", fresh, "A new one", "", ADA)
    with pytest.raises(BadInputError, match="nothing stands behind a new document"):
        changes.break_glass(new.id, HOUR, "now", ADA)
    assert in_force(registry) == ("5m", 1)


def test_who_wrote_it_or_broke_the_glass_does_not_review_it(changes: Changes) -> None:
    request = changes.break_glass(drafted(changes).id, HOUR, "now", BOTH)
    with pytest.raises(ForbiddenError, match="'eve' broke the glass for it and cannot review it"):
        changes.review(request.id, BOTH, "fine")
    with pytest.raises(ForbiddenError, match=r"policy\.approve"):
        changes.review(request.id, ADMIN, "fine")


def test_break_glass_is_not_renewed_while_a_review_is_owed_nor_upon_itself(
    changes: Changes, clock: ManualClock
) -> None:
    first = changes.break_glass(drafted(changes).id, HOUR, "now", ADA)
    again = drafted(changes, cap="20m")
    with pytest.raises(ConflictError, match=f"a review is owed of {first.id}"):
        changes.break_glass(again.id, HOUR, "more", ADA)
    changes.review(first.id, BEN, "fine")
    with pytest.raises(ConflictError, match="is there by break-glass itself"):
        changes.break_glass(again.id, HOUR, "more", ADA)
    clock.advance(3600)
    changes.advance()
    assert changes.break_glass(drafted(changes, cap="20m").id, HOUR, "more", ADA).state == "effective"


def test_what_is_kept_of_a_break_glass_is_weighed_against_what_was_approved_before_it(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    first = changes.break_glass(drafted(changes, cap="30m").id, HOUR, "now", ADA)
    keep = changes.submit(
        drafted(changes, cap="20m").id, ADA
    )  # shorter than what is in force, longer than was approved
    assert changes.risk(keep.id).relaxes
    changes.vote(keep.id, BEN, "approve")
    assert changes.vote(keep.id, WIM, "approve").state == "approved"
    changes.apply(keep.id, ADA)
    assert changes.get(first.id).state == "superseded"
    clock.advance(3600)
    assert changes.advance() == {}
    assert in_force(registry) == ("20m", 3)
    assert changes.get(first.id).review_owed


def test_nobody_makes_himself_the_owner_by_break_glass_and_then_approves(registry: Registry, changes: Changes) -> None:
    """Ada lends the orders to Pat's team for an hour, in which Pat could say yes to what the owner was never asked."""
    with registry.store.read() as conn:
        domain = revisions.get(conn, "Domain", "orders")["document"]
        flow = revisions.get(conn, "Flow", "orders")["document"]
    lent = {**domain, "spec": {**domain["spec"], "owner": PAT.team}}
    changes.break_glass(changes.open("Domain", "orders", lent, "Ours", "", ADA).id, HOUR, "now", ADA)
    slower = {**flow, "spec": {**flow["spec"], "promise": "19m", "retry_past_promise": "it is late anyway"}}
    request = changes.open("Flow", "orders", slower, "Slower", "", ADA)
    found = changes.risk(request.id)
    assert (found.relaxes, found.owners) == (True, (domain["spec"]["owner"],))
    keep = changes.open("Domain", "orders", lent, "For good", "", ADA)
    assert changes.risk(keep.id).owners == (domain["spec"]["owner"],)


def test_a_break_glass_that_others_depend_on_by_now_stays_and_says_what_has_to_be_mended(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    with registry.store.read() as conn:
        skus = revisions.get(conn, "Mapping", "tills-sku")["document"]
    moved = {**skus, "spec": {**skus["spec"], "entity": "lot"}}
    request = changes.open("Mapping", "tills-sku", moved, "Lots", "", ADA)
    changes.break_glass(request.id, HOUR, "now", ADA)
    other = changes.open("Mapping", "tills-sku-2", {**skus, "metadata": {"name": "tills-sku-2"}}, "Skus", "", ADA)
    changes.submit(other.id, ADA)
    changes.vote(other.id, BEN, "approve")
    account(registry, "wim", team="ecommerce")
    changes.vote(other.id, WIM, "approve")
    changes.apply(other.id, ADA)
    clock.advance(3600)
    assert [changes.advance() for _ in range(2)] == [{"effective": 1}] * 2
    assert "tills-sku" in changes.get(request.id).note
    assert [deed for _, deed in told(registry, request)].count("revert_refused") == 1


def document(registry: Registry, kind: str, name: str) -> dict[str, Any]:
    with registry.store.read() as conn:
        found: dict[str, Any] = revisions.get(conn, kind, name)["document"]
    return found


def broken(changes: Changes, kind: str, name: str, lasting: timedelta, **spec: Any) -> ChangeRequest:
    """Put other values of a policy in force by break-glass."""
    now = document(changes.registry, kind, name)
    request = changes.open(kind, name, {**now, "spec": {**now["spec"], **spec}}, f"{name} otherwise", "", ADA)
    return changes.break_glass(request.id, lasting, "urgent", ADA)


def test_a_break_glass_that_another_one_leans_on_ends_at_its_time_and_takes_that_one_with_it(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    codes = document(registry, "Mapping", "erp-location")["spec"]["codes"]
    first = broken(changes, "Mapping", "erp-location", HOUR, codes={**codes, "S9": "ST9"})
    leaning = broken(changes, "Comparison", "stock-three-way", 20 * HOUR, locations=["WH1", "ST9"])
    apart = broken(changes, "RetryPolicy", "default", 20 * HOUR, cap="9m")
    clock.advance(3600)
    assert changes.advance() == {"rolled_back": 1}
    assert [changes.get(one.id).state for one in (first, leaning, apart)] == ["rolled_back", "rolled_back", "effective"]
    assert document(registry, "Mapping", "erp-location")["spec"]["codes"] == codes
    assert document(registry, "Comparison", "stock-three-way")["spec"]["locations"] == ["WH1"]
    assert told(registry, leaning)[-1] == ("plane", "revert")
    assert changes.get(leaning.id).review_owed


def test_a_break_glass_goes_back_though_nobody_is_left_of_the_team_that_stands_behind_it(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    members = document(registry, "Team", "warehouse-ops")["spec"]["members"]
    owned = broken(changes, "RetryPolicy", "stock", HOUR, cap="9m")
    team = broken(changes, "Team", "warehouse-ops", HOUR, members=[{**members[0], "username": "ada"}])
    for one in members:
        with suppress(ConflictError):  # some are there
            create_account(registry.store, clock, one["username"], "a password of twenty", ["viewer"], actor="test")
        disable_account(registry.store, clock, one["username"], actor="test")
    clock.advance(3600)
    assert changes.advance() == {"rolled_back": 2}
    assert [changes.get(one.id).state for one in (owned, team)] == ["rolled_back"] * 2
    assert document(registry, "Team", "warehouse-ops")["spec"]["members"] == members


@pytest.mark.parametrize(
    "spec",
    [
        {"endpoint": "https://elsewhere.example"}, {"internal": ["10.0.0.5:8080"]}, {"secrets": {"token": "env:OTHER"}},
        {"connector": "netsuite"},
    ],
)  # fmt: skip
def test_where_a_system_leads_and_by_which_secrets_takes_an_approval(changes: Changes, spec: dict[str, Any]) -> None:
    with pytest.raises((ForbiddenError, PolicyError), match=f"break-glass changes no `{next(iter(spec))}`"):
        broken(changes, "System", "pager", HOUR, **spec)
    assert broken(changes, "System", "pager", HOUR, timeout="7s").state == "effective"


# --- rollback and what is superseded ---


def test_a_rollback_is_a_new_revision_with_its_own_approval(registry: Registry, changes: Changes) -> None:
    bad = changes.apply(approved(changes).id, ADA)
    back = changes.roll_back("RetryPolicy", "default", 1, "it was wrong", ADA)
    assert (back.state, back.rolls_back, back.base_revision) == ("draft", 1, 2)
    changes.submit(back.id, ADA)
    with pytest.raises(ForbiddenError, match="'ada' wrote it"):
        changes.vote(back.id, person("ada", "approver"), "approve")
    changes.vote(back.id, BEN, "approve")
    changes.apply(back.id, ADA)
    assert in_force(registry) == ("5m", 3)
    assert [changes.get(one.id).state for one in (bad, back)] == ["rolled_back", "effective"]
    assert told(registry, back)[-1] == ("ada", "apply")


def test_a_rollback_from_a_page_that_shows_another_revision_than_is_in_force_is_refused(changes: Changes) -> None:
    changes.apply(approved(changes).id, ADA)
    with pytest.raises(ConflictError, match="came into force since you opened revision 1"):
        changes.roll_back("RetryPolicy", "default", 1, "", ADA, seen=1)
    assert changes.roll_back("RetryPolicy", "default", 1, "", ADA, seen=2).state == "draft"


def test_a_revision_in_force_is_nothing_to_roll_back_to(changes: Changes) -> None:
    with pytest.raises(BadInputError, match="is in force already"):
        changes.roll_back("RetryPolicy", "default", 1, "", ADA)


def test_a_rollback_that_was_edited_is_none_any_more(changes: Changes) -> None:
    first = changes.apply(approved(changes).id, ADA)
    back = changes.roll_back("RetryPolicy", "default", 1, "", ADA)
    assert changes.edit(back.id, policy(changes, cap="8m"), ADA).rolls_back is None
    changes.submit(back.id, ADA)
    changes.vote(back.id, BEN, "approve")
    changes.apply(back.id, ADA)
    assert changes.get(first.id).state == "superseded"


# --- who is there ---


def test_the_first_pack_is_told_in_the_action_log_with_the_hash_of_each_document(registry: Registry) -> None:
    with registry.store.read() as conn:
        [action] = conn.execute(select(t.action).where(t.action.c.action == "registry.load")).all()
        held = {f"{row['kind']}/{row['name']}": row["hash"] for row in revisions.in_force(conn)}
        assert {row["origin"] for row in revisions.in_force(conn)} == {"genesis"}
    assert action.actor == "genesis"
    assert action.after == {"loaded": held}


def test_an_installation_with_one_person_says_so_and_lets_nothing_through(
    registry: Registry, changes: Changes, clock: ManualClock
) -> None:
    assert (changes.staffing().one_person, changes.staffing().note) == (False, "")
    for actor in EVERYBODY:
        if actor is not BOTH:
            disable_account(registry.store, clock, actor.name, actor="test")
    found = changes.staffing()
    assert (found.people, found.approvers, found.one_person) == (1, 1, True)
    assert "one person only" in found.note
    request = changes.submit(drafted(changes, BOTH, cap="4m").id, BOTH)
    with pytest.raises(ForbiddenError, match="'eve' wrote it"):
        changes.vote(request.id, BOTH, "approve")
    assert in_force(registry) == ("5m", 1)
