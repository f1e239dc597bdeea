"""Real programs as a test needs them: started on free ports, killed without warning, held and let go, never left behind."""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.chaos.reaper import children_of, kill_tree, started_at

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds that anything may take before it is called dead; far more than a busy machine needs."""
_given: set[int] = set()


def free_port() -> int:
    """Return a port of loopback that nobody listens on and that this run has not given out yet.

    Taken from below the range that the kernel draws outgoing ports from: a service that is restarted finds it free.
    """
    while True:
        port = 15000 + secrets.randbelow(17000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Look again and again until the condition holds. Raises AssertionError naming what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody accepts connections at the port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@cache
def _reaper() -> IO[str]:
    """Start the process that ends the others when this one is gone; return the pipe to it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.reaper"], cwd=ROOT, stdin=subprocess.PIPE, text=True, bufsize=1,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    return process.stdin


@dataclass
class Process:
    """One program. `user`: the account that it runs under, where it is not to be ours."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    _popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The number of the running process."""
        assert self._popen is not None, f"{self.name} was not started"
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start it; what it says goes to the end of the log."""
        assert not self.alive, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command, cwd=ROOT, env={**_clean(), **self.environment}, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, **account(self.user),
            )  # fmt: skip
        _reaper().write(f"{self.pid} {started_at(self.pid)}\n")

    def kill9(self) -> None:
        """SIGKILL it and all that it started, as the end of a machine would; returns when they are gone."""
        if self._popen is None:
            return
        family = children_of(self.pid)
        kill_tree(self.pid)
        self._popen.wait()
        wait_until(lambda: not any(_runs(pid) for pid in family), f"the children of {self.name} are gone")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and end it when it does not."""
        if not self.alive:
            return
        assert self._popen is not None
        self._popen.send_signal(sign)
        try:
            self._popen.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill9()

    def hold(self) -> None:
        """SIGSTOP it and its children: it hangs, and keeps what it has."""
        for pid in (self.pid, *children_of(self.pid)):
            os.kill(pid, signal.SIGSTOP)

    def let_go(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        for pid in (self.pid, *children_of(self.pid)):
            os.kill(pid, signal.SIGCONT)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Wait for the condition. Raises AssertionError with the end of the log when the process is gone, or in time."""
        gone = f"{self.name} ended before {what}"
        try:
            wait_until(lambda: not self.alive or condition(), f"{self.name}: {what}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None
        assert self.alive, f"{gone}\n{self.tail()}"

    def tail(self, lines: int = 30) -> str:
        """Return the end of what it said."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def account(user: str | None) -> dict[str, Any]:
    """Return what makes `subprocess` run a program under an account; nothing for our own."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _runs(pid: int) -> bool:
    """Whether a process is there and not merely waiting for its parent to take note of its end."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _clean() -> dict[str, str]:
    """Our environment without what would steer the programs."""
    steering = ("TRUEUP_", "PG", "RABBITMQ_", "ERL_", "PYTEST_")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)}
