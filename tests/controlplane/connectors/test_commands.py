"""`trueup connector`, run as people run it."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from controlplane.connectors.commands import app
from controlplane.connectors.contract import Level
from controlplane.connectors.export import export_levels
from controlplane.errors import BadInputError, UnavailableError
from tests.controlplane.connectors.conftest import Retailer


def test_the_list_names_every_connector_with_what_it_guarantees() -> None:
    done = CliRunner().invoke(app, ["list", "--json"])
    found = {row["name"]: row for row in json.loads(done.stdout)}
    assert found["shopify"]["writes"] == {"available": "conditional", "fulfillment": "readable", "product": "readable"}
    assert found["netsuite"]["verified_against"].startswith("prose only")
    assert set(found["shopify"]) == {"name", "kind", "reads", "writes", "receives", "probes", "verified_against"}
    assert (found["broker"]["kind"], found["broker"]["receives"]) == ("broker", ["what is in a queue"])
    assert "netsuite" in CliRunner().invoke(app, ["list"]).stdout


def test_a_connector_shows_all_that_it_declares() -> None:
    shown = json.loads(CliRunner().invoke(app, ["show", "shopify"]).stdout)
    assert shown["reads"][1] == {"entity": "orders", "snapshot": False, "changes": True, "listing": "orders"}
    assert shown["writes"][0]["late_effect_seconds"] == 5.0
    assert shown["credentials"]["required"] == ["access_token"]
    assert shown["statuses"]["fulfillment"]["CANCELLED"] == "counts as not there"


def test_a_connector_is_tried_and_the_exit_code_says_what_came_of_it() -> None:
    done = CliRunner().invoke(app, ["conformance", "till_files", "--only", "paging.complete", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["passed"]) == (0, True)
    nothing = CliRunner().invoke(app, ["conformance", "till_files", "--only", "writes"])
    assert nothing.exit_code == 1
    assert "0 passed, 0 failed" in nothing.stdout


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_snapshot_is_written_to_a_file(
    retailer: Retailer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path))
    monkeypatch.setenv("TRUEUP_SANDBOX_PORT", retailer.sandbox.url.rpartition(":")[2])
    out = tmp_path / f"wms.{ending}"
    done = CliRunner().invoke(app, ["snapshot", "wms", "--entity", "inventory", "--out", str(out)])
    assert "8 rows of wms/inventory" in done.stdout
    if ending == "csv":
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = parquet.read_table(out).to_pylist()
    assert {(row["location"], int(row["on_hand"])) for row in rows} == {("WH1", 40)}
    assert rows[0]["sku"].startswith("000")


def test_a_read_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    def pages() -> object:
        yield []
        raise UnavailableError("gone")

    with pytest.raises(UnavailableError):
        export_levels(pages(), tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []


def test_another_ending_is_refused(tmp_path: Path) -> None:
    nothing: list[list[Level]] = []
    with pytest.raises(BadInputError, match=r"\.csv nor in \.parquet"):
        export_levels(nothing, tmp_path / "x.xlsx")


def test_a_csv_file_holds_no_formula_and_a_negative_number_is_one(tmp_path: Path) -> None:
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    export_levels([[Level("=1+1", "@WH", -3, 2, at, at, at)]], tmp_path / "x.csv")
    [row] = list(csv.reader((tmp_path / "x.csv").read_text().splitlines()[1:]))
    assert row[:4] == ["'=1+1", "'@WH", "-3", "2"]
