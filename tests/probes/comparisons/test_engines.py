"""Whoever chooses the keys comes to the same findings: files here, tables in PostgreSQL, Parquet on Spark; the other dialects parse."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Connection, create_engine, text
from typer.testing import CliRunner

from controlplane.store import Store
from probes.comparisons.__main__ import app
from probes.comparisons.answer import CouldNotCompare, Result
from probes.comparisons.engines.queries import PARSED, Task, all_parse
from probes.comparisons.engines.tables import address
from probes.comparisons.files import compare_files
from probes.comparisons.sources import ENGINE, Asked, compare_sources

KEYS, VALUES = ["sku", "location"], ["on_hand", "price"]
Row = tuple[Any, ...]
SIDES = ("erp", "wms", "shop")


def rows(side: int) -> list[Row]:
    """Rows of every kind: agreeing, beyond and within the tolerance, missing, twice, without a value, with blanks, without a key."""
    rng = random.Random(side)
    found: list[Row] = []
    for number in range(400):
        shift = 5 if number % 40 == side else 1 if number % 17 == side else 0
        if number % 53 != side + 1:
            found.append((f"SKU-{number:04d}", f"L{number % 7}", number % 90 + shift, Decimal(number) / 8))
    found += [("TWICE", "L1", 3, Decimal(1))] * (2 if side == 1 else 1)
    found.append((" BLANK\t" if side == 2 else "BLANK", "L1", 4, Decimal(1)))
    found.append(("NOTHING", "L1", None if side == 0 else 4, Decimal(1)))
    found.append(("PENCE", "L1", 4, Decimal("1.001") if side == 1 else Decimal("1.000")))
    found += [(None, "L1", 4, Decimal(1)), ("", "L1", 4, Decimal(1))][: side + 1]
    rng.shuffle(found)
    return found


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    kinds = [pa.string(), pa.string(), pa.int32(), pa.decimal128(12, 3)]
    paths = []
    for number, side in enumerate(SIDES):
        arrays = [pa.array(column, kind) for column, kind in zip(zip(*rows(number), strict=True), kinds, strict=True)]
        paths.append(tmp_path / f"{side}.parquet")
        pq.write_table(pa.table(arrays, names=[*KEYS, *VALUES]), paths[-1])
    return paths


@pytest.fixture
def database(postgresql_store: Store) -> Iterator[str]:
    """The address of a PostgreSQL in which a schema of our own has the tables; the schema goes in the end."""
    address, schema = postgresql_store.engine.url.set(query={}), f"compared_{uuid4().hex[:8]}"
    engine = create_engine(address)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
        for number, side in enumerate(SIDES):
            _fill(connection, f"{schema}.{side}", rows(number))
    try:
        yield f"{address.render_as_string(hide_password=False)}#{schema}"
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


def _fill(connection: Connection, table: str, found: Sequence[Row]) -> None:
    connection.execute(text(f"CREATE TABLE {table} (sku text, location text, on_hand integer, price numeric(12, 3))"))
    insert = text(f"INSERT INTO {table} VALUES (:sku, :location, :on_hand, :price)")  # noqa: S608
    connection.execute(insert, [dict(zip([*KEYS, *VALUES], row, strict=True)) for row in found])


def told(result: Result) -> dict[str, Any]:
    """Everything that is found, without what the engines are called and how long they took."""
    answer = result.as_json()
    return answer | {
        "kinds": dict(result.kinds),
        "differences": sorted(answer["differences"], key=lambda found: json.dumps(found["key"])),
    }


def test_postgresql_comes_to_the_findings_of_files(files: list[Path], database: str) -> None:
    here = compare_files(files, KEYS, VALUES, "2", limit=1000)
    assert {str(kind) for kind, count in here.kinds.items() if count} == {"bad", "duplicate", "missing", "value"}
    tables = [f"{database}.{side}" for side in SIDES]
    there = compare_sources(tables, Asked(KEYS, VALUES, "2", names=SIDES, limit=1000))
    assert told(there) == told(here)
    assert there.sources[0].format == "table"
    few = compare_sources(tables, Asked(KEYS, VALUES, "2", names=SIDES, limit=7))
    assert few.truncated
    assert [found.key for found in few.differences] == [
        found.key for found in compare_files(files, KEYS, VALUES, "2", limit=7).differences
    ]


def test_tables_of_several_databases_are_brought_and_compared_as_files(
    files: list[Path], database: str, tmp_path: Path
) -> None:
    url, schema = database.split("#")
    held = create_engine(f"sqlite:///{tmp_path}/wms.db")
    with held.begin() as connection:
        _fill(connection, "wms", [(s, place, n, str(p)) for s, place, n, p in rows(1)])
    sources = [f"{database}.erp", f"sqlite:///{tmp_path}/wms.db#wms", str(files[2])]
    found = compare_sources(sources, Asked(KEYS, VALUES, "2", names=SIDES, limit=1000))
    assert told(found) == told(compare_files(files, KEYS, VALUES, "2", limit=1000))
    assert schema in sources[0]
    assert url not in json.dumps(found.as_json())


@pytest.mark.skipif(
    shutil.which("java") is None, reason="Spark needs a Java runtime (17 or newer), and there is none on the PATH"
)
def test_spark_comes_to_the_findings_of_files(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="install the extra `spark`")
    here = compare_files(files, KEYS, VALUES, "2", limit=1000)
    monkeypatch.setenv(ENGINE, "local")
    there = compare_sources([str(path) for path in files], Asked(KEYS, VALUES, "2", limit=1000))
    assert told(there) == told(here)


@pytest.mark.parametrize("dialect", PARSED)
def test_dialects_that_are_not_run_here_parse(dialect: str) -> None:
    queries = all_parse(
        Task(("erp.stock", "wms.stock", "shop.stock"), ("sku", "location"), ("on_hand",), Decimal("0.5"))
    )
    assert all("FULL OUTER JOIN" in query or "CROSS JOIN" in query for query in queries[dialect])


def test_an_address_is_one_and_a_path_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_DB", "postgresql://reader@erp/books")
    found = address("env:ERP_DB#public.stock")
    assert found is not None
    assert (found.url, found.name, found.quoted) == (
        "postgresql://reader@erp/books",
        "public.stock",
        '"public"."stock"',
    )
    assert address("stock#1.csv") is None
    with pytest.raises(CouldNotCompare, match="NOT_SET is not set"):
        address("env:NOT_SET#stock")


@pytest.mark.parametrize(
    ("sources", "engine", "reason"),
    [
        (["sqlite:///nothing.db#a", "sqlite:///nothing.db#b"], "", "a: cannot be read"),
        (["nosuchthing://host/db#a", "nosuchthing://host/db#b"], "", "address cannot be used"),
        (["a.parquet", "b.parquet"], "yarn", "must be empty, `local` or spark://"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line_and_exits_with_2(
    sources: list[str], engine: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ENGINE, engine)
    answer = CliRunner().invoke(app, [*sources, "--key", "sku", "--value", "qty"])
    assert answer.exit_code == 2
    assert reason in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_database_says_which_table_or_column_is_not_there_or_not_exact(database: str) -> None:
    table = f"{database}.erp"
    with pytest.raises(CouldNotCompare, match="there is no such table"):
        compare_sources([table, f"{database}.nothing"], Asked(KEYS, VALUES))
    with pytest.raises(CouldNotCompare, match=r"no column 'cost'; it has sku, location, on_hand, price"):
        compare_sources([table, f"{database}.wms"], Asked(KEYS, ["cost"]))
    with pytest.raises(CouldNotCompare, match="needs whole numbers or decimals"):
        compare_sources([table, f"{database}.wms"], Asked(["sku"], ["location"]))
