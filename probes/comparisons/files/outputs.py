"""Every difference as a table for other programs: Parquet or CSV, in the order of keys, written by the database."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probes.comparisons.files.align import Shape, evidence
from probes.comparisons.files.tables import identifier, literal
from rules.cells import FORMULA

if TYPE_CHECKING:
    import duckdb


def write_differences(
    con: "duckdb.DuckDBPyConnection",
    shape: Shape,
    names: Sequence[str],
    keys: Sequence[str],
    values: Sequence[str],
    target: Path,
) -> None:
    """Write the keys that do not agree: key columns, `kind`, and for each side `NAME` (its state) and `NAME.VALUE` (NULL unless present).

    A target that ends in `.csv` becomes CSV, in which a key that a spreadsheet would take for a formula gets an apostrophe; any
    other becomes Parquet. Raises duckdb.Error where it cannot be written.
    """
    as_text = target.suffix.lower() == ".csv"
    columns = [f"{_safe(f'c.k{i}') if as_text else f'c.k{i}'} AS {identifier(name)}" for i, name in enumerate(keys)]
    columns.append("v.kind AS kind")
    for i, side in enumerate(names):
        columns.append(f"c.s{i} AS {identifier(side)}")
        columns += [f"c.v{i}_{j} AS {identifier(f'{side}.{value}')}" for j, value in enumerate(values)]
    same = " AND ".join(f"{sql} IS NOT DISTINCT FROM v.{name}" for name, sql in evidence(shape, "c.").items())
    order = ", ".join(f"c.k{i}" for i in range(shape.keys))
    form = "FORMAT csv, HEADER" if as_text else "FORMAT parquet, COMPRESSION zstd"
    con.execute(
        f"COPY (SELECT {', '.join(columns)} FROM candidates AS c JOIN verdicts AS v ON {same} "  # noqa: S608
        f"WHERE v.kind <> 'agree' ORDER BY {order}) TO {literal(str(target))} ({form})"
    )


def _safe(text: str) -> str:
    """SQL: the text as rules.cells has it; a lone sign or a number stays as it is."""
    plain = f"ltrim({text}, ' \u00a0\ufeff')"
    begins = " OR ".join(f"starts_with({plain}, chr({ord(mark)}))" for mark in FORMULA)
    number = f"regexp_full_match({text}, '-?[0-9]+([.,][0-9]+)?')"
    return f"CASE WHEN ({begins}) AND length({plain}) > 1 AND NOT {number} THEN chr(39) || {text} ELSE {text} END"
