"""The tables that readers fill and the engine reads, in one DuckDB that spills to a folder of its own.

`text_I` and over it the view `raw_I`: k0.. (key text, trimmed, NULL where the key could not be read), t0.. (value text
as written), line (of the file, NULL when it must be looked up), trouble (why the whole row is bad), ordinal (0-based).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rules.comparison.numbers import Mark

if TYPE_CHECKING:
    import duckdb

BLANKS = " \t\r\n\u00a0"
Progress = Callable[[str, int], None]
LineFinder = Callable[[Sequence[int]], dict[int, int]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a reader says about a side whose raw table it filled.

    `marks`: per value column the decimal mark where it is certain (typed numbers, JSON, asked for), else None.
    `find_lines`: the file's lines of some ordinals, for a reader that did not keep them; None for one that did.
    `hashed`: `text_I` has the columns of `row_hashes`. `small`: a value that is there is a whole number of 32 bits.
    """

    format: str
    encoding: str
    notes: tuple[str, ...]
    marks: tuple[Mark | None, ...]
    semicolon_separated: bool = False
    find_lines: LineFinder | None = field(default=None, compare=False)
    hashed: bool = False
    small: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one side is loaded: the database, a scratch folder, the side's number and the canonical columns."""

    con: "duckdb.DuckDBPyConnection"
    scratch: Path
    index: int
    keys: tuple[str, ...]
    values: tuple[str, ...]
    progress: Progress

    @property
    def key_columns(self) -> list[str]:
        return [f"k{i}" for i in range(len(self.keys))]

    @property
    def text_columns(self) -> list[str]:
        return [f"t{i}" for i in range(len(self.values))]


def literal(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def row_hashes(keys: Sequence[str], values: Sequence[str]) -> list[str]:
    """SQL: a row's two hashes of 64 bits, that of its key as `key_hash` and that of key and values as `fingerprint`."""
    key = f"hash({', '.join(keys)})"
    return [f"{key} AS key_hash", f"hash({', '.join([key, *values])}) AS fingerprint"]


def trimmed(expression: str) -> str:
    """SQL: the text without surrounding blanks, NULL when nothing is left.

    Most keys have nothing to trim, and finding that out is several times cheaper than trimming a set of characters.
    """
    bare = f"regexp_full_match({expression}, '[!-~]([ -~]*[!-~])?')"
    return f"CASE WHEN {bare} THEN {expression} ELSE nullif(trim({expression}, {literal(BLANKS)}), '') END"


def blank_edged(expression: str) -> str:
    """SQL: whether a text is empty or has a blank at one of its ends; what begins with a control character counts too.

    As a condition on a column alone it is several times cheaper than trimming.
    """
    ends = " OR ".join(f"suffix({expression}, chr({ord(blank)}))" for blank in BLANKS)
    return f"{expression} < '!' OR {ends} OR prefix({expression}, chr(160))"


def publish(desk: Desk, *, kept_lines: bool, ordinal: str = "rowid") -> None:
    """Put the view `raw_I` over the filled table `text_I`."""
    columns = ", ".join([*desk.key_columns, *desk.text_columns])
    extra = "line, trouble" if kept_lines else "NULL::BIGINT AS line, NULL::VARCHAR AS trouble"
    desk.con.execute(
        f"CREATE VIEW raw_{desk.index} AS SELECT {columns}, {extra}, {ordinal} AS ordinal FROM text_{desk.index}"  # noqa: S608
    )


def narrow(desk: Desk, condition: str, *, kept_lines: bool) -> None:
    """Keep of the raw table only the rows that `condition` (SQL) holds of."""
    number = desk.index
    desk.con.execute(f"DROP VIEW raw_{number}")
    kept = f"SELECT *, rowid AS place FROM text_{number} WHERE {condition}"  # noqa: S608
    desk.con.execute(f"CREATE TABLE kept_{number} AS {kept}")
    desk.con.execute(f"DROP TABLE text_{number}")
    desk.con.execute(f"ALTER TABLE kept_{number} RENAME TO text_{number}")
    publish(desk, kept_lines=kept_lines, ordinal="place")


def counted(con: "duckdb.DuckDBPyConnection", query: str) -> list[int]:
    """The one row of counts that `query` answers; fetched whole, for an open result blocks the connection."""
    (row,) = con.execute(query).fetchall()
    return [int(cell) for cell in row]
