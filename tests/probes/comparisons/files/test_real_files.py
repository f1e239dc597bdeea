"""Files as systems really export them."""

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from probes.comparisons.files import CouldNotCompare, compare_files
from tests.probes.comparisons.conftest import Compare, Write

PLAIN = "sku,qty\n00123,5\n1E5,6\n2024-01-02,7\n1-2,8\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"\xef\xbb\xbf" + PLAIN.encode(), "UTF-8 with BOM"),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (PLAIN.encode("utf-16-be"), "UTF-16"),
        (PLAIN.replace(",", ";").encode(), "UTF-8"),
        (PLAIN.replace(",", "\t").encode(), "UTF-8"),
        (PLAIN.replace(",", "|").replace("\n", "\r\n").encode(), "UTF-8"),
        (PLAIN.replace("\n", "\r").encode(), "UTF-8"),
        (("sep=;\n" + PLAIN.replace(",", ";")).encode(), "UTF-8"),
        (PLAIN.replace("\n", "\n\n").encode(), "UTF-8"),
        ((PLAIN + ",\n , \n").encode(), "UTF-8"),
        (PLAIN.rstrip().encode(), "UTF-8"),
        (PLAIN.replace("\n", ",\n").replace("qty,", "qty").encode(), "UTF-8"),
        (PLAIN.replace("sku,qty", "\n SKU , Qty").encode(), "UTF-8"),
        (PLAIN.replace("00123", '" 00123 "').encode(), "UTF-8"),
    ],
)
def test_the_same_rows_agree_however_they_are_written(
    write: Write, stock: Compare, content: bytes, encoding: str
) -> None:
    result = stock(write("a.csv", PLAIN), write("b.csv", content))
    assert result.agrees
    assert result.agree == 4
    assert [source.rows for source in result.sources] == [4, 4]
    assert result.sources[1].encoding == encoding


def test_keys_stay_text_and_are_never_numbers_or_dates(write: Write, stock: Compare) -> None:
    result = stock(write("a.csv", PLAIN), write("b.csv", "sku,qty\n123,5\n100000,6\n2024-1-2,7\n12,8\n"))
    assert (result.agree, result.key_count) == (0, 8)


def test_gzip_and_latin_1_are_read_and_said(write: Write, stock: Compare) -> None:
    text = "sku,qty\nété,5\n"
    result = stock(write("a.csv.gz", gzip.compress(text.encode())), write("b.csv", text.encode("latin-1")))
    assert result.agrees
    assert [source.name for source in result.sources] == ["a", "b"]
    assert result.sources[1].encoding == "latin-1"
    assert "read as latin-1" in result.sources[1].notes[0]


def test_quoted_newlines_and_delimiters_belong_to_the_key(write: Write, stock: Compare) -> None:
    text = 'sku,qty\n"a\nb, ""c""",5\nplain 5" pipe,6\n'
    result = stock(write("a.csv", text), write("b.csv", text.replace("6", "7")), write("c.csv", text))
    assert (result.agree, result.differ) == (1, 1)
    assert result.differences[0].key == ('plain 5" pipe',)


def test_decimal_commas_and_thousands_are_exact(write: Write, stock: Compare) -> None:
    a = write("a.csv", "sku;qty\nA;1.234,56\nB;1,5\nC;2.000\nD;0,1\n")
    b = write("b.csv", 'sku,qty\nA,"1,234.56"\nB,1.50\nC,2000\nD,1e-1\n')
    result = stock(a, b)
    assert result.agrees
    assert "decimal comma" in result.sources[0].notes


def test_an_ambiguous_number_is_a_bad_row_until_the_mark_is_named(write: Write, stock: Compare) -> None:
    a, b = write("a.csv", "sku;qty\nA;1,234\n"), write("b.csv", "sku,qty\nA,1234\n")
    result = stock(a, b)
    assert (result.agree, result.sources[0].bad_rows, result.differences[0].kind) == (0, 1, "bad")
    assert "--decimal" in result.sources[0].bad_samples[0].reason
    assert stock(a, b, decimals=["a=."]).agrees
    assert not stock(a, b, decimals=["a.csv=,"]).agrees


def test_duplicate_keys_are_counted_and_never_summed(write: Write, stock: Compare) -> None:
    result = stock(write("a.csv", "sku,qty\nA,2\nA ,3\nB,1\n"), write("b.csv", "sku,qty\nA,5\nB,1\n"))
    assert (result.agree, result.differ, result.sources[0].duplicate_keys) == (1, 1, 1)
    assert result.as_json()["differences"] == [
        {"key": {"sku": "A"}, "values": {"a": None, "b": 5}, "kind": "duplicate"}
    ]


@pytest.mark.parametrize("blank_line", ["", "\n"])
def test_bad_rows_are_named_by_line_and_never_agree(write: Write, stock: Compare, blank_line: str) -> None:
    a = write("a.csv", f'sku,qty,note\nA,5,"x\ny"\n{blank_line}B,,\nC,n/a,\nD,4,\n')
    b = write("b.csv", "sku,qty\nA,5\nB,0\nC,1\nD,4\n")
    result = stock(a, b)
    assert (result.agree, result.kinds["bad"], result.sources[0].bad_rows) == (2, 2, 2)
    first = 4 + len(blank_line)
    assert [row.line for row in result.sources[0].bad_samples] == [first, first + 1]
    assert "blank is never 0" in result.sources[0].bad_samples[0].reason


