"""What a correction changes, and what policy says to it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import rows
from rules.correction import Change, changes, edited, gathered, rule, spread, values
from rules.paths import joined, named, segments
from rules.policy.kinds import Correction

HEADER = "store;receipt;line;plu;qty;unit_price;sold_at"
TILL = {
    "topic": "sales",
    "body": {"file": "sales_ST1_1.csv", "line": 2, "header": HEADER, "row": "ST1;R1;1;999999;1;9,90;2026-03-02T09:00:00Z"},
}  # fmt: skip
ORDER = {"ref": "#1", "currency": "EUR", "lines": [{"sku": "A", "unit_price": "1"}, {"sku": "B", "unit_price": "2"}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab.[]*\"0", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.0", min_size=1, max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def found(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    return [(one.path, one.before, one.after) for one in changes(before, after)]


# --- paths ---


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("sku", ["sku"]),
        ("body.lines[0].sku", ["body", "lines", "0", "sku"]),
        ("body.lines.0.sku", ["body", "lines", "0", "sku"]),
        ("lines[*].sku", ["lines", "*", "sku"]),
        ('a."b.c".d', ["a", "b.c", "d"]),
    ],
)
def test_a_path_is_read_in_its_parts(path: str, parts: list[str]) -> None:
    assert segments(path) == parts


@pytest.mark.parametrize("path", ["", "[x]", "a[", 'a"'])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        segments(path)


def test_a_path_that_was_written_is_read_as_the_same_parts() -> None:
    assert segments(joined(["a", 0, "b.c", "d"])) == ["a", "0", "b.c", "d"]


@pytest.mark.parametrize(
    ("path", "pattern", "meant"),
    [
        ("lines[3].unit_price", "*price*", True),
        ("node.originalUnitPriceSet.amount", "amount", True),
        ("lines[3].unit_price", "lines[*].unit_price", True),
        ("lines[3].unit_price", "lines[*].sku", False),
        ("price_list.name", "*price*", False),
        ("id", "*_id", False),
    ],
)
def test_a_field_is_named_by_its_name_or_by_its_whole_path(path: str, pattern: str, meant: bool) -> None:
    assert named(path, [pattern]) is meant


# --- differences ---


def test_only_values_that_differ_are_told() -> None:
    after = {**ORDER, "lines": [{"sku": "A", "unit_price": "1"}, {"sku": "C", "unit_price": "2"}]}
    assert found(ORDER, after) == [("lines[1].sku", "B", "C")]


def test_a_part_that_comes_or_goes_is_told_value_by_value() -> None:
    after = {**ORDER, "lines": [*ORDER["lines"], {"sku": "C", "unit_price": "3"}]}
    assert found(ORDER, after) == [("lines[2].sku", None, "C"), ("lines[2].unit_price", None, "3")]
    assert found(after, ORDER) == [("lines[2].sku", "C", None), ("lines[2].unit_price", "3", None)]


def test_a_number_and_the_text_of_it_differ_and_so_do_true_and_one() -> None:
    assert found({"a": 1, "b": True}, {"a": "1", "b": 1}) == [("a", 1, "1"), ("b", True, 1)]


def test_a_null_that_came_is_a_change() -> None:
    assert found({}, {"a": None}) == [("a", None, None)]


@given(JSON, JSON)
def test_a_record_differs_from_itself_in_nothing_and_from_another_in_something(one: Any, other: Any) -> None:
    assert changes(one, one) == []
    differ = json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)
    assert bool(changes(one, other)) is differ


# --- edits ---


def test_a_value_is_put_at_every_place_that_the_path_means() -> None:
    assert [line["sku"] for line in edited(ORDER, {"lines[*].sku": "X"})["lines"]] == ["X", "X"]
    assert ORDER["lines"][0]["sku"] == "A", "the original is left as it was"


def test_a_name_that_is_not_there_yet_can_be_added_and_one_too_many_removed() -> None:
    assert edited({"a": {}}, {"a.b": 1}) == {"a": {"b": 1}}
    assert edited({"a": 1, "b": [1, 2, 3]}, {}, ["a", "b[*]"]) == {"b": []}


@pytest.mark.parametrize("path", ["x.y", "lines[2].sku", "ref.a", "lines.sku"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="leads nowhere"):
        edited(ORDER, {path: "X"})


def test_one_column_of_a_row_is_changed_and_the_rest_of_the_line_stays() -> None:
    after = edited(TILL, {"body.row.plu": "900001"})
    assert after["body"]["row"] == TILL["body"]["row"].replace("999999", "900001")
    assert found(TILL, after) == [("body.row.plu", "999999", "900001")]


def test_a_field_with_the_delimiter_in_it_survives_being_put_together() -> None:
    after = edited(TILL, {"body.row.plu": 'a;"b'})
    assert values(after)["body.row.plu"] == 'a;"b'


def test_a_column_that_the_header_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="no column 'colour'"):
        edited(TILL, {"body.row.colour": "red"})


def test_a_row_that_nothing_was_changed_in_keeps_its_very_text() -> None:
    quoted = {**TILL, "body": {**TILL["body"], "row": 'ST1;"R1";1;999999;1;9,90;x'}}
    assert gathered(spread(quoted), quoted) == quoted


def test_a_row_that_does_not_fit_its_header_stays_one_text() -> None:
    short = {**TILL, "body": {**TILL["body"], "row": "ST1;R1"}}
    assert spread(short) == short
    assert rows.fields(HEADER, "ST1;R1") is None


# --- what policy says ---

PATHS = ("ref", "lines[0].native_id", "body.id", "body.line_items[0].admin_graphql_api_id")


@pytest.mark.parametrize("path", PATHS)
def test_what_a_record_is_known_by_may_not_be_changed(path: str) -> None:
    assert rule(Correction(), [Change(path, "1", "2")], None).refused == (path,)


def test_an_identity_that_is_missing_or_at_fault_is_put_right_by_two() -> None:
    for change, fault in ((Change("ref", None, "#1"), ""), (Change("id", "77", "78"), "77")):
        ruling = rule(Correction(), [change], None, fault)
        assert (ruling.refused, len(ruling.approval)) == ((), 1)


@pytest.mark.parametrize("path", ["lines[0].unit_price", "currency", "body.total_price", "body.row.unit_price"])
def test_money_takes_a_second_person(path: str) -> None:
    ruling = rule(Correction(), [Change(path, "1", "2")], None)
    assert ruling.approval == (f"{path} was changed",)


def test_a_code_is_corrected_by_one() -> None:
    ruling = rule(Correction(), [Change("lines[0].sku", "A", "B"), Change("order_ref", "#1", "#2")], Decimal(10**6))
    assert (ruling.refused, ruling.approval) == ((), ())


@pytest.mark.parametrize(("worth", "asked"), [(None, False), ("100", False), ("100.01", True), ("-101", True)])
def test_above_its_limit_any_correction_takes_two(worth: str | None, asked: bool) -> None:
    policy = Correction(approve_above=Decimal(100))
    ruling = rule(policy, [Change("lines[0].sku", "A", "B")], None if worth is None else Decimal(worth))
    assert bool(ruling.approval) is asked


def test_a_blueprint_can_allow_what_is_protected_by_default() -> None:
    policy = Correction(protected_fields=(), approve_fields=("lines[*].sku",))
    ruling = rule(policy, [Change("ref", "1", "2"), Change("lines[0].sku", "A", "B")], None)
    assert (ruling.refused, ruling.approval) == ((), ("lines[0].sku was changed",))
