"""Three systems' stock, made deterministically: `python -m benchmarks.compare.data FOLDER ROWS`.

Key (sku, location) as text, three quantities. On each side 0.1 % of the keys are missing; 1 % differ beyond the tolerance at one
side, 2 % within it. The ERP's extract is in the order of SKUs, the warehouse's in that of locations, the channel's in none.
A process of its own: a child starts with its parent's memory peak, which would be measured as the contenders' own.
"""

import sys
from pathlib import Path

SIDES = {"erp": "ORDER BY sku, location", "wms": "ORDER BY location, sku", "shop": "ORDER BY hash(i, 99)"}
TOLERANCE = 2
QUANTITIES = ("on_hand", "reserved", "available")


def locations(rows: int) -> int:
    """Return how many locations so many rows are spread over."""
    return 20 if rows <= 1_000_000 else 200 if rows <= 10_000_000 else 500


def statement(side: int, rows: int) -> str:
    """SQL: the rows of a side, in its order."""
    order = list(SIDES.values())[side]
    bump = (
        f"CASE WHEN hash(i, 7) % 3 <> {side} THEN 0 WHEN hash(i, 1) % 1000000 < 10000 THEN 5 + (hash(i, 8) % 40)::INT "
        "WHEN hash(i, 1) % 1000000 < 30000 THEN 1 + (hash(i, 9) % 2)::INT ELSE 0 END"
    )
    held, kept = "(hash(i, 2) % 500)::INT", "(hash(i, 3) % 40)::INT"
    where = locations(rows)
    return (
        f"SELECT printf('SKU-%08d', i // {where}) AS sku, printf('LOC-%04d', i % {where}) AS location, "  # noqa: S608
        f"({held} + {bump})::INT AS on_hand, {kept} AS reserved, ({held} - {kept} + {bump})::INT AS available "
        f"FROM range({rows}) AS r(i) WHERE hash(i, {20 + side}) % 1000 <> 0 {order}"
    )


def generate(folder: Path, rows: int, csv: bool) -> None:
    """Write a Parquet file a side, and a CSV file beside it where asked for."""
    import duckdb

    con = duckdb.connect()
    con.execute(f"SET memory_limit='8GB'; SET temp_directory='{folder}/spilled'; SET preserve_insertion_order=false")
    for number, side in enumerate(SIDES):
        target = f"{folder}/{side}"
        made = f"COPY ({statement(number, rows)}) TO '{target}.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 250000)"
        con.execute(made)
        if csv:
            con.execute("SET preserve_insertion_order=true")
            con.execute(f"COPY (FROM '{target}.parquet') TO '{target}.csv' (HEADER)")
            con.execute("SET preserve_insertion_order=false")


if __name__ == "__main__":
    generate(Path(sys.argv[1]), int(sys.argv[2]), "csv" in sys.argv[3:])
