"""Rows of many keys with one statement: the keys go along as one JSON value, and each is looked up by itself in an index.

A list of a thousand values in the statement costs more to write down than the rows cost to find, and `IN` over two columns
finds every pairing of them. Values come as the driver gives them: instants in microseconds, amounts as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from controlplane.store import direct

_NAMED = re.compile(r":(\w+)")


class Keyed:
    """A query for columns of `table`, which is called r, whose columns `by` hold a key. Other conditions name their values as `:name`.

    `each`: the columns are one aggregate, of which every key has a row; it may be None.
    """

    def __init__(
        self, table: str, columns: Sequence[str], by: Sequence[str], where: str = "", each: bool = False
    ) -> None:
        self._table, self._columns, self._by, self._each = table, columns, by, each
        self._where = f" AND {where}" if where else ""
        self._sqlite, self._postgresql = self._in_sqlite(), self._in_postgresql()

    def rows(self, connection: Connection, keys: Sequence[Sequence[Any]], **values: Any) -> list[tuple[Any, ...]]:
        """Return for each row found the place of its key in `keys`, then the columns. In no order."""
        if not keys:
            return []
        query = self._sqlite if connection.dialect.name == "sqlite" else self._postgresql
        return direct.fetch(connection, query, {**values, "keys": orjson.dumps(keys).decode()})

    def _in_sqlite(self) -> str:
        held = " AND ".join(f"r.{name} = json_extract(k.value, '$[{at}]')" for at, name in enumerate(self._by))
        if self._each:
            of_one = f"SELECT {self._columns[0]} FROM {self._table} r WHERE {held}{self._where}"  # noqa: S608
            return f"SELECT k.key, ({of_one}) FROM json_each(:keys) k"  # noqa: S608
        columns = ", ".join(f"r.{name}" for name in self._columns)
        return f"SELECT k.key, {columns} FROM json_each(:keys) k CROSS JOIN {self._table} r ON {held}{self._where}"  # noqa: S608

    def _in_postgresql(self) -> str:
        """A lateral sub-query with OFFSET 0 is not rearranged: not even before the tables are analysed is a whole table read."""
        held = " AND ".join(f'r.{name} = (k.value ->> {at}) COLLATE "C"' for at, name in enumerate(self._by))
        columns = self._columns[0] if self._each else ", ".join(f"r.{name}" for name in self._columns)
        where = _NAMED.sub(r"%(\1)s", self._where)
        of_one = f"SELECT {columns} FROM {self._table} r WHERE {held}{where} OFFSET 0"  # noqa: S608
        numbered = "jsonb_array_elements(%(keys)s::jsonb) WITH ORDINALITY AS k(value, key)"
        return f"SELECT k.key - 1, o.* FROM {numbered} CROSS JOIN LATERAL ({of_one}) o"  # noqa: S608
