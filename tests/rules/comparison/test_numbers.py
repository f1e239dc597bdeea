"""How a number written in a file is read."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.comparison.numbers import Evidence, Mark, NumberError, canonical, decide_mark, evidence, parse_number


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("-0", Mark.DOT, "0"),
        ("+5", Mark.DOT, "5"),
        ("1e3", Mark.DOT, "1000"),
        ("1.5E-2", Mark.DOT, "0.015"),
        ("5-", Mark.DOT, "-5"),
        (" 7 ", Mark.DOT, "7"),
        (".5", Mark.DOT, "0.5"),
        ("1,234.50", Mark.DOT, "1234.5"),
        ("1'234.50", Mark.DOT, "1234.5"),
        ("1,234", Mark.DOT, "1234"),
        ("1.234", Mark.DOT, "1.234"),
        ("1.234", Mark.COMMA, "1234"),
        ("1.234,56", Mark.COMMA, "1234.56"),
        ("1\u00a0234,5", Mark.COMMA, "1234.5"),
        ("1,5", Mark.UNKNOWN, "1.5"),
        ("1.5", Mark.UNKNOWN, "1.5"),
        ("007", Mark.DOT, "7"),
    ],
)
def test_reads_exactly(text: str, mark: Mark, value: str) -> None:
    assert canonical(parse_number(text, mark)) == value


@pytest.mark.parametrize(
    ("text", "mark", "why"),
    [
        ("", Mark.DOT, "blank"),
        ("  ", Mark.DOT, "blank"),
        ("abc", Mark.DOT, "not a number"),
        ("NaN", Mark.DOT, "not a number"),
        ("inf", Mark.DOT, "not a number"),
        ("1_000", Mark.DOT, "not a number"),
        ("-5-", Mark.DOT, "not a number"),
        ("(5)", Mark.DOT, "not a number"),
        ("1,23,456", Mark.DOT, "uneven"),
        ("1,234", Mark.UNKNOWN, "ambiguous"),
        ("1,5", Mark.DOT, "decimal mark"),
        ("0.1234567890123456789", Mark.DOT, "decimal places"),
        ("12345678901234567890", Mark.DOT, "digits before"),
        ("1e99", Mark.DOT, "digits before"),
        ("٣", Mark.DOT, "not a number"),
    ],
)
def test_refuses_what_it_would_have_to_guess_or_round(text: str, mark: Mark, why: str) -> None:
    with pytest.raises(NumberError, match=why):
        parse_number(text, mark)


@pytest.mark.parametrize(
    ("texts", "semicolon", "mark"),
    [
        (["12", "1.5"], False, Mark.DOT),
        (["1,5", "1.234"], False, Mark.COMMA),
        (["1.234,5"], False, Mark.COMMA),
        (["1,234,567"], False, Mark.DOT),
        (["1.234.567"], False, Mark.COMMA),
        (["0.125", "1.234"], True, Mark.DOT),
        (["1.234"], False, Mark.DOT),
        (["1.234"], True, Mark.UNKNOWN),
        (["1,234"], False, Mark.UNKNOWN),
        (["1,5", "1.5"], False, Mark.UNKNOWN),
        (["abc", "1,23,456", ""], False, Mark.DOT),
    ],
)
def test_the_decimal_mark_of_a_file_is_proven_or_unknown(texts: list[str], semicolon: bool, mark: Mark) -> None:
    assert decide_mark(map(evidence, texts), semicolon_separated=semicolon) is mark


def test_before_an_exponent_a_lone_dot_is_no_group() -> None:
    assert evidence("1.234E5") is Evidence.DOT
    assert canonical(parse_number("1.234E5", Mark.UNKNOWN)) == "123400"


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=6))
def test_what_is_written_plainly_is_read_back(value: Decimal) -> None:
    assert parse_number(canonical(value), Mark.DOT) == value
    assert parse_number(f"{value:,.6f}".translate(str.maketrans(",.", ".,")), Mark.COMMA) == value
