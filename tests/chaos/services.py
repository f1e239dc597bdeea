"""PostgreSQL, Redis and RabbitMQ of a test's own: free ports, a folder that goes with them, and every way to end them.

Never the machine's own instances. A binary that is missing raises MissingError with the remedy; the fixtures in
`conftest.py` turn that into a skip, and into a failure where CI=true.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, TypeVar

import psycopg

from tests.chaos.processes import Process, account, free_port, listens

Kind = TypeVar("Kind", bound="Service")


class MissingError(Exception):
    """A program that the tests need is not installed; the message says which and how to get it."""


def find(program: str, patterns: tuple[str, ...], package: str) -> Path:
    """Return the newest installation among the patterns, else what the PATH has. Raises MissingError."""
    installed = [path for pattern in patterns for path in Path("/").glob(pattern)]
    if installed:
        return max(installed, key=lambda path: [int(part) for part in path.parts if part.isdigit()] or [0])
    if (found := shutil.which(program)) is None:
        raise MissingError(f"{program} is not installed: apt-get install {package}")
    return Path(found)


def unprivileged() -> str | None:
    """Return the account for programs that refuse to run as root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in accounts else "nobody"


class Service:
    """A server on loopback that keeps what it holds in a folder, over every restart until `close`."""

    name: ClassVar[str]
    gentle: ClassVar[signal.Signals] = signal.SIGTERM
    """The signal after which it stops in order."""

    def __init__(self) -> None:
        # not pytest's folder: only its owner may enter that, and PostgreSQL runs under another account
        self.folder = Path(tempfile.mkdtemp(prefix=f"trueup-{self.name}-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self.process = Process(self.name, (), self.folder / "log")

    @property
    def url(self) -> str:
        """The address for the plane's settings."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether it answers in its own protocol."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start()
        self.process.wait_until(lambda: listens(self.port) and self.ready(), "answers")

    def stop(self) -> None:
        """Stop it in order."""
        self.process.stop(self.gentle)

    def kill9(self) -> None:
        """End it at once, all its processes."""
        self.process.kill9()

    def restart(self, *, hard: bool = False) -> None:
        """Stop it in order, or kill it, and start it again on the same folder and port."""
        self.kill9() if hard else self.stop()
        self.start()

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgreSQL(Service):
    """A cluster with fsync and synchronous commit as in production; TCP only, trust on loopback."""

    name = "postgresql"
    gentle = signal.SIGINT  # "fast": open sessions are ended, not waited for

    def __init__(self) -> None:
        self._initdb = find("initdb", ("usr/lib/postgresql/*/bin/initdb",), "postgresql")
        super().__init__()
        user, self.data = unprivileged(), self.folder / "data"
        self.data.mkdir(mode=0o700)
        if user:
            shutil.chown(self.data, user, user)
        command = [
            str(self._initdb.with_name("postgres")), "-D", str(self.data), "-p", str(self.port),
            *(f"--{name}={value}" for name, value in self.settings().items()),
        ]  # fmt: skip
        self.process = Process(self.name, command, self.folder / "log", user=user)
        self._make()

    def settings(self) -> dict[str, str]:
        """What differs from the defaults, and what must not."""
        return {
            "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "on", "full_page_writes": "on",
            "synchronous_commit": "on", "max_connections": "200", "shared_buffers": "64MB",
        }  # fmt: skip

    def _make(self) -> None:
        command = [
            str(self._initdb),
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
        ]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **account(self.process.user))

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str, port: int | None = None) -> str:
        """The address of one database; `port`: of something that stands between."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{port or self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a connection that commits each statement."""
        told = f"host=127.0.0.1 port={self.port} user=postgres dbname={database} connect_timeout=5"
        return psycopg.connect(told, autocommit=True)

    def make_database(self, name: str) -> str:
        """Make an empty database; return its address."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever still uses it."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def ready(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self.connect() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
        return False


class Redis(Service):
    """A server that has every write on disk before it answers."""

    name = "redis"

    def __init__(self) -> None:
        program = find("redis-server", (), "redis-server")
        super().__init__()
        command = [
            str(program), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder),
            "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        ]  # fmt: skip
        self.process = Process(self.name, command, self.folder / "log")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ready(self) -> bool:
        return self.tell("PING") == b"+PONG\r\n"

    def tell(self, *words: str) -> bytes:
        """Send one command and return the raw answer, of at most 4 kB."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            connection.sendall(f"*{len(words)}\r\n{parts}".encode())
            return connection.recv(4096)


class RabbitMQ(Service):
    """A broker with a node name, a port mapper and a folder of its own.

    A quorum queue outlasts a kill only once its place is on disk, which the node (3.10) does some time after it was
    declared, or when it stops in order. Killed before that, it comes back with a queue that has no leader and answers
    nobody until it is deleted and declared anew. So declare, `restart()`, and only then `kill9()`.
    """

    name = "rabbitmq"

    def __init__(self) -> None:
        # not what the PATH has: Debian's wrapper there changes the account and forgets the environment
        server = find("rabbitmq-server", ("usr/lib/rabbitmq/bin/rabbitmq-server",), "rabbitmq-server")
        mapper = find("epmd", (), "erlang-base")
        super().__init__()
        self.mapper_port, self.inner_port = free_port(), free_port()
        environment = self._environment()
        self.mapper = Process(
            "epmd", [str(mapper), "-port", str(self.mapper_port), "-address", "127.0.0.1"], self.folder / "epmd.log",
            environment,
        )  # fmt: skip
        self.process = Process(self.name, [str(server)], self.folder / "log", environment)

    def _environment(self) -> dict[str, str]:
        config, plugins = self.folder / "rabbitmq.conf", self.folder / "enabled_plugins"
        config.write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n", encoding="utf-8")
        plugins.write_text("[].\n", encoding="utf-8")
        return {
            "HOME": str(self.folder), "RABBITMQ_NODENAME": f"trueup{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self.inner_port), "ERL_EPMD_PORT": str(self.mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"), "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins), "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        }  # fmt: skip

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"  # a method frame: the broker begins the conversation
        return False

    def start(self) -> None:
        if not self.mapper.alive:  # the node would start one that outlives it
            self.mapper.start()
            self.mapper.wait_until(lambda: listens(self.mapper_port), "answers")
        super().start()

    def close(self) -> None:
        self.kill9()
        self.mapper.kill9()
        super().close()


@contextlib.contextmanager
def running(kind: type[Kind]) -> Iterator[Kind]:
    """Give a service that answers, and end it. Raises MissingError."""
    service = kind()
    try:
        service.start()
        yield service
    finally:
        service.close()
