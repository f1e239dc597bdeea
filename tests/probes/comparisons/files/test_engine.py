"""The engine against the verdict, and the fast reader against the exact one, on random tables."""

import csv
import io
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.comparisons.files import compare_files
from probes.comparisons.files import csv_reader as reader
from probes.comparisons.files.columns import locate
from probes.comparisons.files.dialect import sniff
from probes.comparisons.files.encoding import as_utf8
from probes.comparisons.files.tables import Desk
from probes.comparisons.files.values import _PLAIN
from rules.comparison.numbers import Mark, NumberError, parse_number
from rules.comparison.verdict import Kind, Side, State, judge, state_of

VALUES = ["0", "1", "2", "-0", "1.5", "1e0", "3", "x", ""]
TABLE = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from("12"), st.sampled_from(VALUES)), max_size=8)
Rows = Sequence[tuple[str, str, str]]


def expected(tables: Sequence[Rows], tolerance: Decimal) -> dict[tuple[str, str], Kind]:
    """Every key judged one by one, without any database."""
    keys = {row[:2] for table in tables for row in table}
    return {key: judge([side(table, key) for table in tables], tolerance).kind for key in keys}


def side(table: Rows, key: tuple[str, str]) -> Side:
    read: dict[bool, list[Decimal]] = defaultdict(list)
    for *found, text in table:
        if tuple(found) == key:
            try:
                read[True].append(parse_number(text, Mark.DOT))
            except NumberError:
                read[False].append(Decimal(0))
    state = state_of(len(read[True]) + len(read[False]), len(read[False]))
    return Side(state, tuple(read[True]) if state is State.PRESENT else ())


def save(folder: str, name: str, table: Rows) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([("sku", "loc", "qty"), *table])
    path = Path(folder) / name
    path.write_text(text.getvalue())
    return path


@settings(max_examples=40, deadline=None)
@given(st.lists(TABLE, min_size=2, max_size=3), st.sampled_from(["0", "0.5", "1", "1e30"]))
def test_the_engine_comes_to_the_verdict_of_every_key(tables: list[Rows], tolerance: str) -> None:
    kinds = expected(tables, Decimal(tolerance))
    if not kinds:
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = [save(folder, f"{i}.csv", table) for i, table in enumerate(tables)]
        result = compare_files(paths, ["sku", "loc"], ["qty"], tolerance)
    differing = {key: kind for key, kind in kinds.items() if kind is not Kind.AGREE}
    assert {difference.key: difference.kind for difference in result.differences} == differing
    assert (result.key_count, result.agree) == (len(kinds), len(kinds) - len(differing))
    assert sum(result.kinds.values()) == result.differ == len(differing)
    gaps = [difference.gap for difference in result.differences]
    assert gaps == sorted(gaps, reverse=True)


def loaded(folder: Path, path: Path, fast: bool) -> list[tuple[str, ...]] | None:
    con = duckdb.connect()
    scratch = folder / str(fast)
    scratch.mkdir()
    desk = Desk(con, scratch, 0, ("sku",), ("qty",), lambda _what, _rows: None)
    plain = as_utf8(path, "text", scratch / "0.txt")
    dialect = sniff(plain.path, ["sku", "qty"])
    found = locate(["sku", "qty"], dialect.header)
    if fast and not reader._load_fast(desk, plain, dialect, found):
        return None
    if not fast:
        reader._load_exact(desk, plain.path, dialect, found)
    return con.execute("SELECT k0, coalesce(t0, '') FROM raw_0 WHERE trouble IS NULL ORDER BY ordinal").fetchall()


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='A1 ,"\n\r\t;é', max_size=30))
def test_whatever_the_fast_reader_takes_the_exact_one_reads_alike(body: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "a.csv"
        path.write_bytes(b"sku,qty,note\nA,1,\n" + body.encode())
        fast = loaded(folder, path, fast=True)
        if fast is not None:
            exact = loaded(folder, path, fast=False)
            assert exact is not None
            assert [(k, t.strip()) for k, t in fast] == [(k, t.strip()) for k, t in exact]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="0123456789.,+-eE '", max_size=8), min_size=1), st.sampled_from(list(Mark)))
def test_what_the_database_casts_the_number_reader_reads_alike(texts: list[str], mark: Mark) -> None:
    con = duckdb.connect()
    for text in texts:
        plain = text.replace(",", ".") if mark is Mark.COMMA else text
        (cast,) = con.execute(
            "SELECT CASE WHEN regexp_full_match($1, $2) THEN CAST($3 AS DECIMAL(38,18)) END",
            [text, _PLAIN[mark], plain],
        ).fetchone() or (None,)
        if cast is not None:
            assert parse_number(text, mark) == cast


def test_a_bound_on_the_differences_keeps_the_worst_and_says_so(tmp_path: Path) -> None:
    a = save(str(tmp_path), "a.csv", [(str(i), "1", "0") for i in range(50)])
    b = save(str(tmp_path), "b.csv", [(str(i), "1", str(i)) for i in range(50)])
    result = compare_files([a, b], ["sku", "loc"], ["qty"], limit=3)
    assert [difference.key[0] for difference in result.differences] == ["49", "48", "47"]
    assert (result.truncated, result.differ) == (True, 49)
    assert compare_files([a, b], ["sku", "loc"], ["qty"], limit=49).truncated is False


def test_it_works_within_a_small_memory_limit(tmp_path: Path) -> None:
    rows = [(f"SKU{i}", "1", str(i)) for i in range(20_000)]
    a, b = save(str(tmp_path), "a.csv", rows), save(str(tmp_path), "b.csv", rows)
    assert compare_files([a, b], ["sku", "loc"], ["qty"], memory_limit="200MB").agree == 20_000
