"""One document has one canonical form, however it was written down."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.canonical import canonical_json, digest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), VALUES))
def test_the_order_of_keys_changes_nothing(document: dict[str, object]) -> None:
    assert digest(document) == digest(dict(reversed(list(document.items()))))


@given(VALUES)
def test_the_canonical_form_reads_back_as_the_document(document: object) -> None:
    assert json.loads(canonical_json(document)) == document


@given(VALUES, VALUES)
def test_documents_with_the_same_form_have_the_same_hash_and_others_do_not(one: object, other: object) -> None:
    assert (canonical_json(one) == canonical_json(other)) == (digest(one) == digest(other))


def test_text_is_kept_as_it_is_and_blanks_are_left_out() -> None:
    assert canonical_json({"b": ["ü", 1], "a": None}) == '{"a":null,"b":["ü",1]}'


def test_amounts_and_instants_are_written_as_text() -> None:
    document = {"amount": Decimal("1.50"), "at": datetime(2026, 3, 2, tzinfo=UTC), "day": date(2026, 3, 2)}
    assert canonical_json(document) == '{"amount":"1.50","at":"2026-03-02 00:00:00+00:00","day":"2026-03-02"}'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"value": number})


@pytest.mark.parametrize("value", [{"a", "b"}, object(), b"bytes"])
def test_what_is_written_differently_each_time_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no canonical form"):
        digest({"value": value})


def test_another_process_finds_the_same_hash() -> None:
    program = "from rules.canonical import digest; print(digest({'b': [1, 'ü'], 'a': {'y': 1.5, 'x': None}}))"
    elsewhere = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == digest({"a": {"x": None, "y": 1.5}, "b": [1, "ü"]})
