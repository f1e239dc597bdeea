"""A live sandbox as a process: killed without warning it forgets nothing it answered; stopped, it stops cleanly."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.controlplane.sandbox.client import Client, Listener

ROOT = Path(__file__).parents[3]
SKU = "0007-BLK-M"
STILL = "actors: {customers: {orders_per_minute: 0}, stores: {sales_per_minute: 0}, receipts: {per_hour: 0}}\n"


@contextmanager
def running(home: Path, plane: str) -> Iterator[tuple[Client, subprocess.Popen[str]]]:
    scenario = home.with_suffix(".yaml")
    scenario.write_text(STILL)
    command = [sys.executable, "-m", "controlplane.sandbox", "--port", "0", "--home", str(home), "--plane", plane]
    process = subprocess.Popen([*command, "--scenario", str(scenario)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        yield Client(line.split()[-1], home), process
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_after_a_kill_it_continues_where_it_was(tmp_path: Path, listener: Listener) -> None:
    listener.answer = lambda _: 503
    with running(tmp_path / "home", listener.url) as (first, process):
        secret = first.secret("shop_access_token")
        name = first.order((SKU, 2))
        answer = first.set_stock(SKU, 10, None, "k1")
        first.bring_to_warehouse(name, (SKU, 2))
        journal = first.journal("document", "effect")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    listener.answer = lambda _: 200
    with running(tmp_path / "home", listener.url) as (second, process):
        assert second.secret("shop_access_token") == secret
        assert second.journal("document", "effect")[: len(journal)] == journal
        assert second.truth(SKU)["wms_allocated"] == 2
        assert second.set_stock(SKU, 10, None, "k1")["data"] == answer["data"]
        assert second.order((SKU, 1)) == "#1002"
        status = second.control("GET", "/status").json()
        assert status["webhooks_pending"] > 0
        process.terminate()
        assert process.wait(15) == 0


def test_secrets_are_for_the_owner_only(tmp_path: Path, listener: Listener) -> None:
    with running(tmp_path / "home", listener.url) as (client, _):
        folder = client.home / "secrets"
        assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
        assert len(list(folder.iterdir())) == 9
        assert client.control("POST", "/advance", {"to": "2030-01-01T00:00:00Z"}).status_code == 409


def test_a_taken_port_is_named(tmp_path: Path, listener: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    port = listener.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "controlplane.sandbox", "--port", port, "--home", str(tmp_path / "home")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, "choose another with --port" in ended.stderr) == (2, True)


def test_a_fault_with_a_window_is_still_there_after_a_restart(tmp_path: Path, listener: Listener) -> None:
    with running(tmp_path / "home", listener.url) as (first, _):
        first.fault(kind="error", status=503, target="pager", until="90m", **{"from": "1h"})
    with running(tmp_path / "home", listener.url) as (second, _):
        [fault] = second.control("GET", "/faults").json()
        assert "pager" in str(fault)


def test_with_its_parent_gone_it_gives_its_port_back(tmp_path: Path, listener: Listener) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'controlplane.sandbox', '--port', '0', '--home',"
        f" {str(tmp_path / 'home')!r}, '--plane', {listener.url!r}, '--with-parent'], stdout=subprocess.PIPE, text=True);"
        "print(p.pid, p.stdout.readline().split()[-1], flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    pid = int(done.stdout.split()[0])
    pause = threading.Event()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        pause.wait(0.1)
    pytest.fail(f"process {pid} is still there")