def test_ragged_rows_and_blank_keys_are_bad_and_their_neighbours_are_not(write: Write, stock: Compare) -> None:
    a = write("a.csv", 'sku,qty,note\nA,5,\nB,6\nC,7,x,y\n,8,\nD,"9"z,\nE,1,\n')
    b = write("b.csv", "sku,qty\nA,5\nB,6\nC,7\nD,9\nE,1\n")
    result = stock(a, b)
    assert [row.line for row in result.sources[0].bad_samples] == [3, 4, 5, 6]
    assert {d.key[0]: d.kind for d in result.differences} == {"B": "bad", "C": "bad", "D": "missing"}
    assert result.agree == 2


def test_an_unreadable_row_without_a_key_keeps_the_files_from_agreeing(write: Write, stock: Compare) -> None:
    result = stock(write("a.csv", "sku,qty\nA,5\n,6\n"), write("b.csv", "sku,qty\nA,5\n"))
    assert (result.differ, result.agrees) == (0, False)


def test_json_lines_keep_the_digits_that_are_written(write: Write, stock: Compare) -> None:
    a = write(
        "a.jsonl", '{"sku":"A","qty":0.1000000000000000055}\n{"sku":12,"qty":"1.5"}\n\n[1]\n{"sku":"B","qty":true}\n'
    )
    b = write("b.csv", "sku,qty\nA,0.1\n12,1.5\nB,1\n")
    result = stock(a, b)
    assert (result.agree, result.sources[0].bad_rows, result.sources[0].rows) == (1, 3, 4)


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    "qty",
    [
        pa.array([5, 6], pa.int32()),
        pa.array([5, 6], pa.uint64()),
        pa.array([5.0, 6.0]),
        pa.array([5.0, 6.0], pa.float32()),
        pa.array([Decimal("5.00"), Decimal("6.00")], pa.decimal128(12, 2)),
        pa.array(["5", "6,0"]),
        pa.array(["5", "6"]).dictionary_encode(),
    ],
)
def test_parquet_numbers_of_every_type_are_compared_exactly(
    tmp_path: Path, write: Write, stock: Compare, qty: pa.Array
) -> None:
    path = parquet(tmp_path / "a.parquet", sku=pa.array(["A", "B"]).dictionary_encode(), qty=qty)
    assert stock(path, write("b.csv", "sku,qty\nA,5\nB,6\n")).agrees


@pytest.mark.parametrize(
    ("keys", "texts"),
    [
        (pa.array([123, 7]), ["123", "7"]),
        (pa.array([123.0, 7.5]), ["123", "7.5"]),
        (pa.array([dt.date(2024, 1, 2), dt.date(2024, 1, 3)]), ["2024-01-02", "2024-01-03"]),
        (pa.array([b"A", b"B"]), ["A", "B"]),
        (
            pa.array([dt.datetime(2024, 1, 2, tzinfo=dt.UTC), dt.datetime(2024, 1, 3, tzinfo=dt.UTC)]),
            ["2024-01-02 00:00:00+00", "2024-01-03 00:00:00+00"],
        ),
    ],
)
def test_parquet_keys_become_text(
    tmp_path: Path, write: Write, stock: Compare, keys: pa.Array, texts: list[str]
) -> None:
    path = parquet(tmp_path / "a.parquet", sku=keys, qty=[1, 2])
    assert stock(path, write("b.csv", f"sku,qty\n{texts[0]},1\n{texts[1]},2\n")).agrees


def test_a_float_that_is_no_number_is_a_bad_row(tmp_path: Path, write: Write, stock: Compare) -> None:
    path = parquet(tmp_path / "a.parquet", sku=["A", "B", None], qty=[float("nan"), 0.1, 1.0])
    result = stock(path, write("b.csv", "sku,qty\nA,0\nB,0.1\n"))
    assert (result.agree, result.sources[0].bad_rows) == (1, 2)
    assert [row.line for row in result.sources[0].bad_samples] == [1, 3]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint32(), pa.int64()])
def test_a_whole_number_that_is_not_there_is_a_bad_row_though_it_is_so_on_every_side(
    tmp_path: Path, stock: Compare, kind: pa.DataType
) -> None:
    sides = [
        parquet(tmp_path / f"{name}.parquet", sku=["A", "B", "C"], qty=pa.array([1, None, count], kind))
        for name, count in (("a", 3), ("b", 100))
    ]
    result = stock(*sides)
    assert [source.bad_rows for source in result.sources] == [1, 1]
    assert [row.line for row in result.sources[0].bad_samples] == [2]
    assert (result.agree, [difference.key for difference in result.differences]) == (1, [("C",), ("B",)])


