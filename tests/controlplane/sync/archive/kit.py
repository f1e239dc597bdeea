"""A retailer whose policies archive, rows as the database itself has them, and file systems that fail where they are told to."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import yaml
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import Connection, event, func, select, text

from controlplane.clock import ManualClock
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis, pack_folder
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.ledger.archive import Archiver, Restorer, Wanted, parts
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.test_loop import SKU

TABLES = ("intake", "message", "delivery", "attempt", "quarantine")
KEEP = {"raw": "30d", "attempts": "60d", "messages": "90d"}
SILENT = {"retention": None}
LONG = timedelta(days=100)
"""Longer than anything is kept."""


def pack(folder: Path, **retention: Any) -> Path:
    """Return a pack that is the sandbox's, with this retention in every domain; a mapping under a domain's name is for it alone.

    `retention=None`: no domain says anything of it.
    """
    found = folder / "pack"
    shutil.copytree(pack_folder("sandbox"), found)
    file = found / "domains.yaml"
    documents = list(yaml.safe_load_all(file.read_text()))
    common = {key: value for key, value in retention.items() if not isinstance(value, dict)}
    for one in documents:
        if retention == SILENT:
            one["spec"].pop("retention", None)
        else:
            one["spec"]["retention"] = KEEP | common | retention.get(one["metadata"]["name"], {})
    file.write_text(yaml.safe_dump_all(documents))
    return found


def house_of(store: Store, clock: ManualClock, folder: Path, **retention: Any) -> House:
    """Return a retailer under the pack with this retention, with a product and a level in the shop."""
    load_genesis(store, clock, Registry(store, clock), pack(folder, **retention))
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    house.sync.healing.read_channel("shop")
    house.product(SKU, "4.00")
    house.run()
    return house


def history(house: House) -> None:
    """Let happen what leaves rows of every kind, all of it finished: also refused, superseded, dropped and corrected records."""
    for on_hand in (10, 20, 30):
        house.level(SKU, on_hand)
        house.run(minutes=1, step=60)
    house.order("#1001", SKU, 1)
    house.run()
    house.shipment("S1", "#1001", SKU, 1)
    house.erp.faults.extend(["unavailable", "lost answer"])
    house.run(minutes=10, step=60)
    house.shop.down = True
    for on_hand in (40, 50):
        house.level(SKU, on_hand)
        house.run(minutes=1, step=60)
    house.shop.down = False
    house.run(minutes=6, step=60)
    house.erp.faults.append("rejected")
    house.order("#1002", SKU, 1)
    house.run()
    house.level("UNKNOWN", 5)
    house.shipment("S9", "#9999", SKU, 1)
    house.run()
    with house.store.write() as connection:
        for case_id in ids_in(connection, "quarantine"):
            quarantine.drop(connection, house.clock, case_id, "olga", "a test order")
    house.level(SKU, 60)
    house.order("#1003", SKU, 1)
    house.run(minutes=6, step=60)
    assert not owed(house), "everything came to an end"


def owed(house: House) -> int:
    """Count what is open."""
    with house.store.read() as connection:
        query = select(func.count()).select_from(t.delivery).where(t.is_open)
        return int(connection.execute(query).scalar_one()) + house.sync.backlog()


def rows_of(store: Store, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return whole tables, exactly as the database has them and without any code of ours, in the order of their keys."""
    with store.read() as connection:
        query = "SELECT * FROM {0} ORDER BY id" if store.is_sqlite else "SELECT t::text FROM {0} t ORDER BY id"
        return {
            name: [tuple(row) for row in connection.exec_driver_sql(query.format(name))] for name in tables or TABLES
        }


def ids_of(store: Store, table: str, where: str = "true") -> set[str]:
    """Return the ids of a table."""
    with store.read() as connection:
        return set(ids_in(connection, table, where))


def ids_in(connection: Connection, table: str, where: str = "true") -> list[str]:
    """Return the ids of a table as a transaction sees them."""
    query = text(f"SELECT id FROM {table} WHERE {where} ORDER BY id")  # noqa: S608 - written by the tests
    return list(connection.execute(query).scalars())


def archiver(house: House, **options: Any) -> Archiver:
    """Return a new process's archiver."""
    return Archiver(house.store, house.clock, house.registry, **options)


