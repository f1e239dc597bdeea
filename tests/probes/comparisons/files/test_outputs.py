"""Every difference as a table for other programs; and rows of text in numbers give the same answer as few of them do."""

import csv
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet
import pytest

from probes.comparisons.answer.problems import CouldNotCompare
from probes.comparisons.files import compare_files
from tests.probes.comparisons.conftest import Compare, Write


def test_every_difference_is_written_with_its_kind_and_what_each_side_shows(
    write: Write, stock: Compare, tmp_path: Path
) -> None:
    erp = write("erp.csv", "sku,qty\nA,5\nB,1\nC,2\nC,2\nD,x\nE,7\n")
    shop = write("shop.csv", "sku,qty\nA,5.5\nC,2\nD,1\nE,7\n")
    target = tmp_path / "all.parquet"
    found = stock(erp, shop, differences=target, limit=1)
    rows = pyarrow.parquet.read_table(target).to_pylist()
    assert len(rows) == found.differ == 4
    assert rows == [
        {"sku": "A", "kind": "value", "erp": "present", "erp.qty": Decimal(5), "shop": "present", "shop.qty": Decimal("5.5")},
        {"sku": "B", "kind": "missing", "erp": "present", "erp.qty": Decimal(1), "shop": "missing", "shop.qty": None},
        {"sku": "C", "kind": "duplicate", "erp": "duplicate", "erp.qty": None, "shop": "present", "shop.qty": Decimal(2)},
        {"sku": "D", "kind": "bad", "erp": "bad", "erp.qty": None, "shop": "present", "shop.qty": Decimal(1)},
    ]  # fmt: skip


def test_a_spreadsheet_finds_no_formula_in_a_key(write: Write, stock: Compare, tmp_path: Path) -> None:
    keys = ["=1+1", "@x", "-5", "-", "+cmd|x", "plain", "\ufeff=2"]
    erp = write("erp.csv", "sku,qty\n" + "".join(f"{key},1\n" for key in keys))
    shop = write("shop.csv", "sku,qty\nother,1\n")
    stock(erp, shop, differences=tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
        seen = {row["sku"] for row in csv.DictReader(file)}
    assert seen == {"'=1+1", "'@x", "-5", "-", "'+cmd|x", "plain", "'\ufeff=2", "other"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("all.txt", "must end in .parquet or .csv"),
        ("none/all.csv", "in a folder that exists"),
        ("erp.csv", "is one of the files that are compared"),
    ],
)
def test_a_target_that_cannot_be_is_refused_before_anything_is_read(
    write: Write, stock: Compare, tmp_path: Path, name: str, reason: str
) -> None:
    erp, shop = write("erp.csv", "sku,qty\nA,1\n"), write("shop.csv", "sku,qty\nA,1\n")
    with pytest.raises(CouldNotCompare, match=reason):
        stock(erp, shop, differences=tmp_path / name)


ROWS = 70_000


@pytest.mark.parametrize("odd", ["", "A7,1e1\n", "A7,\n", "A7,5\nA7,5\n", " A8 ,5\n", "A9,1_0\n", ",5\n"])
def test_many_rows_of_text_give_the_answer_that_aligning_all_of_them_gives(tmp_path: Path, odd: str) -> None:
    files = [tmp_path / f"{name}.csv" for name in ("erp", "wms", "shop")]
    for number, path in enumerate(files):
        rows = [f"B{i},{i % 90 + (3 if i < 40 and number == 1 else 0)}" for i in range(ROWS) if i != 50 + number]
        odd_here = odd if number == 2 else "A8,5\n" if odd else ""
        path.write_text("sku,qty\n" + odd_here + "\n".join(rows[::-1] if number else rows) + "\n", encoding="utf-8")
    found = compare_files(files, ["sku"], ["qty"], "1", limit=200)
    sides = [len(path.read_text(encoding="utf-8").splitlines()) - 1 for path in files]
    assert [source.rows for source in found.sources] == sides
    shown = {(difference.key[0], difference.kind.value) for difference in found.differences}
    expected = {(f"B{i}", "value") for i in range(40)} | {(f"B{50 + number}", "missing") for number in range(3)}
    extra = {
        "A7,1e1\n": {("A7", "missing"), ("A8", "missing")},
        "A7,\n": {("A7", "bad"), ("A8", "missing")},
        "A7,5\nA7,5\n": {("A7", "duplicate"), ("A8", "missing")},
        " A8 ,5\n": set(),
        "A9,1_0\n": {("A9", "bad"), ("A8", "missing")},
        ",5\n": {("A8", "missing")},
        "": set(),
    }[odd]
    assert shown == expected | extra
    assert found.key_count == found.agree + found.differ == ROWS + len(extra) + (odd == " A8 ,5\n")
