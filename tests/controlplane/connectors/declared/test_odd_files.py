"""Files as partners really send them: each record is read as it was meant or waits by itself, and no neighbour is lost in silence."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from controlplane.connectors.contract import Record
from controlplane.connectors.declared import forms
from controlplane.errors import BadInputError, UnreadableError
from tests.controlplane.connectors.declared.test_declared import polled
from tests.controlplane.connectors.declared.test_sql_and_files import files, stock_files

COLUMNS = [{"name": "sku", "at": 1, "length": 6}, {"name": "title", "at": 7, "length": 10}]


def records(folder: Path, content: bytes, **read: Any) -> list[dict[str, Any]]:
    """What comes of a file once it has stopped growing."""
    how = {"pattern": "*.x", **read}
    (folder / "stock_1.x").write_bytes(content)
    connector = stock_files(folder, **how)
    _, cursor = polled(connector, "stock")
    found: list[Record] = polled(connector, "stock", cursor)[0]
    return [json.loads(one.body) for one in found]


def fields(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(one.get(name) for name in names) for one in found]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"])
def test_what_unicode_takes_for_the_end_of_a_line_ends_none(tmp_path: Path, mark: str) -> None:
    line = json.dumps({"sku": "A1", "title": f"a{mark}b"}, ensure_ascii=False)
    if mark in "\u2028\u2029\x85":  # the others are no JSON as they are
        assert (
            fields(records(tmp_path, f"{line}\r\n{line}\n".encode(), form="json_lines"), "title")
            == [(f"a{mark}b",)] * 2
        )
    text = f"A1    a{mark}b\nA2    c\n".encode()
    assert fields(records(tmp_path, text, form="fixed", columns=COLUMNS), "sku", "title") == [
        ("A1", f"a{mark}b"),
        ("A2", "c"),
    ]


def test_a_line_of_json_that_says_one_thing_twice_or_is_no_number_waits_by_itself(tmp_path: Path) -> None:
    lines = ['{"sku": "A1", "sku": "A2"}', '{"sku": "A1", "count": NaN}', '{"sku": "A3", "count": 3}']
    found = records(tmp_path, "\n".join(lines).encode(), form="json_lines")
    assert ["_broken" in one for one in found] == [True, True, False]
    assert "the key 'sku' stands twice" in found[0]["_broken"]
    assert "NaN is not JSON" in found[1]["_broken"]


def test_a_record_says_nothing_of_where_it_stands(tmp_path: Path) -> None:
    line = json.dumps({"_at": "x", "sku": "A1"})
    found = records(tmp_path, f"{line}\n{line}\n".encode(), form="json_lines")
    assert fields(found, "_at") == [("stock_1.x:1",), ("stock_1.x:2",)], "two equal lines are two records"


def test_a_quote_that_is_never_closed_swallows_no_line_in_silence(tmp_path: Path) -> None:
    (tmp_path / "stock_1.csv").write_text('sku,title\nA1,Cap\nA2,"12 inch\nA3,Hat\nA4,Tie\n')
    connector = stock_files(tmp_path, form="csv", pattern="*.csv", delimiter=",")
    _, cursor = polled(connector, "stock")
    with pytest.raises(UnreadableError, match=r"theirs: stock_1.csv is no CSV from line 3 on: unexpected end of data"):
        polled(connector, "stock", cursor)


def test_a_line_with_text_behind_its_quote_waits_by_itself(tmp_path: Path) -> None:
    text = 'sku,title\nA1,"Cap" red\nA2,"a ""b"", c"\nA3,12" screen\n"A4","two\nlines"\n'
    found = records(tmp_path, text.encode(), form="csv", delimiter=",")
    assert (found[0]["_at"], "_broken" in found[0], found[0]["line"]) == ("stock_1.x:2", True, 'A1,"Cap" red\n')
    assert fields(found[1:], "sku", "title") == [("A2", 'a "b", c'), ("A3", '12" screen'), ("A4", "two\nlines")]
    with pytest.raises(BadInputError, match=r"stock_1.x:2: it is no CSV"):
        stock_files(tmp_path, form="csv", pattern="*.x", delimiter=",").translate(
            "stock", json.dumps(found[0]).encode()
        )


@pytest.mark.parametrize("form", ["csv", "excel"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, form: str) -> None:
    content = b"sku,count,count\nA1,5,7\n" if form == "csv" else sheet(["sku", "count", "count"], ["A1", 5, 7])
    with pytest.raises(UnreadableError, match="has two columns 'count', and which one is meant cannot be known"):
        records(tmp_path, content, form=form)


def test_columns_without_a_name_may_be_several(tmp_path: Path) -> None:
    assert fields(records(tmp_path, b"sku,count,,\nA1,5,,\n", form="csv", delimiter=","), "sku", "count") == [
        ("A1", "5")
    ]


def test_a_comment_within_a_text_of_xml_divides_it_not(tmp_path: Path) -> None:
    text = b"<stock><item><sku>A<!-- old: B -->1</sku><title><![CDATA[a <b>]]> c<?x y?>d</title></item></stock>"
    assert fields(records(tmp_path, text, form="xml", record="item"), "sku", "title") == [("A1", "a <b> cd")]


def sheet(*rows: list[Any]) -> bytes:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(written := io.BytesIO())
    return written.getvalue()


def damaged(content: bytes, member: str, change: Any) -> bytes:
    """The archive with one member changed."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.namelist():
            new.writestr(one, change(old.read(one)) if one == member else old.read(one))
    return written.getvalue()


def test_a_spreadsheet_that_breaks_off_in_the_middle_is_unreadable_by_its_name(tmp_path: Path) -> None:
    whole = sheet(["sku", "count"], *(["A1", n] for n in range(50)))
    half = damaged(whole, "xl/worksheets/sheet1.xml", lambda text: text[: len(text) // 2])
    with pytest.raises(
        UnreadableError, match=r"theirs: stock_1.x is no spreadsheet that can be read: .*; send it again"
    ):
        records(tmp_path, half, form="excel")


def test_a_spreadsheet_that_unpacks_to_more_than_is_read_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "UNPACKED", 2**20)
    bomb = damaged(sheet(["sku"], ["A1"]), "docProps/app.xml", lambda text: text + b" " * 2**21)
    assert len(bomb) < 2**16
    with pytest.raises(UnreadableError, match=r"unpacks to \d+ bytes, and 1048576 are read"):
        records(tmp_path, bomb, form="excel")


def test_cells_that_are_no_text_are_read_as_they_are_shown(tmp_path: Path) -> None:
    found = records(tmp_path, sheet(["sku", "count", "title"], ["A1", 5.0, True], [7, "=1+1", "#N/A"]), form="excel")
    assert fields(found, "sku", "count", "title") == [("A1", 5, True), (7, None, "#N/A")]


def test_a_scaffolds_file_with_a_byte_order_mark_and_blank_lines_is_read(tmp_path: Path) -> None:
    text = "store;receipt;line;article;pieces;price;sold_at\r\n\r\nS1;R1;1;A1;2;9.90;2026-11-27T05:00:00\r\n;;;;;;\r\n"
    (tmp_path / "sales_1.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    _, cursor = polled(files(tmp_path), "sales")
    assert len(polled(files(tmp_path), "sales", cursor)[0]) == 1