def restorer(house: House, stopping: threading.Event | None = None) -> Restorer:
    """Return a new process's restorer."""
    return Restorer(house.store, house.clock, house.registry, stopping)


def restored(house: House) -> dict[str, dict[str, Any] | None]:
    """Return what is told of each part's putting back, by its address."""
    with house.store.read() as connection:
        return {part["uri"]: part["restored"] for part in parts(connection, 1000) if part["uri"]}


def restore_all(house: House, wanted: Wanted | None = None, kept: timedelta = timedelta(days=30)) -> dict[str, Any]:
    """Put every part back; return what was told."""
    asked = restorer(house)
    with house.store.read() as connection:
        uris = [part["uri"] for part in parts(connection, 1000) if part["uri"]]
    for uri in uris:
        asked.ask(uri, wanted or Wanted(), kept, "olga")
    return asked.run()


def uris(house: House, kind: str = "messages") -> list[str]:
    """Return the parts of a kind, oldest first."""
    with house.store.read() as connection:
        a = t.archive.c
        return list(connection.execute(select(a.uri).where(a.kind == kind).order_by(a.id)).scalars())


def file_of(uri: str, name: str) -> Path:
    """Return a file of a part."""
    return Path(uri.removeprefix("faulty://")) / name


class Crash(BaseException):
    """The process ends here: nothing of ours may handle it."""


def well(step: str, path: str) -> None:
    """Nothing is wrong."""


class Faulty(LocalFileSystem):
    """Local files, with something in the way before each step: `before(step, path)` may raise."""

    protocol = "faulty"
    cachable = False
    before: Callable[[str, str], None] = staticmethod(well)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("faulty://"))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make folders."""
        type(self).before("makedirs", path)
        super().makedirs(path, exist_ok=exist_ok)

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Rename, with a chance to fail before and after."""
        type(self).before("mv", path2)
        super().mv(path1, path2, **kwargs)
        type(self).before("moved", path2)

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **kwargs: Any) -> Any:
        type(self).before(f"open {mode}", path)
        found = super()._open(path, mode, block_size, **kwargs)
        return Torn(found, path, type(self)) if "w" in mode else found


class Torn:
    """A file that is being written, where each write may be the last."""

    def __init__(self, file: Any, path: str, owner: type[Faulty]) -> None:
        self._file, self._path, self._owner = file, path, owner

    def write(self, data: bytes) -> int:
        """Write, of a fault only the first half."""
        try:
            self._owner.before("write", self._path)
        except BaseException:
            self._file.write(data[: len(data) // 2])
            raise
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


fsspec.register_implementation("faulty", Faulty, clobber=True)


@contextmanager
def faults(before: Callable[[str, str], None]) -> Iterator[None]:
    """Let the file system fail as `before` says."""
    Faulty.before = staticmethod(before)
    try:
        yield
    finally:
        Faulty.before = staticmethod(well)


def crash_at(number: int) -> Callable[[str, str], None]:
    """Return a fault that ends the process at the step of this number, from 0."""
    count = -1

    def before(step: str, path: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Crash(f"{step} {path}")

    return before


class Doomed(threading.Event):
    """A process that ends after so many transactions: in the pause after the last one."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns

    def wait(self, timeout: float | None = None) -> bool:
        """Be killed, when the time has come."""
        self.turns -= 1
        if self.turns < 0:
            raise Crash("between two transactions")
        return False


class Ending(threading.Event):
    """A process that is told to end after so many transactions."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns

    def wait(self, timeout: float | None = None) -> bool:
        """Be told, when the time has come."""
        self.turns -= 1
        if self.turns == 0:
            self.set()
        return self.is_set()


@contextmanager
def deletions(store: Store) -> Iterator[list[int]]:
    """Count the rows that each transaction deletes; give the counts, a number a transaction that deletes any."""
    counts: list[int] = []
    open_: dict[int, int] = {}

    def executed(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith("DELETE FROM") and "lease" not in statement:
            open_[id(connection)] = open_.get(id(connection), 0) + max(0, cursor.rowcount)

    def committed(connection: Any) -> None:
        if found := open_.pop(id(connection), 0):
            counts.append(found)

    event.listen(store.engine, "after_cursor_execute", executed)
    event.listen(store.engine, "commit", committed)
    try:
        yield counts
    finally:
        event.remove(store.engine, "after_cursor_execute", executed)
        event.remove(store.engine, "commit", committed)
