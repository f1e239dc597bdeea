"""Servers of a test's own, started and ended by it, so that they can be as badly configured as the test wants."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def program(name: str, package: str) -> Path:
    """Return the path of a program, or skip; fail where CI promises that it is there."""
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    if found is None:
        reason = f"{name} is not installed (apt-get install {package})"
        if os.environ.get("CI", "").lower() == "true":
            raise RuntimeError(reason)
        pytest.skip(reason)
    return Path(found)


@contextmanager
def postgresql(password: str, **settings: str) -> Iterator[str]:
    """Run a PostgreSQL with a password and with the settings; give its address without user and password."""
    initdb = program("initdb", "postgresql")
    # it refuses to run as root; its own user has no way into pytest's folders
    unprivileged = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="trueup-pg-"))
    if unprivileged:
        shutil.chown(folder, "postgres", "postgres")
    secret = folder / "secret"
    secret.write_text(password, encoding="ascii")
    secret.chmod(0o644)
    data, port = folder / "data", free_port()
    quiet: Any = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, **unprivileged}
    how = ["--no-sync", "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", f"--pwfile={secret}"]
    subprocess.run([initdb, *how, "-D", data], check=True, **quiet)
    options = [f"-c{name}={value}" for name, value in settings.items()]
    listening = [f"-p{port}", "-clisten_addresses=127.0.0.1", f"-cunix_socket_directories={folder}"]
    server = subprocess.Popen([initdb.with_name("postgres"), "-D", data, *listening, *options], **quiet)
    try:
        until(server, lambda: logs_in(f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"))
        yield f"127.0.0.1:{port}/postgres"
    finally:
        end(server, signal.SIGINT)  # without waiting for its clients
        shutil.rmtree(folder)


@contextmanager
def redis(folder: Path, *settings: str) -> Iterator[str]:
    """Run a Redis with the settings (`--name value`); give host and port."""
    server_program, port = program("redis-server", "redis-server"), free_port()
    ordered = [server_program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder, *settings]
    server = subprocess.Popen(ordered, stdout=subprocess.DEVNULL)
    try:
        until(server, lambda: accepts(port))
        yield f"127.0.0.1:{port}"
    finally:
        end(server)


def accepts(port: int) -> bool:
    """Say whether something takes connections on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def logs_in(address: str) -> bool:
    """Say whether a PostgreSQL takes us in."""
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def until(server: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    """Wait, bounded, until the server is ready; fail when it ends before that."""
    for _ in range(600):
        if ready():
            return
        assert server.poll() is None, f"{server.args} ended with {server.returncode}"
        threading.Event().wait(0.05)
    raise AssertionError(f"{server.args} did not get ready")


def end(server: subprocess.Popen[bytes], sign: signal.Signals = signal.SIGTERM) -> None:
    """End the server and wait until it is gone."""
    server.send_signal(sign)
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
