"""The life of a change request, and who may do what to it."""

from __future__ import annotations

from itertools import product

import pytest

from rules.changes import (
    STEPS,
    UNDECIDED,
    WHO,
    Deed,
    Hands,
    Relation,
    State,
    after,
    open_to,
    quorum,
    stands_right,
)

LIFE = """
              edit   rebase submit    approve   carry    reject   schedule  apply     break_glass review      withdraw  expire  clash    supersede  roll_back               look_again
draft         draft  draft  in_review -         -        -        -         -         effective   -           withdrawn expired -        -          -                       -
in_review     draft  draft  -         in_review approved rejected -         -         -           -           withdrawn expired -        -          -                       -
approved      draft  draft  -         -         -        rejected scheduled effective -           -           withdrawn expired conflict -          -                       in_review
scheduled     draft  draft  -         -         -        rejected -         effective -           -           withdrawn expired conflict -          -                       in_review
effective     -      -      -         -         -        -        -         -         -           effective   -         -       -        superseded rolled_back             -
superseded    -      -      -         -         -        -        -         -         -           superseded  -         -       -        -          -                       -
rolled_back   -      -      -         -         -        -        -         -         -           rolled_back -         -       -        -          -                       -
rejected      -      -      -         -         -        -        -         -         -           -           -         -       -        -          -                       -
withdrawn     -      -      -         -         -        -        -         -         -           -           -         -       -        -          -                       -
expired       -      -      -         -         -        -        -         -         -           -           -         -       -        -          -                       -
conflict      -      draft  -         -         -        -        -         -         -           -           withdrawn expired -        -          -                       -
"""  # noqa: E501 - a table is read across
"""What governance was promised, written down once more: a row for each state, a column for each deed."""


def told() -> dict[tuple[str, str], str | None]:
    """Read the table."""
    head, *rows = LIFE.strip("\n").splitlines()
    deeds = head.split()
    return {
        (row.split()[0], deed): None if cell == "-" else cell
        for row in rows
        for deed, cell in zip(deeds, row.split()[1:], strict=True)
    }


@pytest.mark.parametrize(("state", "deed"), list(product(State, Deed)))
def test_each_deed_leads_from_each_state_where_the_table_says(state: State, deed: Deed) -> None:
    assert after(state, deed) == told()[state, deed]


def test_the_table_names_every_state_and_every_deed() -> None:
    assert set(told()) == set(product(State, Deed))
    assert set(WHO) == set(Deed)


def test_what_is_decided_is_never_undone() -> None:
    decided = set(State) - set(UNDECIDED) - {State.EFFECTIVE}
    assert {to for (state, _), to in STEPS.items() if state in decided} <= decided
    assert open_to(Deed.SCHEDULE) == (State.APPROVED,)


HANDS = Hands("ada", "eli", "sam", frozenset({"ada", "eve", "eli"}))


@pytest.mark.parametrize("deed", [deed for deed in Deed if WHO[deed].relation is Relation.ANOTHER])
@pytest.mark.parametrize(
    ("name", "may"), [("ada", False), ("eve", False), ("eli", False), ("sam", False), ("ben", True)]
)
def test_author_editors_and_scheduler_decide_nothing_whatever_their_roles(deed: Deed, name: str, may: bool) -> None:
    assert stands_right(deed, name, {"admin", "approver", "editor"}, HANDS) is may


def test_approving_rejecting_and_reviewing_take_another_approver() -> None:
    others = {deed: who.right for deed, who in WHO.items() if who.relation is Relation.ANOTHER}
    assert others == dict.fromkeys((Deed.APPROVE, Deed.REJECT, Deed.REVIEW), "policy.approve")


@pytest.mark.parametrize(
    ("name", "roles", "may"), [("ada", {"editor"}, True), ("eli", {"editor"}, True), ("root", {"admin"}, True), ("bo", {"editor"}, False)]
)  # fmt: skip
def test_a_request_is_withdrawn_by_whose_it_is_or_by_an_admin(name: str, roles: set[str], may: bool) -> None:
    assert stands_right(Deed.WITHDRAW, name, roles, HANDS) is may


@pytest.mark.parametrize("deed", [Deed.CARRY, Deed.EXPIRE, Deed.CLASH, Deed.LOOK_AGAIN, Deed.SUPERSEDE, Deed.ROLL_BACK])
def test_what_the_plane_does_nobody_else_does(deed: Deed) -> None:
    assert not stands_right(deed, "root", {"admin", "approver", "editor"}, HANDS)


@pytest.mark.parametrize(
    ("relaxes", "owners", "approvers", "missing"),
    [
        (False, {"finance"}, [], "1 approval more"),
        (False, {"finance"}, [("ben", None)], ""),
        (True, {"finance"}, [], "2 approvals more, one of them from finance"),
        (True, {"finance"}, [("ben", "finance")], "1 approval more"),
        (True, {"finance"}, [("ben", "shop")], "1 approval more, one of them from finance"),
        (True, {"finance"}, [("ben", "shop"), ("cal", None)], "1 approval more, one of them from finance"),
        (True, {"finance", "shop"}, [("ben", "shop"), ("cal", None)], ""),
        (True, {"finance"}, [("ben", "finance"), ("ben", "finance")], "1 approval more"),
        (True, set(), [("ben", None), ("cal", "x")], ""),
    ],
)
def test_relaxing_takes_two_with_the_data_owners_team_and_tightening_takes_one(
    relaxes: bool, owners: set[str], approvers: list[tuple[str, str | None]], missing: str
) -> None:
    assert quorum(relaxes, owners).missing(approvers) == missing
