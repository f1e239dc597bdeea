"""Numbers that what is sent to a system bears: taken from the store before it is sent, so that no crash gives one twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select, update

from controlplane.clock import Clock
from controlplane.connectors.contract import Number
from controlplane.errors import NotFoundError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.upsert import insert_new

T = TypeVar("T")
TOGETHER = 500
"""Rows of one statement."""


class StoredNumbers:
    """The numbers of one system. One that is taken and never used is a gap, which nobody minds."""

    def __init__(self, store: Store, clock: Clock, system: str) -> None:
        self._store, self._clock, self._system = store, clock, system

    def find(self, series: str, key: str) -> Number | None:
        """Return the number of what the key names, or None."""
        return self.find_all(series, [key]).get(key)

    def take(self, series: str, key: str) -> Number:
        """Return the number of what the key names, the next of the series if it has none."""
        return self.take_all(series, [key])[0]

    def take_all(self, series: str, keys: Sequence[str]) -> list[Number]:
        """Return the numbers of all of these, as `take` does, in their order; those that have none are numbered with one statement."""
        while True:
            with self._store.write() as connection:
                found = self._all(connection, series, keys)
                if missing := [key for key in dict.fromkeys(keys) if key not in found]:
                    self._insert(connection, series, missing)
                    found = self._all(connection, series, keys)
            if len(found) == len(set(keys)):
                return [found[key] for key in keys]  # else another worker took numbers that were next

    def find_all(self, series: str, keys: Sequence[str]) -> dict[str, Number]:
        """Return key -> number of those that have one."""
        with self._store.read() as connection:
            return self._all(connection, series, keys)

    def use(self, series: str, key: str) -> None:
        """Note that what bears the number may reach the system from now on; the first time stands."""
        self.use_all(series, [key])

    def use_all(self, series: str, keys: Sequence[str]) -> None:
        """Note it of all of these, with one statement."""
        column = t.control_number.c
        with self._store.write() as connection:
            for some in _chunks(keys):
                unused = update(t.control_number).where(*self._of(series, some), column.used_at.is_(None))
                connection.execute(unused.values(used_at=self._clock.now()))
            if lacking := sorted(set(keys) - self._all(connection, series, keys).keys()):
                raise NotFoundError(
                    f"{self._system}: '{lacking[0]}' has no number in the series {series}; take one before it is used"
                )

    def _of(self, series: str, keys: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
        column = t.control_number.c
        return column.system == self._system, column.series == series, column.key.in_(keys)

    def _all(self, connection: Connection, series: str, keys: Sequence[str]) -> dict[str, Number]:
        column = t.control_number.c
        query = select(column.key, column.number, column.taken_at, column.used_at)
        rows = (row for some in _chunks(keys) for row in connection.execute(query.where(*self._of(series, some))))
        return {row.key: Number(row.number, row.taken_at, row.used_at) for row in rows}

    def _insert(self, connection: Connection, series: str, keys: Sequence[str]) -> None:
        column = t.control_number.c
        last = select(func.max(column.number)).where(column.system == self._system, column.series == series)
        first, now = (connection.scalar(last) or 0) + 1, self._clock.now()
        rows: list[dict[str, Any]] = [
            {
                "system": self._system, "series": series, "key": key, "number": number, "taken_at": now, "used_at": None,
            }
            for number, key in enumerate(keys, first)
        ]  # fmt: skip
        for some in _chunks(rows):
            insert_new(connection, t.control_number, some)


def forget(connection: Connection, deliveries: Sequence[str]) -> int:
    """Delete the numbers that these deliveries took, which nobody will ask for again; return how many. The newest of a series stays.

    A number's key is the delivery's, or begins with it and '#'.
    """
    d, n = t.delivery.c, t.control_number.c
    newer = t.control_number.alias("newer")
    later = exists().where(newer.c.system == n.system, newer.c.series == n.series, newer.c.number > n.number)
    gone = 0
    for some in _chunks(deliveries):
        told = connection.execute(select(d.target, d.idempotency_key, d.sent_key).where(d.id.in_(some))).all()
        pairs = {(row.target, key) for row in told for key in (row.idempotency_key, row.sent_key) if key}
        numbered = {name for name in {target for target, _ in pairs} if _any(connection, name)}
        for system, key in sorted(pairs):
            if system in numbered:
                mine = or_(n.key == key, and_(n.key > f"{key}#", n.key < f"{key}$"))  # '$' comes after '#'
                gone += connection.execute(delete(t.control_number).where(n.system == system, mine, later)).rowcount
    return gone


def _any(connection: Connection, system: str) -> bool:
    column = t.control_number.c
    return connection.execute(select(column.number).where(column.system == system).limit(1)).first() is not None


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield so many at once as a statement's parameters have room for."""
    for at in range(0, len(rows), TOGETHER):
        yield rows[at : at + TOGETHER]
