"""EDI X12 over SFTP, with OpenSSH's own server: its key is checked, and a connection that breaks is opened anew."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.folders import aside_of
from controlplane.errors import SettingsError, UnavailableError
from controlplane.sandbox.edi.partner import Partner
from controlplane.store import Store
from rules.outcomes import Result
from tests.controlplane.connectors.x12_kit import Bench, drafts, interchange, one_set, order, polled

SSHD = Path("/usr/sbin/sshd")
pytestmark = pytest.mark.skipif(
    not SSHD.exists() and os.environ.get("CI") != "true", reason=f"there is no {SSHD}: install openssh-server"
)
CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {work}/host_key
PidFile none
AuthorizedKeysFile {work}/client_key.pub
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
ForceCommand internal-sftp
AllowTcpForwarding no
X11Forwarding no
"""


@dataclass
class Server:
    """An sshd that lets us in by a key, over a partner's folders."""

    port: int
    work: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it and all that it serves."""
        self.break_connections()
        self.process.terminate()
        self.process.wait(10)

    def start(self) -> None:
        """Start it at its port."""
        self.process = _started(self.work)
        _wait_for(self.port)

    @property
    def host_key(self) -> str:
        return (self.work / "host_key.pub").read_text().rsplit(" ", 1)[0]

    def bench(self, store: Store, **changes: Any) -> Bench:
        options = {"host_key": self.host_key, "archive": "archive", **changes}
        secrets = {"user": getpass.getuser(), "private_key": (self.work / "client_key").read_text()}
        root = self.work / "drop"
        return Bench(root, store, options=options, endpoint=f"sftp://127.0.0.1:{self.port}{root}", secrets=secrets)

    def break_connections(self) -> None:
        """End what serves the connections that are open; the server goes on."""
        listing = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        for child in listing.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host_key", "client_key", "other_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "sshd_config").write_text(CONFIG.format(port=port, work=tmp_path))
    found = Server(port, tmp_path, _started(tmp_path))
    try:
        _wait_for(port)
        yield found
    finally:
        found.stop()


def _started(work: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([str(SSHD), "-D", "-f", str(work / "sshd_config"), "-E", str(work / "sshd.log")])


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the sshd did not answer")


def test_orders_go_out_and_shipments_come_in_over_sftp(server: Server, sqlite_store: Store) -> None:
    bench = server.bench(sqlite_store)
    partner = Partner(server.work / "drop", {"SKU-1": 40})
    connector = bench.connector()
    connector.ping()
    assert connector.write(order()).result is Result.UNKNOWN
    assert not list((server.work / "drop" / "out").glob(".*"))
    partner.step(bench.clock.now())
    partner.step(bench.clock.now())
    assert connector.read_back(order()).result is Result.ALREADY_DELIVERED
    (draft,) = drafts(connector, polled(connector))
    assert (draft.type, draft.data["lines"]) == ("shipment.shipped", [{"sku": "SKU-1", "quantity": 3}])
    assert len(list((server.work / "drop" / "archive").iterdir())) == 2
    assert connector.read_back(order()).result is Result.ALREADY_DELIVERED
    connector.close()


def test_another_host_key_is_not_spoken_to(server: Server, sqlite_store: Store) -> None:
    other = (server.work / "other_key.pub").read_text()
    with pytest.raises(UnavailableError, match=r"shows another key than options\.host_key; nothing was sent"):
        server.bench(sqlite_store, host_key=other).connector().ping()
    log = (server.work / "sshd.log").read_text()
    assert "Accepted" not in log


def test_a_host_key_is_asked_for(server: Server, sqlite_store: Store) -> None:
    with pytest.raises(SettingsError, match="the server's key is not stated"):
        server.bench(sqlite_store, host_key="").connector()


def test_who_is_not_let_in_is_told_to_check_the_secrets(server: Server, sqlite_store: Store) -> None:
    bench = server.bench(sqlite_store)
    bench.secrets["private_key"] = (server.work / "other_key").read_text()
    outcome = bench.connector().write(order())
    assert outcome.result is Result.UNAVAILABLE
    assert "does not let us in; check the secrets" in outcome.detail


def test_a_key_that_is_none_is_not_shown(server: Server, sqlite_store: Store) -> None:
    bench = server.bench(sqlite_store)
    bench.secrets["private_key"] = "hunter2"
    with pytest.raises(SettingsError, match="is no key of the kinds") as raised:
        bench.connector().ping()
    assert "hunter2" not in str(raised.value)


def test_a_connection_that_broke_is_opened_anew(server: Server, sqlite_store: Store) -> None:
    connector = server.bench(sqlite_store).connector()
    connector.ping()
    server.break_connections()
    with suppress(UnavailableError):  # unless it was noticed before
        connector.ping()
    connector.ping()


def test_a_server_that_is_gone_leaves_the_order_waiting_and_proves_nothing(server: Server, sqlite_store: Store) -> None:
    connector = server.bench(sqlite_store).connector()
    connector.write(order())
    server.stop()
    assert connector.read_back(order()).result is Result.UNAVAILABLE
    assert connector.write(order("delivery-2", "#1002")).result is Result.UNAVAILABLE


def test_a_name_that_is_taken_is_not_written_over(server: Server, sqlite_store: Store) -> None:
    bench = server.bench(sqlite_store)
    path = server.work / "drop" / "out" / "940_000000001.x12"
    path.write_text("somebody else's")
    outcome = bench.connector().write(order())
    assert outcome.result is Result.UNKNOWN
    assert path.read_text() == "somebody else's"
    assert Path(aside_of(str(path))).exists()


def test_a_poll_that_breaks_off_goes_on_where_it_was(server: Server, sqlite_store: Store) -> None:
    bench = server.bench(sqlite_store)
    lines = ("W17*F*20261127*R-{}*PO-9", "W07*5*EA**VN*SKU-1")
    for number in (1, 2):
        told = one_set("944", *(line.format(number) for line in lines))
        bench.drop(interchange(told, group="RE", control=number), f"{number}.edi")
    connector = bench.connector()
    walk = connector.poll("interchanges", None)
    committed = next(walk).cursor
    server.stop()
    with pytest.raises(UnavailableError):
        next(walk)
    server.start()
    (draft,) = drafts(connector, polled(connector, committed))
    assert draft.subject == "R-2"
    assert sorted(text.split("AK1*RE*")[1][:1] for text in bench.said()) == ["1", "2"]


def test_an_address_that_policy_does_not_open_is_not_connected_to(server: Server, sqlite_store: Store) -> None:
    from dataclasses import replace

    from controlplane.connectors.builtin.edi_x12.connector import EdiX12Connector

    context = server.bench(sqlite_store).connector().context
    with pytest.raises(UnavailableError, match="no connection was made"):
        EdiX12Connector(replace(context, internal=frozenset())).ping()
