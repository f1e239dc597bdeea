"""Three tables in two PostgreSQL databases of the bench's own, and reladiff on its two pairs of them.

`python -m benchmarks.compare.databases reladiff ADDRESSES`: ADDRESSES is JSON, side to `URL#TABLE`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.compare.data import QUANTITIES, SIDES

POSTGRES = os.environ.get("TRUEUP_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
PLACES = dict(zip(SIDES, ("a", "b", "b"), strict=True))
"""Side to the database that holds its table."""


@contextmanager
def filled(folder: Path) -> Iterator[dict[str, str]]:
    """Make the databases and fill them from the CSV files; yield the address of each side's table; drop them in the end."""
    import psycopg

    admin = POSTGRES.replace("+psycopg", "")
    base = admin.rpartition("/")[0]
    names = {place: f"trueup_bench_{place}_{os.getpid()}" for place in set(PLACES.values())}
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in names.values():
            connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        for side, place in PLACES.items():
            _fill(f"{base}/{names[place]}", side, folder)
        yield {side: f"{base}/{names[place]}#{side}" for side, place in PLACES.items()}
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            for name in names.values():
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _fill(url: str, side: str, folder: Path) -> None:
    import psycopg

    columns = ", ".join(f"{quantity} integer" for quantity in QUANTITIES)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {side} (sku text, location text, {columns})".encode())
        copy = connection.cursor().copy(f"COPY {side} FROM STDIN (FORMAT csv, HEADER)".encode())
        with copy as taken, (folder / f"{side}.csv").open("rb") as file:
            while block := file.read(1 << 20):
                taken.write(block)
        connection.execute(f"ALTER TABLE {side} ADD PRIMARY KEY (sku, location)".encode())
        connection.execute(f"VACUUM ANALYZE {side}".encode())


def reladiff(addresses: dict[str, str]) -> int:
    """The first side against each other one; return the rows it tells of. It knows no tolerance, so that they are more than ours."""
    first, *others = (address.split("#") for address in addresses.values())
    columns = [part for quantity in QUANTITIES for part in ("-c", quantity)]
    told = 0
    for url, table in others:
        command = [
            str(Path(sys.executable).with_name("reladiff")), *first, url, table, "-k", "sku", "-k", "location", *columns,
            "-j", "2", "--algorithm", "hashdiff",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        if not done.stdout:
            raise RuntimeError(f"reladiff found nothing to tell: {done.stderr[-500:]}")
        told += len(done.stdout.splitlines())
    return told


if __name__ == "__main__":
    print(json.dumps({"differ": -1, "rows": reladiff(json.loads(sys.argv[2]))}))
