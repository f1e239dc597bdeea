"""Cells that are safe to open in a spreadsheet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from rules.cells import cell, line


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+49 157",
        "-2+3",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\nx",
        "\x00=1",
        " =1",
        '=cmd|"/C calc"!A0',
        "-1e5=x",
        "＝1+1",
        "＠SUM(A1)",
    ],
)
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "value", [-3, Decimal("-1.50"), "-3", "-1.50", "-1,50", "SKU-1", "", "-", None, 0, "a=b", "2026-03-02"]
)
def test_numbers_and_plain_text_stay_as_they_are(value: Any) -> None:
    assert cell(value) == value


def test_a_row_in_a_pipe_stays_one_row() -> None:
    assert line(["a\tb\nc", "=x", "-3"]) == "a b c\t'=x\t-3"
