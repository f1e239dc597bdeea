"""XML that comes in: read record by record, refused by its place, and drawing in nothing from elsewhere."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.connectors.markup import markup, records, texts
from controlplane.errors import UnreadableError

ENTITY = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x><item>&b;</item></x>'
FILE = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x><item>&f;</item></x>'


def test_attributes_nested_elements_and_those_that_repeat_become_members() -> None:
    inner = b"<sku>A</sku><lot n='1'>x</lot><lot n='2'>y</lot><where><bin>B1</bin></where>"
    told = b"<r xmlns='urn:r'>\n<item id='7'>" + inner + b"</item>\n<item>z</item></r>"
    assert list(records(told, "item", "a.xml")) == [
        (
            2,
            {
                "@id": "7",
                "sku": "A",
                "lot": [{"@n": "1", "#text": "x"}, {"@n": "2", "#text": "y"}],
                "where": {"bin": "B1"},
            },
        ),
        (3, {"#text": "z"}),
    ]


def test_a_record_within_a_record_is_part_of_it() -> None:
    assert [row for _, row in records(b"<r><item><item>inner</item></item></r>", "item", "a.xml")] == [
        {"item": "inner"}
    ]


@pytest.mark.parametrize("told", [ENTITY, FILE], ids=["entities", "a file"])
def test_a_document_type_is_refused_and_nothing_is_drawn_in(told: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"a\.xml has a document type of its own"):
        list(records(told, "item", "a.xml"))
    with pytest.raises(UnreadableError, match=r"a\.xml has a document type of its own"):
        markup(told, "a.xml")


def test_what_is_broken_is_named_by_line_and_column_after_what_came_before_it() -> None:
    walk = records(b"<r>\n<item>1</item>\n<item>2</itm>\n</r>", "item", "a.xml")
    assert next(walk) == (2, {"#text": "1"})
    with pytest.raises(UnreadableError, match=r"a.xml is no XML .*line 3"):
        list(walk)
    with pytest.raises(UnreadableError, match=r"line 1, column"):
        markup(b"<r", "a.xml")


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(UnreadableError, match=re.compile("nested deeper|excessive depth|depth", re.IGNORECASE)):
        list(records(b"<r><item>" + b"<a>" * 200 + b"</a>" * 200 + b"</item></r>", "item", "a.xml"))


def test_texts_are_those_of_the_children_by_their_local_name() -> None:
    assert texts(markup(b"<r xmlns='urn:s3'><Key>a</Key><x><Key>b</Key></x><Key/></r>", "a list"), "Key") == ["a", ""]


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda tail: b"<r><item>1</item>" + tail))
def test_any_bytes_are_read_or_refused(told: bytes) -> None:
    with suppress(UnreadableError):
        list(records(told, "item", "a.xml"))
