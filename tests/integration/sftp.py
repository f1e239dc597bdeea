"""OpenSSH's own SFTP server."""

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

import pytest

SSHD = Path("/usr/sbin/sshd")
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
    """An sshd that lets us in by a key, over a folder of ours."""

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

    @property
    def secrets(self) -> dict[str, str]:
        """What lets us in."""
        return {"user": getpass.getuser(), "private_key": (self.work / "client_key").read_text()}

    @property
    def root(self) -> Path:
        """The folder that it serves, as it lies on this machine."""
        return self.work / "drop"

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"sftp://127.0.0.1:{self.port}{self.root}"

    def break_connections(self) -> None:
        """End what serves the connections that are open; the server goes on."""
        listing = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        for child in listing.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[Server]:
    if not SSHD.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"there is no {SSHD}: install openssh-server")
    Path("/run/sshd").mkdir(exist_ok=True)
    (tmp_path / "drop").mkdir()
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
