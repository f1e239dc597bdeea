"""Changing policies within one's reach: of two brands, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.access import Actor, change_roles, create_account
from controlplane.clock import ManualClock
from controlplane.errors import ForbiddenError, NotFoundError
from controlplane.registry.changes import Changes
from controlplane.registry.revisions import dump
from controlplane.wiring import Plane
from rules.policy.writing import to_yaml
from rules.reach import EVERYTHING, Reach
from tests import two_brands
from tests.conftest import START
from tests.two_brands import NORTH
from tests.web import PASSWORD, a_plane

NORA = Actor("nora", frozenset({"editor", "approver"}), "ecommerce", reach=NORTH)
CENTRAL = Actor("central", frozenset({"editor", "approver"}), "store-ops")


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A plane of two brands; nora is of the first."""
    with a_plane(tmp_path, ManualClock(START)) as found:
        two_brands.policies(found)
        for one in (NORA, CENTRAL):
            create_account(
                found.store, found.clock, one.name, PASSWORD, one.roles, actor="setup", team=one.team, reach=one.reach
            )
        yield found


@pytest.fixture
def changes(plane: Plane) -> Changes:
    return Changes(plane.registry)


def document(plane: Plane, kind: str, name: str, **spec: Any) -> dict[str, Any]:
    found = dump(plane.registry.snapshot().documents[kind, name])
    return {**found, "spec": {**found["spec"], **spec}}


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [
        ("Flow", "zebra-orders", NotFoundError), ("System", "zebra-shop", NotFoundError), ("Comparison", "zebra-stock", NotFoundError),
        ("ServiceLevel", "zebra-delivery", NotFoundError), ("AllocationRule", "zebra-rule", NotFoundError),
        ("Mapping", "zebra-location", NotFoundError), ("Team", "zebra-team", NotFoundError),
        ("System", "erp", ForbiddenError), ("Flow", "shipments", ForbiddenError), ("Domain", "orders", ForbiddenError),
        ("RetryPolicy", "default", ForbiddenError), ("Calendar", "trading", ForbiddenError),
        ("ServiceLevel", "delivery-success", NotFoundError),
    ],
)  # fmt: skip
def test_nobody_proposes_or_rolls_back_what_is_beyond_the_reach(
    plane: Plane, changes: Changes, kind: str, name: str, error: Any
) -> None:
    with pytest.raises(error):
        changes.open(kind, name, document(plane, kind, name), "t", "", NORA)
    with pytest.raises(error):
        changes.roll_back(kind, name, 1, "", NORA)


def test_nobody_votes_edits_or_talks_on_what_is_beyond_the_reach(plane: Plane, changes: Changes) -> None:
    made = changes.open("Flow", "zebra-orders", document(plane, "Flow", "zebra-orders", promise="4m"), "t", "", CENTRAL)
    changes.submit(made.id, CENTRAL)
    for act in (
        lambda: changes.vote(made.id, NORA, "approve"), lambda: changes.vote(made.id, NORA, "reject"),
        lambda: changes.edit(made.id, made.document, NORA), lambda: changes.withdraw(made.id, NORA),
        lambda: changes.comment(made.id, NORA, "x"), lambda: changes.simulate(made.id, NORA), lambda: changes.submit(made.id, NORA),
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            act()
    assert set(changes.refusals(made.id, NORA).values()) == {
        "it concerns, or names, what is beyond the reach that you have"
    }


def test_a_change_of_the_own_brand_cannot_grow_beyond_it(plane: Plane, changes: Changes) -> None:
    made = changes.open("Flow", "orders", document(plane, "Flow", "orders", promise="4m"), "t", "", NORA)
    wider = document(plane, "Flow", "orders", targets=[{"system": "zebra-shop", "entity": "order"}])
    with pytest.raises(ForbiddenError, match="beyond the reach of 'nora', who reaches brands north"):
        changes.edit(made.id, wider, NORA)
    given_away = document(plane, "System", "shop", brand=["north", "zebra"])
    with pytest.raises(ForbiddenError):
        changes.open("System", "shop", given_away, "t", "", NORA)
    new = {**document(plane, "System", "shop"), "metadata": {"name": "shop-two"}}
    with pytest.raises(ForbiddenError):
        changes.open("System", "shop-two", new, "t", "", NORA)


def test_nobody_confined_sends_a_secret_that_is_not_the_own_brands(plane: Plane, changes: Changes) -> None:
    mine = document(plane, "System", "shop")
    others = document(plane, "System", "erp")["spec"]["secrets"]
    for ref in (next(iter(others.values())), "env:HOME"):
        wrong = {**mine, "spec": {**mine["spec"], "secrets": {**mine["spec"]["secrets"], "access_token": ref}}}
        with pytest.raises(ForbiddenError, match="beyond the reach"):
            changes.open("System", "shop", wrong, "t", "", NORA)
    assert changes.open("System", "shop", document(plane, "System", "shop", timeout="7s"), "t", "", NORA).id


def test_lint_tells_whoever_is_confined_of_no_policy_that_is_out_of_sight(plane: Plane, changes: Changes) -> None:
    wrong = document(plane, "Flow", "orders", source="nonesuch", owner="nobody")
    whole, told = (changes.lint(to_yaml(wrong), who, "Flow", "orders") for who in (CENTRAL, NORA))
    assert "zebra-shop" in str([*map(str, whole)]) and "zebra-team" in str([*map(str, whole)])  # noqa: PT018
    assert len(told) == len(whole)
    assert "zebra" not in str([*map(str, told)])


def test_an_approval_counts_while_what_was_approved_is_within_the_reach(plane: Plane, changes: Changes) -> None:
    made = changes.open("Flow", "orders", document(plane, "Flow", "orders", promise="4m"), "Faster", "", CENTRAL)
    changes.submit(made.id, CENTRAL)
    assert changes.vote(made.id, NORA, "approve").state == "approved"
    other = Reach(brands=frozenset({"zebra"}))
    change_roles(plane.store, plane.clock, "nora", NORA.roles, NORA.team, actor="setup", reach=other)
    with pytest.raises(ForbiddenError, match="there is missing"):
        changes.apply(made.id, CENTRAL)
    change_roles(plane.store, plane.clock, "nora", NORA.roles, NORA.team, actor="setup", reach=NORTH)
    assert changes.apply(made.id, CENTRAL).state == "effective"


def test_what_relaxes_still_takes_the_data_owners_team(plane: Plane, changes: Changes) -> None:
    ada = Actor("ada", frozenset({"editor"}))
    slower = document(plane, "Flow", "orders", promise="9m")
    made = changes.open("Flow", "orders", slower, "Slower", "", ada)
    changes.submit(made.id, ada)
    assert changes.vote(made.id, CENTRAL, "approve").state == "in_review"
    assert changes.vote(made.id, NORA, "approve").state == "approved", "nora is of the team ecommerce"


def test_the_registry_is_narrowed_for_whom_it_is_read_and_for_nobody_else(plane: Plane) -> None:
    registry = plane.registry
    whole = registry.snapshot()
    registry.confine(NORTH)
    try:
        assert "zebra-orders" not in registry.snapshot().flows
        with plane.store.read() as conn:
            assert "zebra-shop" not in registry.snapshot_in(conn).systems
        with plane.store.unconfined():
            assert registry.snapshot() is whole
    finally:
        registry.confine(EVERYTHING)
    assert registry.snapshot() is whole
