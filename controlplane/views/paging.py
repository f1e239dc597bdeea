"""Lists that grow are read a part at a time: behind a place in their order, so that what is added meanwhile shifts nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, literal, tuple_

from controlplane.errors import BadInputError
from controlplane.store.text import is_kept
from controlplane.store.types import Instant, instant, micros

MOST = 1000
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which part of a list is asked for."""

    limit: int = 200
    cursor: str | None = None
    """`next` of the part before it."""


FIRST = Stretch()


@dataclass(frozen=True, slots=True)
class Part(Generic[Made]):
    """Some rows of a list, and where the next part begins; None at its end."""

    rows: list[Made]
    next: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """How a list is ordered: by these columns together, of which the last one is unique; all in one direction."""

    name: str
    """Of the list: a cursor of another one is refused."""
    columns: Sequence[ColumnElement[Any]]
    newest_first: bool = True

    def after(self, cursor: str) -> ColumnElement[bool]:
        """Return what lies behind a cursor. Raises BadInputError for one that this list has not given."""
        places = [literal(value, column.type) for value, column in zip(self._read(cursor), self.columns, strict=True)]
        here, there = tuple_(*self.columns), tuple_(*places)
        return here < there if self.newest_first else here > there

    def cursor(self, row: Mapping[str, Any]) -> str:
        """Return the cursor behind a row, which has the columns by their keys."""
        values = [row[str(column.key)] for column in self.columns]
        told = [self.name, *(micros(value) if isinstance(value, datetime) else value for value in values)]
        return base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")

    def _read(self, cursor: str) -> list[Any]:
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            name, *values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            if name != self.name or len(values) != len(self.columns):
                raise ValueError(name)
            return [_value(column, value) for column, value in zip(self.columns, values, strict=True)]
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise BadInputError(
                f"the cursor {cursor[:80]!r} is none that this list gives; give `next` of the part before, or begin without"
            ) from None

    def sorted(self, query: Select[Any]) -> Select[Any]:
        """Return the query in this order."""
        return query.order_by(*(column.desc() if self.newest_first else column for column in self.columns))


def _value(column: ColumnElement[Any], value: Any) -> Any:
    wanted = int if isinstance(column.type, Instant) else column.type.python_type
    if type(value) is not wanted or (isinstance(value, int) and abs(value) >= 2**62):
        raise ValueError(value)
    if isinstance(value, str) and not is_kept(value):
        raise ValueError(value)
    return instant(value) if isinstance(column.type, Instant) else value


def part(
    conn: Connection,
    query: Select[Any],
    order: Order,
    stretch: Stretch,
    make: Callable[[dict[str, Any]], Made],
) -> Part[Made]:
    """Read one part of a list, each row made into what is shown. One query. Raises BadInputError for a strange cursor."""
    if stretch.cursor is not None:
        query = query.where(order.after(stretch.cursor))
    rows = [dict(row) for row in conn.execute(order.sorted(query).limit(stretch.limit + 1)).mappings()]
    shown, more = rows[: stretch.limit], len(rows) > stretch.limit
    following = order.cursor(shown[-1]) if more else None
    return Part([make(row) for row in shown], following)
