"""Two changes of one document are put together field by field, and what both changed is said."""

from __future__ import annotations

from rules.policy.difference import changed_fields, merged, three_way

BASE = {"spec": {"budget": "1d", "cap": "5m", "codes": {"a": "1", "b": "2"}, "list": [1]}}


def changed(**spec: object) -> dict[str, object]:
    """Return the base with some keys changed."""
    return {"spec": {**BASE["spec"], **spec}}


def test_what_only_one_of_two_changed_is_taken_from_that_one() -> None:
    assert merged(BASE, changed(budget="2d"), changed(cap="6m")) == changed(budget="2d", cap="6m")


def test_what_both_changed_is_mine_and_marked() -> None:
    theirs, mine = changed(budget="2d", cap="6m"), changed(budget="3d", cap="6m")
    assert merged(BASE, theirs, mine) == mine
    assert {one.path: one.changed for one in three_way(BASE, theirs, mine)} == {
        "spec.budget": "both",
        "spec.cap": "same",
    }


def test_what_one_took_away_stays_away_and_what_one_added_stays() -> None:
    theirs, mine = changed(codes={"a": "1", "c": "3"}), changed(codes={"b": "2", "a": "1", "d": "4"})
    assert merged(BASE, theirs, mine)["spec"]["codes"] == {"a": "1", "c": "3", "d": "4"}


def test_a_list_is_one_field() -> None:
    assert merged(BASE, changed(list=[1, 2]), changed(list=[1]))["spec"]["list"] == [1, 2]
    assert merged(BASE, changed(list=[1, 2]), changed(list=[0]))["spec"]["list"] == [0]


def test_no_difference_shows_a_secret_that_stands_by_value() -> None:
    def system(secret: str, endpoint: str) -> dict[str, object]:
        return {"spec": {"secrets": {"token": secret}, "endpoint": endpoint}}

    before = system("file:token", "https://one.example")
    after = system("PLANTED", "https://PLANTED@two.example")
    found = changed_fields(before, after)
    assert [path for path, _, _ in found] == ["spec.secrets.token", "spec.endpoint"]
    assert ("file:token" in str(found), "https://one.example" in str(found)) == (True, True)
    other = system("PLANTED-2", "https://x/?token=PLANTED")
    assert "PLANTED" not in str([found, changed_fields(after, other), three_way(before, after, other)])
    assert len(changed_fields(after, other)) == 2
    assert "PLANTED" not in str(changed_fields({"spec": {"secrets": {}}}, after))
