"""The named SQL, in DuckDB's dialect, and what sqlglot makes of it for others.

`candidates`: a row for every key but those whose sides all have one readable row within the tolerance: keys `k0…`, for each side `n0…`
(rows), `b0…` (of them unreadable) and the values `v0_0…` (NULL unless the side has one readable row). `summary`: a row for a
side: rows, unreadable rows, keys that are there more than once, keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from probes.comparisons.answer import CouldNotCompare

PARSED = ("snowflake", "bigquery", "databricks")
"""Dialects that sqlglot can parse what it made for: parsed, not run."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is compared: a relation a side (SQL that FROM takes, of this dialect), key and value columns, the tolerance."""

    relations: tuple[str, ...]
    keys: tuple[str, ...]
    values: tuple[str, ...]
    tolerance: Decimal


def candidates(task: Task) -> str:
    """Return the query for the keys that may differ."""
    sides = range(len(task.relations))
    joins = f"FROM ({_side(task, 0)}) AS s0"
    for side in sides[1:]:
        on = " AND ".join(f"{_first(f'k{key}', side)} = s{side}.k{key}" for key in range(len(task.keys)))
        joins += f" FULL OUTER JOIN ({_side(task, side)}) AS s{side} ON {on}"
    shown = [f"{_first(f'k{key}', len(task.relations))} AS k{key}" for key in range(len(task.keys))]
    for side in sides:
        shown += [f"COALESCE(s{side}.n, 0) AS n{side}", f"COALESCE(s{side}.b, 0) AS b{side}"]
        shown += [f"s{side}.v{value} AS v{side}_{value}" for value in range(len(task.values))]
    single = [f"COALESCE(s{side}.n, 0) = 1 AND s{side}.b = 0" for side in sides]
    near = [f"{_spread(task, value)} <= {task.tolerance:f}" for value in range(len(task.values))]
    return f"SELECT {', '.join(shown)} {joins} WHERE NOT COALESCE({' AND '.join(single + near)}, FALSE)"


def summary(task: Task, side: int) -> str:
    """Return the query for what a side holds: rows, unreadable rows, keys that are there more than once, keys."""
    bad = f"COUNT(*) FILTER (WHERE {_unreadable(task)})"
    keyed = " AND ".join(f"{_key(key)} IS NOT NULL" for key in task.keys)
    return (
        f"SELECT t.n, t.b, g.d, g.k FROM (SELECT COUNT(*) AS n, {bad} AS b FROM {task.relations[side]}) AS t CROSS JOIN "  # noqa: S608
        f"(SELECT COUNT(*) FILTER (WHERE c > 1) AS d, COUNT(*) AS k FROM (SELECT COUNT(*) AS c FROM {task.relations[side]} "
        f"WHERE {keyed} GROUP BY {', '.join(_key(key) for key in task.keys)}) AS h) AS g"
    )


def translated(query: str, dialect: str) -> str:
    """Return a query in another dialect. Raises CouldNotCompare for one that sqlglot does not know."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return sqlglot.transpile(query, read="duckdb", write=dialect)[0]
    except (SqlglotError, ValueError) as error:
        raise CouldNotCompare([f"the comparison cannot be said in the SQL of {dialect!r}: {error}"]) from error


def identifier(name: str) -> str:
    """Return a column's name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def _side(task: Task, side: int) -> str:
    """SQL: a row a key of a side, with how many rows it has."""
    keys = [f"{_key(key)} AS k{place}" for place, key in enumerate(task.keys)]
    unreadable = f"COUNT(*) FILTER (WHERE {_unreadable(task)})"
    single = f"COUNT(*) = 1 AND {unreadable} = 0"
    values = [
        f"CASE WHEN {single} THEN MIN({identifier(value)}) END AS v{place}" for place, value in enumerate(task.values)
    ]
    keyed = " AND ".join(f"{_key(key)} IS NOT NULL" for key in task.keys)
    grouped = ", ".join(_key(key) for key in task.keys)
    return (
        f"SELECT {', '.join(keys)}, COUNT(*) AS n, {unreadable} AS b, {', '.join(values)} FROM {task.relations[side]} "  # noqa: S608
        f"WHERE {keyed} GROUP BY {grouped}"
    )


def _key(name: str) -> str:
    """SQL: a key as text, without the blanks around it, NULL where nothing is left."""
    blanks = "' ' || CHR(9) || CHR(10) || CHR(13) || CHR(160)"
    return f"NULLIF(TRIM(CAST({identifier(name)} AS VARCHAR), {blanks}), '')"


def _unreadable(task: Task) -> str:
    return " OR ".join(
        [*(f"{_key(key)} IS NULL" for key in task.keys), *(f"{identifier(value)} IS NULL" for value in task.values)]
    )


def _first(column: str, sides: int) -> str:
    """SQL: the column of the first of so many sides that has it."""
    found = ", ".join(f"s{side}.{column}" for side in range(sides))
    return f"COALESCE({found})" if sides > 1 else found


def _spread(task: Task, value: int) -> str:
    cells = ", ".join(f"s{side}.v{value}" for side in range(len(task.relations)))
    return f"(GREATEST({cells}) - LEAST({cells}))"


def all_parse(task: Task) -> dict[str, list[str]]:
    """Return every query in every dialect that could not be run here, each parsed again as a check."""
    import sqlglot

    found = {}
    for dialect in PARSED:
        made = [translated(query, dialect) for query in (candidates(task), summary(task, 0))]
        for query in made:
            sqlglot.parse_one(query, read=dialect)
        found[dialect] = made
    return found
