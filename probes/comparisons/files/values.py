"""From value text to exact decimals: the view `side_I` (k0.., v0.. DECIMAL or NULL, bad, line, ordinal).

Texts of the plainest spelling are cast by the database; each other distinct spelling is read once by the one number
reader in `rules/`, and looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from probes.comparisons.answer.model import BadRow
from probes.comparisons.files.tables import Desk, Loaded, counted, literal
from rules.comparison.numbers import (
    DECIMAL_PLACES,
    INTEGER_DIGITS,
    Mark,
    NumberError,
    canonical,
    decide_mark,
    evidence,
    parse_number,
)

DECIMAL = f"DECIMAL(38,{DECIMAL_PLACES})"
SAMPLES = 1000
_WHOLE = f"[+-]?[0-9]{{1,{INTEGER_DIGITS}}}"
_PLAIN = {
    Mark.DOT: f"{_WHOLE}(\\.[0-9]{{1,{DECIMAL_PLACES}}})?",
    Mark.COMMA: f"{_WHOLE}(,[0-9]{{1,{DECIMAL_PLACES}}})?",
    Mark.UNKNOWN: _WHOLE,
}
PLAINEST = "0|-?[1-9][0-9]{0,17}"
_LONGEST_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Normalised:
    """Counts of one side after its values were read; `bad_samples` holds the first bad rows in file order."""

    rows: int
    bad_rows: int
    bad_samples: tuple[BadRow, ...]
    notes: tuple[str, ...]


def are_whole(desk: Desk, loaded: Loaded) -> bool:
    """Whether every row can be read, and every value is a whole number of at most 18 digits, written in the plainest way."""
    needed = [*desk.key_columns, *(desk.text_columns if loaded.small else ())]
    there = " AND ".join(f"{column} IS NOT NULL" for column in needed)
    if counted(desk.con, f"SELECT count(*) FROM raw_{desk.index} WHERE trouble IS NOT NULL OR NOT ({there})")[0]:  # noqa: S608
        return False
    return loaded.small or not any(_has_others(desk, column) for column in desk.text_columns)


def _has_others(desk: Desk, column: str) -> bool:
    spellings = f"(SELECT DISTINCT {column} FROM raw_{desk.index})"  # noqa: S608
    return bool(counted(desk.con, f"SELECT count(*) FROM {spellings} WHERE NOT {_is_like(column, PLAINEST)}")[0])  # noqa: S608


def normalise(desk: Desk, loaded: Loaded, whole: bool = False) -> Normalised:
    """Make the view `side_I` over `raw_I`, and count what could not be read.

    `whole`: it is known that the values are whole numbers (`are_whole`); then the view has them as BIGINT.
    """
    if whole:
        return _as_they_are(desk)
    odd = [column for column in desk.text_columns if _count_unlike(desk, column, _WHOLE)]
    marks, notes = _marks(desk, loaded, odd)
    looked_up = [c for c in odd if _count_unlike(desk, c, _PLAIN[marks[c]]) and _look_up(desk, c, marks[c])]
    _publish(desk, marks, looked_up)
    rows, bad = _counts(desk)
    return Normalised(rows, bad, _samples(desk, loaded, marks) if bad else (), notes)


def _as_they_are(desk: Desk) -> Normalised:
    values = ", ".join(f"CAST({column} AS BIGINT) AS v{column[1:]}" for column in desk.text_columns)
    keys = ", ".join(desk.key_columns)
    desk.con.execute(
        f"CREATE VIEW side_{desk.index} AS SELECT {keys}, {values}, false AS bad, line, ordinal FROM raw_{desk.index}"  # noqa: S608
    )
    return Normalised(counted(desk.con, f"SELECT count(*) FROM raw_{desk.index}")[0], 0, (), ())  # noqa: S608


def _is_like(column: str, pattern: str) -> str:
    return f"coalesce(regexp_full_match({column}, {literal(pattern)}), false)"


def _count_unlike(desk: Desk, column: str, pattern: str) -> int:
    query = f"SELECT count(*) FILTER (NOT {_is_like(column, pattern)}) FROM raw_{desk.index}"  # noqa: S608
    return counted(desk.con, query)[0]


def _marks(desk: Desk, loaded: Loaded, odd: Sequence[str]) -> tuple[dict[str, Mark], tuple[str, ...]]:
    """The decimal mark of each value column; the columns whose mark is open share their evidence."""
    known = dict(zip(desk.text_columns, loaded.marks, strict=True))
    seen = [evidence(text) for column in odd if known[column] is None for text in _spellings(desk, column)]
    decided = decide_mark(seen, semicolon_separated=loaded.semicolon_separated)
    notes = {
        Mark.COMMA: ("decimal comma",),
        Mark.UNKNOWN: ("decimal mark not proven by its values: ambiguous numbers are bad rows; say --decimal",),
    }
    return {column: mark or decided for column, mark in known.items()}, notes.get(decided, ())


def _spellings(desk: Desk, column: str) -> list[str]:
    """One text of every shape (digits made alike), which is all that the evidence for a decimal mark needs."""
    shape = f"regexp_replace({column}, '[0-9]', '9', 'g'), regexp_matches({column}, '^[^0-9]*0')"
    rows = desk.con.execute(
        f"SELECT min({column}) FROM raw_{desk.index} WHERE {column} IS NOT NULL "  # noqa: S608
        f"AND NOT {_is_like(column, _WHOLE)} GROUP BY {shape}"
    ).fetchall()
    return [row[0] for row in rows]


def _look_up(desk: Desk, column: str, mark: Mark) -> bool:
    """Read every distinct spelling that the database may not cast, into `look_I_COLUMN` (spelling, number)."""
    import pyarrow as pa

    rows = desk.con.execute(
        f"SELECT DISTINCT {column} FROM raw_{desk.index} WHERE NOT {_is_like(column, _PLAIN[mark])}"  # noqa: S608
    ).fetchall()
    read = [(row[0], _read(row[0], mark)) for row in rows if row[0] is not None]
    schema = pa.schema([("spelling", pa.string()), ("number", pa.string())])
    desk.con.register("look", pa.table([[t for t, _ in read], [n for _, n in read]], schema=schema))
    desk.con.execute(
        f"CREATE TABLE look_{desk.index}_{column} AS SELECT spelling, CAST(number AS {DECIMAL}) AS number FROM look"  # noqa: S608
    )
    desk.con.unregister("look")
    return True


def _read(text: str, mark: Mark) -> str | None:
    try:
        return canonical(parse_number(text, mark))
    except NumberError:
        return None


def _publish(desk: Desk, marks: dict[str, Mark], looked_up: Sequence[str]) -> None:
    values = ", ".join(f"{_number(c, marks[c], c in looked_up)} AS v{c[1:]}" for c in desk.text_columns)
    joins = " ".join(f"LEFT JOIN look_{desk.index}_{c} AS l{c} ON l{c}.spelling = r.{c}" for c in looked_up)
    bad = " OR ".join(["trouble IS NOT NULL", *(f"v{c[1:]} IS NULL" for c in desk.text_columns)])
    keys = ", ".join(desk.key_columns)
    # A join is worth keeping the outcome of; a cast is cheaper made anew than written down.
    kind = "TABLE" if looked_up else "VIEW"
    desk.con.execute(
        f"CREATE {kind} every_{desk.index} AS SELECT *, ({bad}) AS bad FROM "  # noqa: S608
        f"(SELECT {keys}, {values}, line, trouble, ordinal FROM raw_{desk.index} AS r {joins})"
    )
    keyed = " AND ".join(f"{key} IS NOT NULL" for key in desk.key_columns)
    desk.con.execute(f"CREATE VIEW side_{desk.index} AS SELECT * FROM every_{desk.index} WHERE {keyed}")  # noqa: S608


def _number(column: str, mark: Mark, looked_up: bool) -> str:
    """SQL: the exact value of a text column, NULL where it cannot be read."""
    text = f"replace(r.{column}, ',', '.')" if mark is Mark.COMMA else f"r.{column}"
    cast = f"CASE WHEN {_is_like(f'r.{column}', _PLAIN[mark])} THEN TRY_CAST({text} AS {DECIMAL}) END"
    return f"coalesce({cast}, l{column}.number)" if looked_up else f"TRY_CAST({text} AS {DECIMAL})"


def _counts(desk: Desk) -> tuple[int, int]:
    rows, bad = counted(desk.con, f"SELECT count(*), count(*) FILTER (bad) FROM every_{desk.index}")  # noqa: S608
    return rows, bad


def _samples(desk: Desk, loaded: Loaded, marks: dict[str, Mark]) -> tuple[BadRow, ...]:
    texts = ", ".join(f"r.{column}" for column in desk.text_columns)
    keys = ", ".join(f"r.{key}" for key in desk.key_columns)
    rows = desk.con.execute(
        f"SELECT r.ordinal, r.line, r.trouble, {keys}, {texts} FROM raw_{desk.index} AS r "  # noqa: S608
        f"JOIN every_{desk.index} AS e ON e.ordinal = r.ordinal WHERE e.bad ORDER BY r.ordinal LIMIT {SAMPLES}"
    ).fetchall()
    missing = [row[0] for row in rows if row[1] is None]
    lines = loaded.find_lines(missing) if missing and loaded.find_lines else {}
    return tuple(_sample(desk, marks, row, lines) for row in rows)


def _sample(desk: Desk, marks: dict[str, Mark], row: Sequence[object], lines: dict[int, int]) -> BadRow:
    ordinal, line, trouble, *cells = row
    shown = " | ".join("" if cell is None else str(cell) for cell in cells)
    reason = str(trouble) if trouble else _reason(desk, marks, cells[len(desk.keys) :])
    number = line if isinstance(line, int) else lines.get(ordinal) if isinstance(ordinal, int) else None
    return BadRow(number, reason, shown[:_LONGEST_SHOWN])


def _reason(desk: Desk, marks: dict[str, Mark], cells: Sequence[object]) -> str:
    for name, column, cell in zip(desk.values, desk.text_columns, cells, strict=True):
        text = "" if cell is None else str(cell)
        try:
            parse_number(text, marks[column])
        except NumberError as error:
            return f"{name} {text[:40]!r}: {error}" if text.strip() else f"{name}: {error}"
    return "cannot be read"
