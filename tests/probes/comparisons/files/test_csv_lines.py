"""Choosing lines of delimited text: what is left out is the same, whole and unique on every side; what is picked keeps its line."""

from __future__ import annotations

import gzip
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.comparisons.files import Result, compare_files
from probes.comparisons.files.csv_lines import Hashed, hash_lines, pick_lines
from probes.comparisons.files.encoding import as_utf8, magic
from probes.comparisons.files.tables import BLANKS, Desk
from rules.comparison.numbers import Mark, NumberError, parse_number

KEYS = st.sampled_from(["A", "B", "C", "D", '"E"', '""', "", " A", "A ", "\u00e9"])
CELLS = st.sampled_from(["0", "1", "2", "-5", "+1", "01", "1.5", "1e0", "-0", "x", "", '"1"', "99999999999999999999"])
LINES = st.tuples(KEYS, CELLS).map(",".join)


def picked(folder: Path, texts: Sequence[str]) -> list[tuple[list[str], list[int], list[str]]] | None:
    """Of each text its rows, the numbers of those that are to be looked at, and these as they stand in the file of their own."""
    con = duckdb.connect()
    sides: list[Hashed] = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.csv"
        path.write_bytes(b"sku,qty\n" + text.encode())
        desk = Desk(con, folder, number, ("sku",), ("qty",), lambda _what, _rows: None)
        side = hash_lines(desk, as_utf8(path, "text", folder / f"{number}.txt"), ["sku", "qty"], fewest=0)
        if side is None:
            return None
        sides.append(side)
    found = pick_lines(con, sides)
    assert found is not None
    return [
        (text.splitlines(), list(one.numbers), one.plain.path.read_text().splitlines()[1:])
        for text, one in zip(texts, found[1], strict=True)
    ]


def is_whole(line: str) -> bool:
    """Whether a row can be read: it has a key without blanks around it, and a number."""
    key, _, value = line.replace('"', "").partition(",")
    try:
        parse_number(value, Mark.UNKNOWN)
    except NumberError:
        return False
    return bool(key) and key == key.strip(BLANKS)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(LINES, max_size=8), st.lists(LINES, max_size=3), st.lists(st.tuples(st.integers(0, 2), LINES), max_size=4)
)
def test_what_is_left_out_is_the_same_whole_and_unique_on_every_side(
    shared: list[str], twice: list[str], own: list[tuple[int, str]]
) -> None:
    plain = [f"P{number},{number}" for number in range(100)]  # so that the files begin plainly
    texts = [
        "".join(f"{line}\n" for line in [*plain, *shared, *twice, *twice, *(row for at, row in own if at == number)])
        for number in range(3)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = picked(Path(folder), texts)
    if found is None:
        return
    left = []
    for lines, numbers, kept in found:
        assert kept == [lines[number] for number in numbers]
        left.append([line for number, line in enumerate(lines) if number not in set(numbers)])
    assert Counter(left[0]) == Counter(left[1]) == Counter(left[2])
    assert all(is_whole(line) for line in left[0])
    keys = Counter(line.replace('"', "").partition(",")[0] for line in left[0])
    assert set(keys.values()) <= {1}
    for lines, numbers, _ in found:
        assert not {lines[number].replace('"', "").partition(",")[0].strip(BLANKS) for number in numbers} & keys.keys()


def test_of_plain_files_the_lines_that_differ_are_picked_and_few_others(tmp_path: Path) -> None:
    lines = [f"S{number},{number % 7}" for number in range(5000)]
    other = [*lines[:1000], "S1000,99", *lines[1001:4000], *lines[4001:]]
    found = picked(tmp_path, ["\n".join(lines), "\n".join(other) + "\n"])
    assert found is not None
    assert {1000, 4000} <= set(found[0][1])
    assert 1000 in found[1][1]
    assert all(len(numbers) < 20 for _, numbers, _ in found)


@pytest.mark.parametrize(
    "text", ["A,1\n\nB,2\n", 'A,1\n"B\nC",2\n', "A,1\nB\n", "A,1\rB,2\n", 'A,1\n"B"x,2\n', " A,1\nB,2\n"]
)
def test_a_file_of_which_not_every_line_is_a_row_beyond_doubt_is_looked_at_as_a_whole(
    tmp_path: Path, text: str
) -> None:
    assert picked(tmp_path, [text, "A,1\nB,2\n"]) is None


def test_lines_that_are_read_in_two_pieces_are_kept_whole(tmp_path: Path) -> None:
    wide = [f"{letter * 1_500_000},1" for letter in "TUVWXYZ"]
    found = picked(tmp_path, ["\n".join(["A,1", *wide]), "\n".join(["A,1", *(f"{line}2" for line in wide), ""])])
    assert found is not None
    assert found[0][2] == wide
    assert found[1][2] == [f"{line}2" for line in wide]


def as_it_is(text: str) -> bytes:
    return text.encode()


def with_returns(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def with_mark(text: str) -> bytes:
    return b"\xef\xbb\xbf" + text.encode()


def packed(text: str) -> bytes:
    return gzip.compress(text.encode())


@pytest.mark.parametrize("written", [as_it_is, with_returns, with_mark, packed])
@pytest.mark.parametrize("place", ["NY", "New York"])
def test_of_large_files_every_trouble_is_told_by_its_line(
    tmp_path: Path, place: str, written: Callable[[str], bytes]
) -> None:
    rows = [[f"S{number:06}", place, str(number % 50)] for number in range(100_000)]
    rows[70_000][2] = "many"  # on every side
    rows[80_000][0] = ""
    sides = [[list(row) for row in rows] for _ in range(3)]
    sides[1][40_000][2] = ""
    sides[1][50_000][0] = ""
    sides[2][60_000][2] = "999"
    sides[2][61_000][2] = "0.0"  # the same number, written otherwise
    del sides[0][99_000]
    files = []
    for number, side in enumerate(sides):
        files.append(tmp_path / f"{'abc'[number]}.csv")
        files[-1].write_bytes(written("\n".join(["sku,location,qty", *(",".join(row) for row in side)]) + "\n"))
    found = compare_files(files, ["sku", "location"], ["qty"])
    assert told(found) == told(compare_files(parquet(files, tmp_path), ["sku", "location"], ["qty"]))
    assert [sorted(row.line or 0 for row in source.bad_samples) for source in found.sources] == [
        [70_002, 80_002],
        [40_002, 50_002, 70_002, 80_002],
        [70_002, 80_002],
    ]
    assert [source.rows for source in found.sources] == [99_999, 100_000, 100_000]
    assert {difference.key[0] for difference in found.differences} == {
        "S040000",
        "S050000",
        "S060000",
        "S070000",
        "S099000",
    }


def parquet(files: Sequence[Path], folder: Path) -> list[Path]:
    """The same files as Parquet, every column text."""
    made = []
    for path in files:
        plain = as_utf8(path, magic(path), folder / "plain.txt")
        made.append(folder / f"{path.stem}.parquet")
        duckdb.sql(f"COPY (FROM read_csv('{plain.path}', all_varchar=true, nullstr='\x01')) TO '{made[-1]}'")
    return made


def told(result: Result) -> object:
    """What a result says of the keys."""
    sources = [(source.rows, source.bad_rows, source.duplicate_keys) for source in result.sources]
    return (sources, result.key_count, result.agree, result.kinds, result.missing, result.differences)
