"""The floors' SQL, compiled from the plane's tables for the bare drivers: names, types and order of columns follow the schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Dialect,
    Select,
    Table,
    bindparam,
    column,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy import func as f
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from benchmarks.dispatch import jobs
from controlplane.store import tables as t

D = t.delivery.c
LEASE = 120_000_000
PG_NAMED = PGDialect_psycopg()
SQLITE_NAMED = sqlite_dialect(paramstyle="named")
SQLITE_PLACES = sqlite_dialect(paramstyle="qmark")


@dataclass(frozen=True, slots=True)
class SqliteStatements:
    """`intake`, `message`, `delivery`, `attempt` take a tuple of all columns in their order; `finish` (finished_at, id)."""

    intake: str
    message: str
    delivery: str
    attempt: str
    finish: str
    due: str
    claim: str


@dataclass(frozen=True, slots=True)
class PostgresStatements:
    """`accept` takes the intake row and `rows`; `delivery` a row; `finish` takes `rows`; `claim` takes `now` and `limit`."""

    accept: str
    delivery: str
    finish: str
    claim: str


def sqlite() -> SqliteStatements:
    """Return the statements for sqlite3."""
    finish = update(t.delivery).where(D.id == bindparam("of")).values(_done(bindparam("at")))
    return SqliteStatements(
        intake=_compiled(_row(t.intake), SQLITE_PLACES),
        message=_compiled(_row(t.message).on_conflict_do_nothing(), SQLITE_PLACES),
        delivery=_compiled(_row(t.delivery), SQLITE_PLACES),
        attempt=_compiled(_row(t.attempt), SQLITE_PLACES),
        finish=_compiled(finish, SQLITE_PLACES),
        due=_compiled(_due().suffix_with(text("LIMIT 1")), SQLITE_NAMED),
        claim=_compiled(_claim(_due().suffix_with(text("LIMIT :limit"))), SQLITE_NAMED),
    )


def postgres() -> PostgresStatements:
    """Return the statements for psycopg."""
    taken = _row(t.intake, postgresql.insert).cte("taken")
    rows = _rows(t.message)
    names = [one.name for one in t.message.columns]
    message = postgresql.insert(t.message).from_select(names, select(rows)).on_conflict_do_nothing().add_cte(taken)
    done = select(_rows(t.attempt)).cte("done").prefix_with("MATERIALIZED")
    tried = insert(t.attempt).from_select([one.name for one in t.attempt.columns], select(done)).cte("tried")
    finish = update(t.delivery).where(D.id == done.c.delivery_id).values(_done(done.c.finished_at)).add_cte(tried)
    locked = _due().limit(bindparam("limit")).with_for_update(skip_locked=True)
    return PostgresStatements(
        accept=_compiled(message, PG_NAMED),
        delivery=_compiled(_row(t.delivery, postgresql.insert), PG_NAMED),
        finish=_compiled(finish, PG_NAMED),
        claim=_compiled(_claim(locked), PG_NAMED),
    )


def parameter(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of one table as the one JSON parameter that `jsonb_to_recordset` reads."""
    nested = [{**row, "data": orjson.Fragment(row["data"])} if row.get("data") else row for row in rows]
    return orjson.dumps(nested, default=_bytes).decode()


def _bytes(value: bytes) -> str:
    return "\\x" + value.hex()


def _compiled(statement: Any, dialect: Dialect) -> str:
    return str(statement.compile(dialect=dialect))


def _row(table: Table, make: Any = sqlite_insert) -> Any:
    return make(table).values({one.name: bindparam(one.name) for one in table.columns})


def _rows(table: Table) -> Any:
    """Return the rows of the JSON parameter `rows` as a relation with the table's columns."""
    columns = [column(one.name, one.type) for one in table.columns]
    parsed = f.jsonb_to_recordset(bindparam("rows").op("::")(literal_column("jsonb")))
    return parsed.table_valued(*columns).render_derived("r", with_types=True)


def _done(at: ColumnElement[Any]) -> dict[Any, Any]:
    null = literal_column("NULL")
    delivered = literal_column("'delivered'")
    return {D.state: delivered, D.finished_at: at, D.outcome: delivered, D.lease_owner: null, D.lease_until: null}


def _due() -> Select[Any]:
    """Ids of what is due, oldest first, said as the index for it says it."""
    mine = [literal_column(f"{name} = '{value}'") for name, value in (("target", jobs.TARGET), ("flow", jobs.FLOW))]
    return select(D.id).where(*mine, t.is_ready, D.due_at <= bindparam("now")).order_by(D.due_at)


def _claim(due: Select[Any]) -> Any:
    values = {
        D.state: literal_column("'sending'"), D.lease_owner: literal_column("'floor'"),
        D.lease_until: bindparam("now") + literal_column(str(LEASE)), D.fence: D.fence + literal_column("1"),
        D.attempts: D.attempts + literal_column("1"),
    }  # fmt: skip
    return update(t.delivery).where(D.id.in_(due)).values(values).returning(D.id, D.payload)