def test_a_side_of_no_rows_misses_every_key(write: Write, stock: Compare) -> None:
    result = stock(write("a.csv", "sku,qty\nA,5\n"), write("b.csv", "sku,qty\n"))
    assert (result.missing, result.differ) == ({"a": 0, "b": 1}, 1)
    assert "no rows" in result.sources[1].notes[0]


def test_the_same_file_twice_agrees_under_two_names(write: Write, stock: Compare) -> None:
    path = write("we[1]rd*.csv", PLAIN)
    result = stock(path, path)
    assert result.agrees
    assert [source.name for source in result.sources] == ["we[1]rd*", "we[1]rd*-2"]


def test_columns_may_be_called_otherwise_in_one_file(write: Write, stock: Compare) -> None:
    result = stock(
        write("a.csv", PLAIN), write("shop.csv", PLAIN.replace("sku", "variant_sku")), maps=["shop.csv:sku=variant_sku"]
    )
    assert result.agrees


def test_several_values_are_shown_by_column(write: Write, stock: Compare) -> None:
    a, b = write("a.csv", "sku,q,r\nA,1,2\nB,1,2\n"), write("b.csv", "sku,q,r\nA,1,2.5\nB,1,2\n")
    result = stock(a, b, values=["q", "r"])
    assert result.agree == 1
    assert result.as_json()["differences"][0]["values"] == {"a": {"q": 1, "r": 2}, "b": {"q": 1, "r": 2.5}}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("b.csv", "", "is empty"),
        ("b.csv", "\n \n", "is empty"),
        ("b.csv", "sku,quantity\nA,1\n", "has no column 'qty'; did you mean 'quantity'"),
        ("b.csv", "SKU,sku ,qty\nA,B,1\n", "ambiguous"),
        ("b.csv", "sku,sku,qty\nA,B,1\n", "ambiguous"),
        ("b.csv", 'sku,qty\nA,1\nB,"2\nC,3\n', "line 3: a quote is opened"),
        ("b.csv", b"sku,qty\nA\0,1\n", "no text"),
        ("b.csv", b"PK\x03\x04rest", "Excel"),
        ("b.csv.gz", gzip.compress(PLAIN.encode(), mtime=0)[:-9], "truncated gzip"),
        ("b.csv", PLAIN.encode("utf-16")[:-1], "not valid"),
        ("b.parquet", b"", "Parquet"),
        ("b.parquet", b"PAR1garbage", "damaged or truncated Parquet"),
        ("b.json", '[{"sku":"A","qty":1}]', "JSON array"),
        ("b.jsonl", "", "no JSON object"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(
    write: Write, stock: Compare, name: str, content: str | bytes, says: str
) -> None:
    with pytest.raises(CouldNotCompare, match=says) as caught:
        stock(write("a.csv", PLAIN), write(name, content))
    assert len(caught.value.problems) == 1
    assert name in caught.value.problems[0]


def test_a_parquet_file_cut_short_is_refused(tmp_path: Path, write: Write, stock: Compare) -> None:
    whole = parquet(tmp_path / "whole.parquet", sku=[str(i) for i in range(1000)], qty=list(range(1000))).read_bytes()
    with pytest.raises(CouldNotCompare, match=r"cut\.parquet: is a damaged or truncated Parquet file"):
        stock(write("a.csv", PLAIN), write("cut.parquet", whole[: len(whole) // 2]))


def test_a_value_column_of_dates_is_refused(tmp_path: Path, write: Write, stock: Compare) -> None:
    path = parquet(tmp_path / "b.parquet", sku=["A"], qty=[dt.date(2024, 1, 2)])
    with pytest.raises(CouldNotCompare, match="'qty' is DATE"):
        stock(write("a.csv", PLAIN), path)


def test_all_files_without_rows_are_no_agreement(write: Write, stock: Compare) -> None:
    with pytest.raises(CouldNotCompare, match="nothing to compare"):
        stock(write("a.csv", "sku,qty\n"), write("b.csv", "sku,qty\n"))


@pytest.mark.parametrize("rows", [3, 200_000])
@pytest.mark.parametrize("when", ["choosing", "reading", "aligning"])
@pytest.mark.parametrize("becomes", ["other rows", "shorter", "gone"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, rows: int, when: str, becomes: str) -> None:
    """It is read more than once, and lines are found again by their number: rows of two states would be mixed."""
    lines = ["sku,qty\n", *(f"A{n},{n}\n" for n in range(rows))]
    paths = [tmp_path / "erp.csv", tmp_path / "wms.csv"]
    for path in paths:
        path.write_text("".join(lines))
    paths[1].write_text("".join([*lines[:-1], "Z,1\n"]))

    def changing(_step: int, what: str) -> None:
        if what.startswith(when) and paths[0].exists():
            if becomes == "gone":
                paths[0].unlink()
            else:
                paths[0].write_text(
                    "".join(["sku,qty\n", "B,1\n", *lines[1:]] if becomes == "other rows" else lines[:2])
                )

    with pytest.raises(CouldNotCompare, match=r"erp\.csv: changed while it was read: compare again once it is whole"):
        compare_files(paths, ["sku"], ["qty"], progress=changing)
