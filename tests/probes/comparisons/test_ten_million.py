"""Ten million rows a side: one difference among them, nothing but differences, no key in common, one side empty."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROWS = 10_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet files of ten million rows, of which `here` is one side of all comparisons."""
    made = tmp_path_factory.mktemp("ten-million")
    for name, prefix, quantity, rows in (
        ("here", "S", "i % 997", ROWS),
        ("one", "S", "CASE WHEN i = 7654321 THEN 5000 ELSE i % 997 END", ROWS),
        ("all", "S", "i % 997 + 10", ROWS),
        ("others", "Z", "i % 997", ROWS),
        ("none", "S", "i % 997", 0),
    ):
        sku = f"'{prefix}' || lpad(i::VARCHAR, 9, '0')"
        query = f"SELECT {sku} AS sku, 'WH1' AS location, ({quantity})::BIGINT AS on_hand FROM range({rows}) t(i)"  # noqa: S608
        duckdb.sql(f"COPY ({query}) TO '{made / name}.parquet'")
    return made


@pytest.mark.parametrize(
    ("other", "keys", "differ", "missing"),
    [
        ("one", ROWS, 1, {"here": 0, "one": 0}),
        ("all", ROWS, ROWS, {"here": 0, "all": 0}),
        ("others", 2 * ROWS, 2 * ROWS, {"here": ROWS, "others": ROWS}),
        ("none", ROWS, ROWS, {"here": 0, "none": ROWS}),
    ],
)
def test_every_key_is_counted_however_many_differ(
    folder: Path, other: str, keys: int, differ: int, missing: dict[str, int]
) -> None:
    answer = compared(folder / "here.parquet", folder / f"{other}.parquet")
    assert (answer["keys"], answer["agree"], answer["differ"]) == (keys, keys - differ, differ)
    assert answer["missing"] == missing
    assert answer["truncated"] == (differ > len(answer["differences"]))
    if other == "one":
        [only] = answer["differences"]
        assert only["key"] == {"sku": "S007654321", "location": "WH1"}
        assert only["values"] == {"here": 7654321 % 997, "one": 5000}


def compared(*files: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", "from controlplane.cli import main; main()", "compare", *map(str, files)]
    asked = [*command, "--key", "sku,location", "--value", "on_hand", "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 1, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
