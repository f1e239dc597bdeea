"""EDI X12 with a trading partner that nobody here wrote: mock-edi, over its drop and pickup directories."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.builtin.edi_x12 import writer
from controlplane.connectors.builtin.edi_x12.partner import profile_of
from controlplane.errors import BadInputError
from controlplane.store import Store
from rules.outcomes import Result
from tests.controlplane.connectors.x12_kit import Bench, drafts, order, polled
from tests.integration.real.bringing_up import free_ports
from tests.integration.real.systems import Mocks

OPTIONS = {"us": {"id": "ACME"}, "partner": {"id": "MOCKEDI"}, "usage": "T", "sku_qualifier": "VP", "location": "DC3"}


@dataclass
class Mock:
    """A running mock-edi, and our side of its folders."""

    port: int
    bench: Bench

    def look(self) -> list[dict[str, Any]]:
        """Have it take what lies in its drop directory; return what became of each file."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/_mock/drop/scan", method="POST")
        with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["files"]
        return found

    def came(self, kind: str) -> None:
        """Wait until it has put a set of a kind into our inbox."""
        for _ in range(100):
            if list((self.bench.root / "in").glob(f"*-{kind}-*")):
                return
            time.sleep(0.1)
        raise TimeoutError(f"no {kind} came")


@pytest.fixture
def mock(mocks: Mocks, tmp_path: Path, sqlite_store: Store) -> Iterator[Mock]:
    bench = Bench(tmp_path / "partner", sqlite_store, options=OPTIONS)
    [port] = free_ports(1)
    folders = ["--drop-dir", str(bench.root / "out"), "--pickup-dir", str(bench.root / "in"), "--drop-settle-ms", "0"]
    delays = [part for name in ("ack", "response", "despatch", "invoice") for part in (f"--{name}-delay", "0")]
    # it looks by itself too seldom to come between
    command = [
        mocks.folder / "venv" / "bin" / "mock-edi",
        "--port",
        str(port),
        *folders,
        "--drop-interval-ms",
        "3600000",
        *delays,
    ]
    with (tmp_path / "mock.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_for(port)
            yield Mock(port, bench)
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("mock-edi did not answer")


def test_it_takes_our_envelope_and_refuses_a_set_that_it_does_not_know(mock: Mock) -> None:
    connector = mock.bench.connector()
    assert connector.write(order()).result is Result.UNKNOWN
    assert [(one["ok"], one["produced"]) for one in mock.look()] == [(True, ["997"])]
    mock.came("997")
    outcome = connector.read_back(order())
    assert outcome.result is Result.REJECTED
    assert "set not supported (1)" in outcome.detail


def test_its_ship_notice_is_read_and_our_acknowledgement_taken(mock: Mock) -> None:
    connector = mock.bench.connector()
    profile = profile_of(connector.context)
    lines: list[tuple[str, ...]] = [
        ("850",), ("BEG", "00", "SA", "PO-1", "", "20261127"), ("N1", "ST", "", "92", "#1"),
        ("PO1", "1", "3", "EA", "12.50", "", "VP", "WIDGET-001"), ("CTT", "1"),
    ]  # fmt: skip
    sent = writer.interchange(profile, 7001, mock.bench.clock.now(), "PO", [lines])
    (mock.bench.root / "out" / "850.x12").write_bytes(sent)
    mock.look()
    mock.came("810")
    records = polled(connector)
    (shipment,) = drafts(connector, [one for one in records if one.topic in ("x12/856", "x12/997")])
    assert (shipment.data["order_ref"], shipment.data["lines"]) == ("PO-1", [{"sku": "WIDGET-001", "quantity": 3}])
    assert shipment.data["tracking"].startswith("1Z")
    for other in (one for one in records if one.topic in ("x12/855", "x12/810")):
        with pytest.raises(BadInputError, match="is not one that is read here"):
            connector.translate(other.topic, other.body)
    taken = mock.look()
    assert len(taken) == 3, "a 997 for 855, 856 and 810 each, and none for its 997"
    assert [one["error"] for one in taken] == [""] * 3


def test_it_knows_our_control_number_again(mock: Mock) -> None:
    connector = mock.bench.connector()
    connector.write(order())
    (said,) = mock.bench.said("940")
    mock.look()
    (mock.bench.root / "out" / "again.x12").write_text(said)
    (again,) = mock.look()
    assert not again["ok"] or "997" not in again["produced"]
