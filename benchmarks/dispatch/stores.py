"""Databases with the plane's own schema and the benchmark's policies in force: made once, copied for every run."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks.dispatch.services import Postgres

TEMPLATE = "bench_template"


@dataclass
class Stores:
    """Where databases are made. `postgres` is None where it cannot be started."""

    folder: Path
    postgres: Postgres | None
    _names: dict[str, str] = field(default_factory=dict)
    """PostgreSQL address -> database."""
    _number: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The stores that can be measured here."""
        return ("sqlite", "postgres") if self.postgres else ("sqlite",)

    def empty(self, kind: str, name: str) -> str:
        """Make a database without tables; return its address."""
        if kind == "sqlite":
            return f"sqlite:///{self.folder / name}.sqlite"
        return self._create(name, "")

    def fresh(self, kind: str) -> str:
        """Copy the template; return the address of the copy."""
        name = f"bench_{next(self._number)}"
        if kind == "sqlite":
            shutil.copy(self.folder / f"{TEMPLATE}.sqlite", self.folder / f"{name}.sqlite")
            return f"sqlite:///{self.folder / name}.sqlite"
        return self._create(name, f"TEMPLATE {TEMPLATE}")

    def _create(self, name: str, options: str) -> str:
        assert self.postgres is not None
        with self.postgres.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} {options}".encode())
        url = self.postgres.url(name)
        self._names[url] = name
        return url

    def drop(self, url: str) -> None:
        """Take a database away again."""
        if url in self._names and self.postgres:
            with self.postgres.connect() as connection:
                connection.execute(f"DROP DATABASE {self._names.pop(url)} WITH (FORCE)".encode())
        else:
            for ending in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(url.removeprefix("sqlite:///") + ending).unlink()
