"""What is exported reads back as what it was, whatever text stands in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules.policy.text import read_text
from rules.policy.writing import to_yaml

ODD = (
    "1e3", "12E5", "1e-3", "1E+5", "1_000", "0x1F", "0o17", "1.", ".5", "+1", "-0", "001", "yes", "~", "null", "12:30:00",
    "2001-01-01", "<<", "=", "\x85x", "a\u2028b", "\ufeffx", "\x7f", " lead", "trail ", "a\tb", "line\nbreak ", "a: b", "- a", "#x", "",
)  # fmt: skip


def mapping(codes: dict[str, str], title: str = "") -> dict[str, Any]:
    """Return a Mapping with these codes."""
    head = {"name": "odd", "title": title, "description": "", "labels": {}}
    spec = {"system": "erp", "entity": "sku", "codes": codes, "strict": True}
    return {"apiVersion": "trueup/v1", "kind": "Mapping", "metadata": head, "spec": spec}


def read(text: str) -> Any:
    """Return the one document of a text."""
    documents, problems = read_text(text, "x.yaml")
    assert problems == []
    (found,) = documents
    return found.value


@pytest.mark.parametrize("text", ODD)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    document = mapping({"k": text, f"{text}k": "x", text: "key"}, text)
    assert read(to_yaml(document)) == document


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=150), st.text(max_size=300), max_size=6), st.text(max_size=300))
@example({"a": "1e3"}, "\x85x")
def test_whatever_is_exported_is_read_back_as_it_was(codes: dict[str, str], title: str) -> None:
    document = mapping(codes, title)
    assert read(to_yaml(document)) == document


@settings(deadline=None)
@given(st.from_regex(r"[-+.]?[0-9eExXoO_.:+-]{1,12}", fullmatch=True))
def test_what_is_made_of_digits_and_signs_is_read_back_as_text(text: str) -> None:
    document = mapping({text: text})
    assert read(to_yaml(document)) == document
