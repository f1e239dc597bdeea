"""Rows of delimited files, of whatever they are made."""

from __future__ import annotations

import pytest

from rules import rows
from rules.personal import USUAL, shown

LONG = "x" * 200_000


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("ST1;5", {"store": "ST1", "qty": "5"}),
        ('"S;1";5', {"store": "S;1", "qty": "5"}),
        (f"{LONG};5", {"store": LONG, "qty": "5"}),
        ("ST\r1;5", None),
        (LONG, None),
    ],
)
def test_a_row_is_parted_whatever_it_is_made_of(row: str, found: dict[str, str] | None) -> None:
    assert rows.fields("store;qty", row) == found


@pytest.mark.parametrize(
    ("header", "row"), [("store;email", f"{LONG};anna@example.org;more"), ("store;email\rST1;more", "anna@example.org")]
)
def test_what_may_be_personal_in_a_row_that_is_none_is_hidden(header: str, row: str) -> None:
    found = shown({"header": header, "row": row}, USUAL, lambda *_: "hidden")
    assert found.value["row"] == "hidden"
