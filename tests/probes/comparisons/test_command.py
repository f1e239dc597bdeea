"""The command as people and scripts meet it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from probes.comparisons.__main__ import app
from tests.probes.comparisons.conftest import Write

KEYS = ["--key", "sku", "--value", "qty"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def agreeing(write: Write) -> list[Path]:
    return [write("erp.csv", "sku,qty\nA,5\n"), write("wms.csv", "sku,qty\nA,5.0\n")]


@pytest.fixture
def differing(write: Write) -> list[Path]:
    return [write("erp.csv", "sku,qty\n<script>alert(1)</script>,5\nB,1\n"), write("wms.csv", "sku,qty\nB,1.25\n")]


def test_agreement_exits_with_0(agreeing: list[Path]) -> None:
    result = run(*agreeing, *KEYS)
    assert result.exit_code == 0
    assert "All 1 keys agree." in result.stdout


def test_difference_exits_with_1_and_json_stands_alone_on_stdout(differing: list[Path]) -> None:
    result = run(*differing, *KEYS, "--json", "--name", "ERP", "--name", "WMS")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "sources": [
            {"name": "ERP", "rows": 2, "duplicate_keys": 0, "bad_rows": 0},
            {"name": "WMS", "rows": 1, "duplicate_keys": 0, "bad_rows": 0},
        ],
        "keys": 2,
        "agree": 0,
        "differ": 2,
        "missing": {"ERP": 0, "WMS": 1},
        "differences": [
            {"key": {"sku": "<script>alert(1)</script>"}, "values": {"ERP": 5, "WMS": None}, "kind": "missing"},
            {"key": {"sku": "B"}, "values": {"ERP": 1, "WMS": 1.25}, "kind": "value"},
        ],
        "truncated": False,
    }


def test_the_tolerance_is_inclusive(differing: list[Path]) -> None:
    kinds = json.loads(run(*differing, *KEYS, "--json", "--tolerance", "0.25").stdout)
    assert (kinds["agree"], kinds["differ"]) == (1, 1)


def test_the_report_is_one_inert_file(tmp_path: Path, differing: list[Path]) -> None:
    target = tmp_path / "report.html"
    assert run(*differing, *KEYS, "--html", target).exit_code == 1
    html = target.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not re.search(r"(src|href)=|url\(|@import|https?:", html)


def test_the_report_never_overwrites_what_is_compared(differing: list[Path]) -> None:
    before = differing[0].read_bytes()
    result = run(*differing, *KEYS, "--html", differing[0])
    assert result.exit_code == 2
    assert "is one of the files that are compared" in result.stderr
    assert differing[0].read_bytes() == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tolerance", "-1"], "--tolerance -1: must be 0 or more"),
        (["--tolerance", "much"], "must be a number"),
        (["--tolerance", "NaN"], "must be 0 or more"),
        (["--limit", "-1"], "--limit -1"),
        (["--name", "one"], "--name is given 1 times for 2 files"),
        (["--map", "nonsense"], "FILE:COLUMN=NAME"),
        (["--map", "erp:colour=farbe"], "is not in --key or --value"),
        (["--map", "nobody:sku=x"], "no single file is called 'nobody'"),
        (["--decimal", "erp=;"], "--decimal"),
        (["--memory-limit", "plenty"], "--memory-limit"),
        (["--html", "no/such/folder/report.html"], "--html"),
        (["--key", "sku,qty"], "named twice"),
        (["--key", " , "], "names no column"),
    ],
)
def test_a_request_that_makes_no_sense_exits_with_2_and_one_line(
    agreeing: list[Path], options: list[str], says: str
) -> None:
    result = run(*agreeing, *KEYS, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_one_file_is_nothing_to_compare(agreeing: list[Path]) -> None:
    result = run(agreeing[0], *KEYS)
    assert (result.exit_code, "two files or more" in result.stderr) == (2, True)


def test_every_file_with_a_problem_gets_its_line(agreeing: list[Path], tmp_path: Path) -> None:
    result = run(agreeing[0], tmp_path / "nope.csv", tmp_path, *KEYS, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.rsplit(": ", 2)[-2:] for line in result.stderr.splitlines()] == [
        ["is not there", "check the path"],
        ["is a folder", "name a file in it"],
    ]


def test_control_characters_in_a_key_do_not_reach_the_terminal(write: Write) -> None:
    result = run(write("a.csv", "sku,qty\nA\x1b[2J,1\n"), write("b.csv", "sku,qty\n"), *KEYS)
    assert "\x1b[2J" not in result.stdout
    assert "A\\x1b[2J" in result.stdout


def test_loading_the_command_loads_no_engine() -> None:
    heavy = {"duckdb", "pandas", "pyarrow", "rich"}
    code = f"import sys, probes.comparisons.command; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
