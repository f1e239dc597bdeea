"""Rows as Parquet keeps them, and back: exactly what the database holds, whichever of the two it is.

Instants become timestamps (microseconds, UTC), JSON the text that the database has of it, bytes stay bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    Text,
    bindparam,
    cast,
    select,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from controlplane.errors import BadInputError
from controlplane.store.types import Amount, Instant, Json

INSTANT = pa.timestamp("us", tz="UTC")


def arrow_type(column: Column[Any]) -> pa.DataType:
    """Return the Parquet type of a column. Raises TypeError for one that no rule is written for."""
    kind = column.type
    if isinstance(kind, Instant):
        return INSTANT
    if isinstance(kind, (Json, Amount, String)):
        return pa.string()
    if isinstance(kind, Boolean):
        return pa.bool_()
    if isinstance(kind, LargeBinary):
        return pa.binary()
    if isinstance(kind, Integer):  # BigInteger is one too
        return pa.int64()
    raise TypeError(f"no Parquet type is chosen for {column.table.name}.{column.name} ({kind!r}); choose one here")


def arrow_schema(table: Table) -> pa.Schema:
    """Return the schema of a table's Parquet file."""
    return pa.schema([pa.field(c.name, arrow_type(c), nullable=bool(c.nullable)) for c in table.columns])


def raw(table: Table) -> Select[Any]:
    """Return a query for all columns, as the database holds them: no value passes through Python's idea of it."""
    return select(*(_raw(column) for column in table.columns))


def _raw(column: Column[Any]) -> Any:
    if isinstance(column.type, Json):
        return cast(column, Text).label(column.name)
    if isinstance(column.type, Instant):
        return type_coerce(column, BigInteger).label(column.name)
    if isinstance(column.type, Amount):
        return type_coerce(column, Text).label(column.name)
    return column


def size(row: Sequence[Any]) -> int:
    """Return about how many bytes a row takes in memory."""
    return sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)


def batch(table: Table, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Return rows (of `raw`) as a record batch."""
    schema = arrow_schema(table)
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def rows_of(found: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a record batch as they are bound to `insert`: instants as microseconds."""
    columns = [values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values for values in found.columns]
    rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(columns, names=found.schema.names).to_pylist()
    return rows


def check(table: Table, schema: pa.Schema) -> None:
    """Raise BadInputError when a file has columns that the table lacks, or lacks what the table cannot do without."""
    known = {column.name: column for column in table.columns}
    strange = [name for name in schema.names if name not in known]
    if strange:
        raise BadInputError(
            f"the part has a column {table.name}.{strange[0]} that this version does not know; "
            "restore it with the version of Trueup that wrote it, or a later one"
        )
    for name in known.keys() - set(schema.names):
        column = known[name]
        if not column.nullable and column.default is None and column.server_default is None:
            raise BadInputError(
                f"the part is older than the column {table.name}.{name}, and nothing says what it was; "
                "restore it with an older version of Trueup and upgrade that"
            )


def insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert rows (of `rows_of`) of which nothing is there yet; return how many went in."""
    if not rows:
        return 0
    values = {name: _bound(connection, table.columns[name]) for name in rows[0]}
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(values).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return len(connection.execute(statement, list(rows)).all())


def _bound(connection: Connection, column: Column[Any]) -> Any:
    if isinstance(column.type, Json):
        text = bindparam(column.name, type_=Text())
        return cast(text, postgresql.JSONB) if connection.dialect.name == "postgresql" else type_coerce(text, Text)
    if isinstance(column.type, Instant):
        return bindparam(column.name, type_=BigInteger())
    if isinstance(column.type, Amount):
        return bindparam(column.name, type_=Text())
    return bindparam(column.name, type_=column.type)
