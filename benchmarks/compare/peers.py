"""The peers, each doing the whole job in a process of its own: `python -m benchmarks.compare.peers NAME FOLDER FORMAT OUT [LIMIT]`.

The job: of three files, every key that a side lacks or whose quantities are further apart than the tolerance, with all nine quantities,
into a Parquet file; counts by what is wrong. Each prints one JSON line with `differ`. What a peer leaves out is said at its function.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.compare.data import QUANTITIES, SIDES, TOLERANCE

KEYS = ["sku", "location"]
NAMES = list(SIDES)


def duckdb_join(folder: str, suffix: str, out: str, limit: str) -> int:
    """Two full outer joins in DuckDB: the plain way to do it in SQL."""
    con = _duckdb(folder, limit)
    columns = ", ".join(f"{side}.{q} AS {side}_{q}" for side in NAMES for q in QUANTITIES)
    apart = " OR ".join(f"({_spread(q)}) > {TOLERANCE}" for q in QUANTITIES)
    missing = " ".join(f"WHEN {side}.on_hand IS NULL THEN 'missing_{side}'" for side in NAMES)
    joins = " FULL JOIN ".join(
        f"{_source(folder, side, suffix)} AS {side}" + (" USING (sku, location)" if number else "")
        for number, side in enumerate(NAMES)
    )
    con.execute(
        f"CREATE TEMP TABLE found AS SELECT sku, location, {columns}, CASE {missing} WHEN {apart} THEN 'value' END AS kind "  # noqa: S608
        f"FROM {joins} WHERE kind IS NOT NULL"
    )
    con.execute(f"COPY found TO '{out}' (FORMAT parquet)")
    con.execute("SELECT kind, count(*) FROM found GROUP BY kind").fetchall()
    return int(con.execute("SELECT count(*) FROM found").fetchall()[0][0])


def _duckdb(folder: str, limit: str) -> Any:
    import duckdb

    con = duckdb.connect()
    con.execute(f"SET threads=2; SET preserve_insertion_order=false; SET temp_directory='{folder}/spilled-by-a-join'")
    if limit:
        con.execute(f"SET memory_limit='{limit}'")
    return con


def _source(folder: str, side: str, suffix: str) -> str:
    path = f"{folder}/{side}.{suffix}"
    if suffix == "parquet":
        return f"read_parquet('{path}')"
    kinds = (
        ", ".join(f"'{name}': 'VARCHAR'" for name in KEYS) + ", " + ", ".join(f"'{q}': 'INTEGER'" for q in QUANTITIES)
    )
    return f"read_csv('{path}', header=true, auto_detect=false, delim=',', quote='\"', columns={{{kinds}}})"


def _spread(quantity: str) -> str:
    cells = ", ".join(f"{side}.{quantity}" for side in NAMES)
    return f"greatest({cells}) - least({cells})"


def scan(folder: str, suffix: str, out: str, limit: str) -> int:  # noqa: ARG001
    """Touch every column of every row once, and compare nothing: the floor of reading."""
    con = _duckdb(folder, limit)
    for side in NAMES:
        sums = ", ".join(f"sum({q})" for q in QUANTITIES)
        con.execute(f"SELECT bit_xor(hash(sku, location)), {sums} FROM {_source(folder, side, suffix)}").fetchall()  # noqa: S608
    return -1


def polars_streaming(folder: str, suffix: str, out: str, limit: str) -> int:  # noqa: ARG001
    """Polars' streaming engine: the sides beneath each other, every quantity in a column of its own, grouped by key."""
    import polars as pl

    parts = []
    for side in NAMES:
        path = f"{folder}/{side}.{suffix}"
        frame = pl.scan_parquet(path) if suffix == "parquet" else pl.scan_csv(path)
        cells = [
            (pl.col(q).cast(pl.Int32) if other == side else pl.lit(None, pl.Int32)).alias(f"{other}_{q}")
            for other in NAMES for q in QUANTITIES
        ]  # fmt: skip
        parts.append(frame.select(*KEYS, *cells))
    pivot = pl.concat(parts).group_by(*KEYS).agg(pl.all().max())
    kind = pl.when(pl.lit(False)).then(pl.lit(""))
    for side in NAMES:
        kind = kind.when(pl.col(f"{side}_on_hand").is_null()).then(pl.lit(f"missing_{side}"))
    for q in QUANTITIES:
        cells = [f"{side}_{q}" for side in NAMES]
        kind = kind.when(pl.max_horizontal(cells) - pl.min_horizontal(cells) > TOLERANCE).then(pl.lit("value"))
    found = (
        pivot.with_columns(kind=kind.otherwise(None)).filter(pl.col("kind").is_not_null()).collect(engine="streaming")
    )
    found.write_parquet(out)
    found.group_by("kind").len()
    return found.height


def datacompy_pairs(folder: str, suffix: str, out: str, limit: str) -> int:  # noqa: ARG001
    """datacompy knows pairs only: the first side against each other one, then the keys of either pair; it writes keys alone."""
    import datacompy
    import pandas as pd

    def read(side: str) -> Any:
        path = f"{folder}/{side}.{suffix}"
        return pd.read_parquet(path) if suffix == "parquet" else pd.read_csv(path, dtype=dict.fromkeys(KEYS, str))

    first, keys = read(NAMES[0]), []
    for side in NAMES[1:]:
        pair = datacompy.PandasCompare(first, read(side), join_columns=KEYS, abs_tol=TOLERANCE, rel_tol=0)
        keys += [part[KEYS] for part in (pair.df1_unq_rows, pair.df2_unq_rows, pair.all_mismatch())]
    found = pd.concat(keys).drop_duplicates()
    found.to_parquet(out)
    return len(found)


def pandas_merge(folder: str, suffix: str, out: str, limit: str) -> int:  # noqa: ARG001
    """pandas: two outer merges, then the spread of each quantity. It counts no kinds."""
    import pandas as pd

    merged = _frame(folder, NAMES[0], suffix)
    for side in NAMES[1:]:
        merged = merged.merge(_frame(folder, side, suffix), on=KEYS, how="outer")
    apart = pd.Series(data=False, index=merged.index)
    for q in QUANTITIES:
        cells = merged[[f"{side}_{q}" for side in NAMES]]
        apart |= cells.isna().any(axis=1) | (cells.max(axis=1) - cells.min(axis=1) > TOLERANCE)
    found = merged[apart]
    found.to_parquet(out)
    return len(found)


def _frame(folder: str, side: str, suffix: str) -> Any:
    """Return a side as pandas has it, its quantities named after it."""
    import pandas as pd

    path = f"{folder}/{side}.{suffix}"
    frame = pd.read_parquet(path) if suffix == "parquet" else pd.read_csv(path, dtype=dict.fromkeys(KEYS, str))
    return frame.rename(columns={q: f"{side}_{q}" for q in QUANTITIES})


PEERS: dict[str, Callable[[str, str, str, str], int]] = {
    peer.__name__: peer for peer in (duckdb_join, scan, polars_streaming, datacompy_pairs, pandas_merge)
}

if __name__ == "__main__":
    name, folder, suffix, out, *rest = sys.argv[1:]
    Path(out).unlink(missing_ok=True)
    print(json.dumps({"differ": PEERS[name](folder, suffix, out, rest[0] if rest else "")}))
