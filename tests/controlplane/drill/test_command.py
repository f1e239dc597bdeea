"""`trueup drill` as it is called, against `python -m controlplane.sandbox`. Nothing here depends on how fast the machine is."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.addresses import pairs_of
from tests.controlplane.sandbox.conftest import QUIET

MAIN = [sys.executable, "-c", "from controlplane.cli import main; main()"]


@dataclass
class Sandbox:
    """A quiet sandbox in a process of its own."""

    url: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")}
        return inherited | {"TRUEUP_HOME": str(self.home), "TRUEUP_SANDBOX_PORT": self.url.rpartition(":")[2]}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MAIN, *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def stock(self) -> dict[str, int]:
        """What the shop shows, by SKU."""
        rows = httpx.get(f"{self.url}/control/truth", headers={"X-Sandbox": "control"}, trust_env=False).json()
        return {row["sku"]: row["shop_available"] for row in rows if row["location"] == "WH1"}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    scenario = tmp_path / "quiet.yaml"
    scenario.write_text(yaml.safe_dump(QUIET), encoding="utf-8")
    arguments = [
        "--port",
        "0",
        "--home",
        str(tmp_path / "sandbox"),
        "--scenario",
        str(scenario),
        "--plane",
        "http://127.0.0.1:9",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "controlplane.sandbox", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        yield Sandbox(process.stdout.readline().strip().rpartition(" ")[2], tmp_path)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_the_sandboxs_shop_is_drilled_and_its_limits_are_proposed(sandbox: Sandbox) -> None:
    before = sandbox.stock()
    answer = sandbox.run(
        "drill", "shop", "--flow", "stock-offers", "--pack", "sandbox", "--rate", "3,6", "--seconds", "1", "--latency", "600",
        "--out", "proposal.yaml", "--html", "drill.html", "--json",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = json.loads(answer.stdout)
    assert (told["writes"], told["stopped"], told["trouble"], told["left"]) == (10 + 3 + 6, None, None, [])
    assert [(step["rate"], step["outcomes"]) for step in told["steps"]] == [
        (3, {"delivered": 3}),
        (6, {"delivered": 6}),
    ]
    assert (told["knee"]["rate"], told["knee"]["bound"], told["proposal"]["rate"]) == (6, "nothing", 4.8)
    assert told["files"] == ["proposal.yaml", "drill.html"]
    assert sandbox.stock() == before
    checked = sandbox.run("policy", "validate", "proposal.yaml")
    assert (checked.returncode, "no problem" in checked.stdout) == (0, True), checked.stdout
    page = (sandbox.home / "drill.html").read_text(encoding="utf-8")
    assert "Drill of shop with stock-offers" in page
    assert not re.search(r"<(?:script|link|img)\b[^>]*(?:src|href)=", page), "the page needs something from elsewhere"


def drilling(sandbox: Sandbox) -> subprocess.Popen[str]:
    """A drill that will last, once it has taken stock down."""
    ordered = ["drill", "shop", "--flow", "stock-offers", "--pack", "sandbox", "--rate", "5", "--seconds", "600"]
    process = subprocess.Popen(
        [*MAIN, *ordered],
        env=sandbox.environment,
        cwd=sandbox.home,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    told = iter(process.stderr.readline, "")
    assert any(line.startswith("5/s") for line in told)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_a_drill_that_is_broken_off_puts_the_stock_back(sandbox: Sandbox, number: signal.Signals) -> None:
    before = sandbox.stock()
    process = drilling(sandbox)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert sandbox.stock() == before
    assert not list(sandbox.home.rglob("*.jsonl")), "nothing is left to be put back"


def test_signals_that_come_while_the_stock_is_put_back_do_not_break_that_off(sandbox: Sandbox) -> None:
    before = sandbox.stock()
    process = drilling(sandbox)
    httpx.post(
        f"{sandbox.url}/control/faults", json={"kind": "latency", "target": "shop", "seconds": 0.5}, headers={"X-Sandbox": "control"},
        trust_env=False,
    ).raise_for_status()  # fmt: skip
    process.send_signal(signal.SIGINT)
    assert process.stderr
    told = ""
    while "putting back what is off first" not in told:
        process.send_signal(signal.SIGTERM)
        told = process.stderr.readline()
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT, "it was asked to end, and has"
    assert sandbox.stock() == before


def test_what_a_killed_drill_has_left_off_stands_in_its_record_and_is_put_back_by_the_next(sandbox: Sandbox) -> None:
    before = sandbox.stock()
    for _ in range(5):  # a kill may come when every level is up
        process = drilling(sandbox)
        process.kill()
        process.communicate(timeout=60)
        if sandbox.stock() != before:
            break
    off = {sku for sku, shown in sandbox.stock().items() if shown != before[sku]}
    assert off
    lines = (sandbox.home / "drills" / "shop.jsonl").read_text().splitlines()
    last = {held["key"][0]: held for held in map(json.loads, lines)}
    assert off <= {sku for sku, held in last.items() if held["lowered"] or held["doubtful"]}
    answer = sandbox.run(
        "drill",
        "shop",
        "--flow",
        "stock-offers",
        "--pack",
        "sandbox",
        "--rate",
        "3",
        "--seconds",
        "1",
        "--latency",
        "600",
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "a drill of 'shop' was killed" in answer.stderr
    assert sandbox.stock() == before
    assert not list(sandbox.home.rglob("*.jsonl"))


def test_a_system_is_drilled_by_one_process_at_a_time(sandbox: Sandbox) -> None:
    process = drilling(sandbox)
    refused = sandbox.run("drill", "shop", "--flow", "stock-offers", "--pack", "sandbox")
    process.terminate()
    process.communicate(timeout=60)
    assert refused.returncode == 2
    assert "is being drilled by another process just now" in refused.stderr


@pytest.mark.parametrize("option", ["--out", "--html"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(sandbox: Sandbox, option: str) -> None:
    before = sandbox.stock()
    answer = sandbox.run(
        "drill", "shop", "--flow", "stock-offers", "--pack", "sandbox", option, str(sandbox.home / "no" / "folder.x")
    )
    assert (answer.returncode, "Traceback" in answer.stderr) == (2, False)
    assert "cannot be written" in answer.stderr
    assert "/s" not in answer.stderr
    assert sandbox.stock() == before


def test_a_target_that_is_down_is_measured_and_nothing_is_proposed(sandbox: Sandbox) -> None:
    httpx.post(
        f"{sandbox.url}/control/faults", json={"kind": "down", "target": "erp", "mode": "503"}, headers={"X-Sandbox": "control"},
        trust_env=False,
    )  # fmt: skip
    answer = sandbox.run("drill", "erp", "--flow", "postings", "--pack", "sandbox", "--max-errors", "2")
    assert answer.returncode == 1
    assert "stopped early: too many writes came to nothing" in answer.stdout
    assert "the last that came to nothing: " in answer.stdout
    assert not list(sandbox.home.glob("drill-*.yaml"))


def test_a_system_that_may_be_production_is_refused_unless_it_is_insisted(sandbox: Sandbox) -> None:
    pack = sandbox.home / "pack"
    pack.mkdir()
    pair = pairs_of(sandbox.url)[0]
    for path in (Path(__file__).parents[3] / "rules" / "packs" / "sandbox").iterdir():
        text = path.read_text(encoding="utf-8").replace("${SANDBOX}/pager", f"{sandbox.url}/pager")
        text = text.replace('internal: ["${SANDBOX}"]', f'internal: ["${{SANDBOX}}", "{pair}"]')
        (pack / path.name).write_text(text, encoding="utf-8")
    ordered = (
        "drill",
        "pager",
        "--flow",
        "incidents",
        "--pack",
        str(pack),
        "--rate",
        "2",
        "--seconds",
        "1",
        "--latency",
        "600",
    )
    refused = sandbox.run(*ordered)
    assert refused.returncode == 2
    assert "may be production (it has no label environment" in refused.stderr
    assert "Traceback" not in refused.stderr
    insisted = sandbox.run(*ordered, "--force")
    assert insisted.returncode == 0, insisted.stderr
    assert "written: drill-pager-incidents.yaml" in insisted.stdout
