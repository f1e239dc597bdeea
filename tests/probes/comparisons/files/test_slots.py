"""Choosing the rows that may differ: never too few, whatever the rows; and on large files the same answer as looking at all of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.comparisons.files import compare_files
from probes.comparisons.files.slots import Columns, choose, factors
from probes.comparisons.files.tables import BLANKS

SKUS = st.sampled_from(["A", "B", "C", "", " A", "A ", "A\t", "\u00a0A", "7", "é"]) | st.none()
ROWS = st.tuples(SKUS, st.sampled_from(["W1", "W2"]), st.sampled_from([0, 1, 2, -5, 2**62]) | st.none())
Row = tuple[Any, ...]


def side(con: duckdb.DuckDBPyConnection, name: str, rows: list[Row], kind: str = "INTEGER") -> Columns:
    kind = "BIGINT" if any(row[2] is not None and abs(row[2]) >= 2**31 for row in rows) else kind
    con.execute(f"CREATE OR REPLACE TABLE {name} (file_row_number BIGINT, sku VARCHAR, place VARCHAR, n {kind})")
    for number, row in enumerate(rows):
        con.execute(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", [number, *row])  # noqa: S608
    return Columns(name, (("sku", "VARCHAR"), ("place", "VARCHAR")), (("n", kind),))


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=8), st.lists(ROWS, max_size=3), st.lists(st.tuples(st.integers(0, 2), ROWS), max_size=4))
def test_what_is_left_out_is_unique_whole_and_the_same_on_every_side(
    shared: list[Row], twice: list[Row], own: list[tuple[int, Row]]
) -> None:
    every = [[*shared, *twice, *twice, *(row for at, row in own if at == number)] for number in range(3)]
    with duckdb.connect() as con:
        sides = [side(con, f"s{number}", rows) for number, rows in enumerate(every)]
        choice = choose(con, sides, fewest=0)
        assert choice is not None
        left = [
            con.execute(f"SELECT sku, place, n FROM s{number} WHERE NOT ({where})").fetchall()  # noqa: S608
            for number, where in enumerate(choice.where)
        ]
    assert len({len(rows) for rows in left}) == 1
    assert choice.rows == tuple(map(len, every))
    assert Counter(left[0]) == Counter(left[1]) == Counter(left[2])
    assert all(count == 1 for count in Counter(row[:2] for row in left[0]).values())
    assert all(sku and sku.strip(BLANKS) == sku and n is not None for sku, _, n in left[0])
    spelled_otherwise = {
        (sku.strip(BLANKS), place) for rows in every for sku, place, _ in rows if sku and sku.strip(BLANKS) != sku
    }
    assert not spelled_otherwise & {row[:2] for row in left[0]}


def test_factors_sum_to_zero_and_no_few_rows_of_one_side_weigh_as_much_as_few_of_another() -> None:
    for sides in range(2, 7):
        found = factors(sides)
        assert sum(found) % 2**64 == 0
        weighed = {count * factor % 2**64 for factor in found for count in range(1, 200)}
        assert len(weighed) == sides * 199


def test_a_number_and_its_text_are_one_key_and_widths_of_numbers_do_not_matter() -> None:
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE a AS SELECT i AS file_row_number, i::INTEGER AS sku, (i % 5)::TINYINT AS n FROM range(100) r(i)"
        )
        con.execute(
            "CREATE TABLE b AS SELECT 99 - i AS file_row_number, i::VARCHAR AS sku, (i % 5)::BIGINT AS n FROM range(100) r(i)"
        )
        choice = choose(
            con,
            [
                Columns("a", (("sku", "INTEGER"),), (("n", "TINYINT"),)),
                Columns("b", (("sku", "VARCHAR"),), (("n", "BIGINT"),)),
            ],
            fewest=0,
        )
        assert choice is not None
        counts = [f"SELECT count(*) FROM {name} WHERE {where}" for name, where in zip("ab", choice.where, strict=True)]  # noqa: S608
        looked_at = [con.execute(count).fetchall()[0][0] for count in counts]
    assert choice.clean(looked_at) == 100


@pytest.mark.parametrize("kind", ["DOUBLE", "DECIMAL(10,2)", "VARCHAR"])
def test_values_that_can_be_written_in_several_ways_are_all_looked_at(kind: str) -> None:
    with duckdb.connect() as con:
        assert choose(con, [Columns("t", (("k", "VARCHAR"),), (("v", kind),))] * 2, fewest=0) is None


@pytest.mark.parametrize(
    ("form", "sku"),
    [
        ("FORMAT parquet", "printf('SKU-%06d', i)"),
        ("FORMAT csv, HEADER", "printf('SKU-%06d', i)"),
        ("FORMAT csv, HEADER, DELIMITER '\t'", "printf('SKU-%06d', i)"),
        ("FORMAT csv, HEADER", "printf('%sSKU-%06d', CASE WHEN i % 1000 = 7 THEN ' ' ELSE '' END, i)"),
        ("FORMAT csv, HEADER", "printf('SKU-%06d%s', i, CASE WHEN i % 1000 = 7 THEN chr(160) ELSE '' END)"),
    ],
    ids=["parquet", "csv", "tabs", "blanks on one side", "wide blanks on one side"],
)
def test_large_files_give_the_answer_that_is_known(tmp_path: Path, form: str, sku: str) -> None:
    files = [tmp_path / f"{name}.{form.split()[1].strip(',')}" for name in ("erp", "wms", "shop")]
    with duckdb.connect() as con:
        for number, path in enumerate(files):
            # the first hundred differ by 9 on one side, the next by 1; fifty are missing on the second, ten are twice on every side
            count = (
                f"i % 50 + (CASE WHEN i < 100 AND {number} = 2 THEN 9 WHEN i < 200 AND {number} = 1 THEN 1 ELSE 0 END)"
            )
            kept = "WHERE i NOT BETWEEN 500 AND 549" if number == 1 else ""
            spelled = sku if number == 1 else "printf('SKU-%06d', i)"
            rows = f"SELECT {spelled} AS sku, 'WH' AS location, ({count})::INTEGER AS on_hand FROM range(100000) r(i) {kept}"  # noqa: S608
            again = rows.replace("range(100000)", "range(99990, 100000)")
            con.execute(f"COPY ({rows} UNION ALL {again} ORDER BY hash(sku, {number})) TO '{path}' ({form})")
    found = compare_files(files, ["sku", "location"], ["on_hand"], "2")
    assert (found.key_count, found.agree, found.differ) == (100_000, 100_000 - 160, 160)
    assert {str(kind): count for kind, count in found.kinds.items() if count} == {
        "value": 100,
        "missing": 50,
        "duplicate": 10,
    }
    assert [source.rows for source in found.sources] == [100_010, 99_960, 100_010]
    assert found.missing == {"erp": 0, "wms": 50, "shop": 0}


@pytest.mark.parametrize("cells", ["'A', ''", "'', ''", "NULL, 'WH'"])
def test_a_key_of_a_large_file_that_is_empty_is_a_bad_row_though_it_is_so_on_every_side(
    tmp_path: Path, cells: str
) -> None:
    files = [tmp_path / f"{name}.csv" for name in ("erp", "wms")]
    with duckdb.connect() as con:
        for path in files:
            rows = f"SELECT 'SKU' || i AS sku, 'WH' AS location, 1 AS on_hand FROM range(120000) r(i) UNION ALL SELECT {cells}, 1"  # noqa: S608
            con.execute(f"COPY ({rows}) TO '{path}' (FORMAT csv, HEADER)")
    found = compare_files(files, ["sku", "location"], ["on_hand"])
    assert [source.bad_rows for source in found.sources] == [1, 1]
    assert found.agree == 120_000
