"""Aligning the sides by key in DuckDB, choosing the keys that may differ, and having each judged by the one verdict.

Keys with a duplicate or bad row anywhere are set apart first (`troubled`); the rest is unique on every side, so plain
full outer joins align it. `candidates` holds per key the sides' states (s0..) and values (v0_0..), all but those where
every side is present and no column is further apart than the tolerance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any

from probes.comparisons.answer.model import Difference
from probes.comparisons.files.tables import counted
from probes.comparisons.files.values import DECIMAL
from rules.comparison.verdict import Kind, Side, State, judge, kind_of

if TYPE_CHECKING:
    import duckdb

# Beyond every distance that two values can have, so that a larger tolerance means the same and still fits the type.
_WIDEST = Decimal(5) * 10**19


@dataclass(frozen=True, slots=True)
class Aligned:
    """Counts over all keys, and the worst differences in order; `agree + differ` are all keys."""

    agree: int
    kinds: dict[Kind, int]
    missing: tuple[int, ...]
    duplicates: tuple[int, ...]
    differences: tuple[Difference, ...]

    @property
    def differ(self) -> int:
        return sum(self.kinds.values())


@dataclass(frozen=True, slots=True)
class Shape:
    """How many sides, key columns and value columns there are, and which sides hold bad rows.

    `number` is the SQL type that the values of all sides fit, exactly, and so do the distances between them.
    """

    sides: int
    keys: int
    values: int
    bad: tuple[bool, ...]
    tolerance: Decimal
    number: str = DECIMAL
    key_list: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key_list", ", ".join(f"k{i}" for i in range(self.keys)))

    def cells(self, side: int) -> list[str]:
        return [f"v{side}_{j}" for j in range(self.values)]


def align(con: "duckdb.DuckDBPyConnection", shape: Shape, limit: int) -> Aligned:
    """Judge every key of the views `side_0..`; `limit` bounds the differences that are fetched, worst first."""
    duplicates = tuple(_set_duplicates_apart(con, shape, i) for i in range(shape.sides))
    troubled = _set_troubled_apart(con, shape, duplicates)
    _choose_candidates(con, shape, troubled)
    agree, kinds = _judge_all(con, shape)
    agree += _agreeing_rows(con, shape, troubled)
    missing = _scalars(con, [f"count(*) FILTER (s{i} = 'missing')" for i in range(shape.sides)])
    return Aligned(agree, kinds, tuple(missing), duplicates, tuple(_worst(con, shape, limit)))


def _scalars(con: "duckdb.DuckDBPyConnection", expressions: Sequence[str], table: str = "candidates") -> list[int]:
    return counted(con, f"SELECT {', '.join(expressions)} FROM {table}")  # noqa: S608


def _set_duplicates_apart(con: "duckdb.DuckDBPyConnection", shape: Shape, side: int) -> int:
    """Fill `twice_I` with the keys that occur more than once, if there may be any; how many there are.

    Fingerprints are counted first: that is cheap, and a chance collision only costs the exact count.
    """
    keys = shape.key_list
    rows, prints = _scalars(con, ["count(*)", f"count(DISTINCT hash({keys}))"], f"side_{side}")
    if rows == prints:
        return 0
    con.execute(f"CREATE TABLE twice_{side} AS SELECT {keys} FROM side_{side} GROUP BY {keys} HAVING count(*) > 1")  # noqa: S608
    return _scalars(con, ["count(*)"], f"twice_{side}")[0]


def _set_troubled_apart(con: "duckdb.DuckDBPyConnection", shape: Shape, duplicates: Sequence[int]) -> bool:
    parts = [f"SELECT {shape.key_list} FROM twice_{i}" for i in range(shape.sides) if duplicates[i]]  # noqa: S608
    parts += [f"SELECT {shape.key_list} FROM side_{i} WHERE bad" for i in range(shape.sides) if shape.bad[i]]  # noqa: S608
    if parts:
        con.execute(f"CREATE TABLE troubled AS {' UNION '.join(parts)}")
    return bool(parts)


def _choose_candidates(con: "duckdb.DuckDBPyConnection", shape: Shape, troubled: bool) -> None:
    clean = _joined(shape, [_clean_side(shape, i, troubled) for i in range(shape.sides)])
    limit = f"CAST('{min(shape.tolerance, _WIDEST):f}' AS {DECIMAL})"
    near = " AND ".join(f"{_spread(shape, j, 'v{0}_{1}')} <= {limit}" for j in range(shape.values))
    present = " AND ".join(f"s{i} = 'present'" for i in range(shape.sides))
    con.execute(f"CREATE TABLE candidates AS SELECT *, true AS clean FROM ({clean}) WHERE NOT ({present} AND {near})")  # noqa: S608
    if troubled:
        rest = _joined(shape, [_troubled_side(shape, i) for i in range(shape.sides)])
        con.execute(f"INSERT INTO candidates SELECT *, false AS clean FROM ({rest})")  # noqa: S608


def _spread(shape: Shape, column: int, cell: str) -> str:
    cells = ", ".join(cell.format(i, column) for i in range(shape.sides))
    return f"(greatest({cells}) - least({cells}))"


def _clean_side(shape: Shape, side: int, troubled: bool) -> str:
    values = ", ".join(f"CAST(v{j} AS {shape.number}) AS v{side}_{j}" for j in range(shape.values))
    without = f"ANTI JOIN troubled USING ({shape.key_list})" if troubled else ""
    return f"(SELECT {shape.key_list}, 'present' AS s{side}, {values} FROM side_{side} {without})"  # noqa: S608


def _troubled_side(shape: Shape, side: int) -> str:
    """Every troubled key's state on one side, as rules.comparison.verdict.state_of has it."""
    state = "CASE WHEN bool_or(bad) THEN 'bad' WHEN count(*) > 1 THEN 'duplicate' ELSE 'present' END"
    values = ", ".join(
        f"CASE WHEN {state} = 'present' THEN CAST(min(v{j}) AS {shape.number}) END AS v{side}_{j}"
        for j in range(shape.values)
    )
    return (
        f"(SELECT {shape.key_list}, {state} AS s{side}, {values} FROM side_{side} "  # noqa: S608
        f"SEMI JOIN troubled USING ({shape.key_list}) GROUP BY {shape.key_list})"
    )


