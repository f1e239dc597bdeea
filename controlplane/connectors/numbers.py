"""Numbers that what is sent to a system bears: taken from the store before it is sent, so that no crash gives one twice."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from controlplane.clock import Clock
from controlplane.connectors.contract import Number
from controlplane.errors import NotFoundError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.upsert import insert_new


class StoredNumbers:
    """The numbers of one system. One that is taken and never used is a gap, which nobody minds."""

    def __init__(self, store: Store, clock: Clock, system: str) -> None:
        self._store, self._clock, self._system = store, clock, system

    def find(self, series: str, key: str) -> Number | None:
        """Return the number of what the key names, or None."""
        with self._store.read() as connection:
            return self._found(connection, series, key)

    def take(self, series: str, key: str) -> Number:
        """Return the number of what the key names, the next of the series if it has none."""
        while True:
            with self._store.write() as connection:
                found = self._found(connection, series, key)
                if found is None:
                    self._insert(connection, series, key)
                    found = self._found(connection, series, key)
            if found is not None:
                return found  # else another worker took the number that was next

    def use(self, series: str, key: str) -> None:
        """Note that what bears the number may reach the system from now on; the first time stands."""
        column = t.control_number.c
        with self._store.write() as connection:
            unused = update(t.control_number).where(*self._of(series, key), column.used_at.is_(None))
            connection.execute(unused.values(used_at=self._clock.now()))
            if self._found(connection, series, key) is None:
                raise NotFoundError(
                    f"{self._system}: '{key}' has no number in the series {series}; take one before it is used"
                )

    def _of(self, series: str, key: str) -> tuple[ColumnElement[bool], ...]:
        column = t.control_number.c
        return column.system == self._system, column.series == series, column.key == key

    def _found(self, connection: Connection, series: str, key: str) -> Number | None:
        column = t.control_number.c
        row = connection.execute(
            select(column.number, column.taken_at, column.used_at).where(*self._of(series, key))
        ).one_or_none()
        return Number(row.number, row.taken_at, row.used_at) if row else None

    def _insert(self, connection: Connection, series: str, key: str) -> None:
        column = t.control_number.c
        last = select(func.max(column.number)).where(column.system == self._system, column.series == series)
        row: dict[str, Any] = {
            "system": self._system, "series": series, "key": key,
            "number": (connection.scalar(last) or 0) + 1, "taken_at": self._clock.now(), "used_at": None,
        }  # fmt: skip
        insert_new(connection, t.control_number, [row])
