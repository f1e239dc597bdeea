"""A PostgreSQL and a Redis of the benchmark's own, in its folder and on free ports; never the machine's instances.

Both are children in the foreground: leaving the context ends them. PostgreSQL refuses to run as root, so there it runs as the
user `postgres`, as Debian's packages set it up.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

DEBIAN = Path("/usr/lib/postgresql")
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "work_mem": "64MB",
}
CARELESS = {"fsync": "off", "synchronous_commit": "off", "wal_level": "minimal", "max_wal_senders": "0"}
"""For filling only, with a restart and a sync behind it."""
START = 60.0
"""Seconds within which a service must answer."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_binaries() -> Path | None:
    """Return the folder of initdb and postgres, newest version first; None when there is none."""
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True)
    found = str(versions[0]) if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def missing() -> dict[str, str]:
    """Return the services that cannot be started here, with the reason and the remedy."""
    told = {}
    if postgres_binaries() is None:
        told["postgres"] = "no initdb in /usr/lib/postgresql/*/bin or on the PATH; apt-get install postgresql"
    elif os.geteuid() == 0 and _owner() is None:
        told["postgres"] = "PostgreSQL does not run as root and there is no user 'postgres'; run as another user"
    if shutil.which("redis-server") is None:
        told["redis"] = "no redis-server on the PATH; apt-get install redis-server"
    return told


def _owner() -> int | None:
    import pwd

    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_uid
    return None


@dataclass
class Postgres:
    """A private cluster. `restart` runs it with other settings."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make the cluster's files."""
        self.folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        command = [self._binary("initdb"), "-D", str(self.folder), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*command, "--no-locale", "--no-sync"], check=True, stdout=subprocess.DEVNULL, **self._as())

    def start(self, settings: Mapping[str, str]) -> None:
        """Run it until it answers. Raises RuntimeError with its last words when it does not."""
        options = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder)}
        given = [part for name, value in {**options, **settings}.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._binary("postgres"), "-D", str(self.folder), *given], stderr=log, stdout=log, **self._as()
            )
        _until(self._answers, self.process, self.folder / "log")

    def stop(self) -> None:
        """End it in order: clients are cut off, everything is written."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(120)

    def restart(self, settings: Mapping[str, str]) -> None:
        """Run it with other settings."""
        self.stop()
        self.start(settings)

    def url(self, database: str) -> str:
        """Return the SQLAlchemy address of a database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a connection outside transactions."""
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True)

    def _answers(self) -> None:
        self.connect().close()

    def _binary(self, name: str) -> str:
        return str((postgres_binaries() or Path()) / name)

    @staticmethod
    def _as() -> dict[str, str]:
        return {"user": "postgres", "group": "postgres", "cwd": "/"} if os.geteuid() == 0 else {}


@contextmanager
def private_postgres(folder: Path) -> Iterator[Postgres]:
    """Give a cluster that syncs every commit to the disk."""
    server = Postgres(folder)
    server.create()
    try:
        server.start(SETTINGS)
        yield server
    finally:
        server.stop()


@contextmanager
def private_redis(folder: Path) -> Iterator[str]:
    """Give the address of a Redis that syncs every write to the disk (appendfsync always)."""
    folder.mkdir()
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([*command, "--appendonly", "yes", "--appendfsync", "always"], stdout=file)
    address = f"redis://127.0.0.1:{port}"
    try:
        _until(lambda: redis.Redis.from_url(address).ping(), process, log)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _until(answers: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START
    while True:
        try:
            answers()
        except (psycopg.OperationalError, redis.ConnectionError) as error:
            if process.poll() is not None or time.monotonic() > until:
                words = log.read_text(encoding="utf-8", errors="replace")[-800:]
                raise RuntimeError(f"{process.args!r} does not answer: {error}\n{words}") from error
            time.sleep(0.05)
        else:
            return
