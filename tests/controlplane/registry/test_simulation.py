"""A simulation is kept with its request, approvals rest on it, and it goes stale."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.errors import ConflictError, ForbiddenError
from controlplane.registry import Registry, revisions
from controlplane.registry.changes import Changes
from controlplane.store import tables as t
from tests.controlplane.registry.common import ADA, BEN, WIM, drafted, person, policy

DAY = timedelta(days=1).total_seconds()


def test_what_is_submitted_is_simulated_and_an_approval_names_the_result(changes: Changes) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    standing = changes.simulation(request.id)
    assert standing.missing == ""
    assert standing.result is not None
    assert standing.result.document_hash == request.hash
    assert standing.result.until - standing.result.since == timedelta(days=28)
    voted = changes.vote(request.id, BEN, "approve")
    assert [vote.simulation for vote in voted.valid_votes] == [standing.result.hash]
    with changes.store.read() as conn:
        seen = {row.action: row.after for row in conn.execute(select(t.action))}
    assert seen["change_request.simulate"]["simulation"] == standing.result.hash
    assert seen["change_request.approve"]["simulation"] == standing.result.hash


def test_a_simulation_of_yesterday_carries_no_approval_until_it_is_made_anew(
    changes: Changes, clock: ManualClock
) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    clock.advance(DAY - 1)
    changes.vote(request.id, BEN, "approve")
    clock.advance(1)
    with pytest.raises(ConflictError, match="older than a day; simulate it anew"):
        changes.vote(request.id, WIM, "approve")
    changes.simulate(request.id, WIM)
    assert changes.vote(request.id, WIM, "approve").state == "approved"


def test_a_rejection_needs_no_simulation(changes: Changes, clock: ManualClock) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    clock.advance(3 * DAY)
    assert changes.vote(request.id, BEN, "reject").state == "rejected"


def test_an_edit_makes_it_stale_and_asking_for_review_makes_it_anew(changes: Changes) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    changes.edit(request.id, policy(changes, cap="11m"), ADA)
    assert changes.simulation(request.id).missing == "it was edited after it was simulated"
    changes.submit(request.id, ADA)
    assert changes.simulation(request.id).missing == ""


def test_a_policy_that_was_looked_at_and_changed_makes_it_stale_and_another_does_not(
    changes: Changes, registry: Registry
) -> None:
    request = changes.submit(drafted(changes).id, ADA)

    def put_in_force(kind: str, name: str, **spec: object) -> None:
        with registry.store.write() as conn:
            document = dict(revisions.get(conn, kind, name)["document"])
            document["spec"] = {**document["spec"], **spec}
            read = registry.snapshot_in(conn).documents[kind, name].__class__.model_validate(document)
            revisions.write(conn, changes.clock, [read], author="test", origin="test", reason="test")

    put_in_force("Calendar", next(iter(registry.snapshot().calendars)), day_starts="01:00")
    assert changes.simulation(request.id).missing == ""
    put_in_force("Flow", next(iter(registry.snapshot().flows)), promise="77m")
    assert "have changed since" in changes.simulation(request.id).missing
    with pytest.raises(ConflictError, match="simulate it anew"):
        changes.vote(request.id, BEN, "approve")


def test_the_same_history_and_document_give_the_same_hash(changes: Changes) -> None:
    request = drafted(changes)
    hashes = {str(found.hash) for found in (changes.simulate(request.id, ADA).result for _ in range(2)) if found}
    assert len(hashes) == 1


def test_a_kind_without_a_simulator_says_so_and_is_approved_as_ever(changes: Changes, registry: Registry) -> None:
    name = next(iter(registry.snapshot().teams))
    with changes.store.read() as conn:
        document = revisions.get(conn, "Team", name)["document"]
    changed = {**document, "spec": {**document["spec"], "channel": "#elsewhere"}}
    request = changes.submit(changes.open("Team", name, changed, "Elsewhere", "", ADA).id, ADA)
    assert "Team has no simulator" in changes.simulation(request.id).note
    assert changes.simulate(request.id, ADA).result is None
    [vote] = changes.vote(request.id, BEN, "approve").valid_votes
    assert vote.simulation is None


def test_what_is_decided_is_not_simulated_and_who_has_no_say_does_not_simulate(changes: Changes) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    with pytest.raises(ForbiddenError):
        changes.simulate(request.id, person("vic", "viewer"))
    changes.withdraw(request.id, ADA)
    with pytest.raises(ConflictError, match="what is decided is not simulated"):
        changes.simulate(request.id, ADA)