def _joined(shape: Shape, sides: Sequence[str]) -> str:
    first, *others = sides
    joins = " ".join(f"FULL JOIN {other} USING ({shape.key_list})" for other in others)
    states = ", ".join(f"coalesce(s{i}, 'missing') AS s{i}" for i in range(shape.sides))
    cells = ", ".join(cell for i in range(shape.sides) for cell in shape.cells(i))
    return f"SELECT {shape.key_list}, {states}, {cells} FROM {first} {joins}"  # noqa: S608


def _agreeing_rows(con: "duckdb.DuckDBPyConnection", shape: Shape, troubled: bool) -> int:
    """Keys that never became candidates: the clean rows of a side less its candidates. All sides must say the same."""
    without = f"ANTI JOIN troubled USING ({shape.key_list})" if troubled else ""
    counts = set()
    for i in range(shape.sides):
        (rows,) = _scalars(con, ["count(*)"], f"side_{i} {without}")
        (chosen,) = _scalars(con, [f"count(*) FILTER (clean AND s{i} = 'present')"])
        counts.add(rows - chosen)
    if len(counts) != 1:
        raise AssertionError(f"the sides count different numbers of agreeing keys: {sorted(counts)}")
    return counts.pop()


def _judge_all(con: "duckdb.DuckDBPyConnection", shape: Shape) -> tuple[int, dict[Kind, int]]:
    """Judge each distinct evidence once, into `verdicts` (states, cells, kind); values are evidence only where all sides are present.

    A verdict asks how far apart values are and not how large: each is told as what it is above the least of its column, so that
    a hundred thousand keys are some hundred cases.
    """
    parts = ", ".join(f"{sql} AS {name}" for name, sql in evidence(shape).items())
    con.execute(
        f"CREATE TABLE verdicts AS SELECT *, row_number() OVER () AS id, '' AS kind FROM "  # noqa: S608
        f"(SELECT {parts}, count(*) AS keys FROM candidates GROUP BY ALL)"
    )
    agree = 0
    kinds: dict[Kind, int] = {kind: 0 for kind in Kind if kind is not Kind.AGREE}
    found: dict[Kind, list[int]] = {kind: [] for kind in Kind}
    for row in _fetched(con.execute(f"SELECT {', '.join(evidence(shape))}, keys, id FROM verdicts")):  # noqa: S608
        kind = kind_of(_sides(shape, row[:-2]), shape.tolerance)
        found[kind].append(row[-1])
        if kind is Kind.AGREE:
            agree += row[-2]
        else:
            kinds[kind] += row[-2]
    for kind, ids in found.items():
        con.execute("UPDATE verdicts SET kind = ? WHERE list_contains(?, id)", [kind.value, ids])
    return agree, kinds


def evidence(shape: Shape, of: str = "") -> dict[str, str]:
    """Return what a verdict on a candidate rests on, name to SQL; `of` is put before its columns' names."""
    states = {f"s{i}": f"{of}s{i}" for i in range(shape.sides)}
    comparable = " AND ".join(f"{state} = 'present'" for state in states.values())
    cells = {}
    for i, j in product(range(shape.sides), range(shape.values)):
        least = f"least({', '.join(f'{of}v{other}_{j}' for other in range(shape.sides))})"
        cells[f"c{i}_{j}"] = f"CASE WHEN {comparable} THEN {of}v{i}_{j} - {least} END"
    return states | cells


def _worst(con: "duckdb.DuckDBPyConnection", shape: Shape, limit: int) -> Iterator[Difference]:
    """The differences with the largest gap, then in the order of their keys."""
    gap = ", ".join(_spread(shape, j, "coalesce(v{0}_{1}, 0)") for j in range(shape.values))
    states = ", ".join(f"s{i}" for i in range(shape.sides))
    cells = ", ".join(cell for i in range(shape.sides) for cell in shape.cells(i))
    cursor = con.execute(
        f"SELECT {shape.key_list}, {states}, {cells} FROM candidates "  # noqa: S608
        f"ORDER BY greatest({gap}) DESC, {shape.key_list} LIMIT {limit}"
    )
    for row in _fetched(cursor):
        sides = _sides(shape, row[shape.keys :])
        verdict = judge(sides, shape.tolerance)
        if verdict.kind is not Kind.AGREE:
            values = tuple(side.values or None for side in sides)
            yield Difference(tuple(row[: shape.keys]), values, verdict.kind, verdict.gap)


def _fetched(cursor: "duckdb.DuckDBPyConnection") -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(10_000):
        yield from rows


def _sides(shape: Shape, row: Sequence[Any]) -> list[Side]:
    """A candidate's states and values, laid out side by side, as evidence for the verdict."""
    states, cells, width = row[: shape.sides], row[shape.sides :], shape.values
    return [
        Side(State(state), tuple(Decimal(cell) for cell in cells[i * width : (i + 1) * width] if cell is not None))
        for i, state in enumerate(states)
    ]
