"""A snapshot of stock written to a file, whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from controlplane.connectors.contract import Level
from controlplane.errors import BadInputError
from rules.cells import cell

COLUMNS = tuple(field.name for field in fields(Level))
"""sku, location, on_hand, available, source_at, read_from, read_to; instants as ISO 8601 text in CSV."""


def export_levels(pages: Iterable[list[Level]], out: Path) -> int:
    """Write all levels to a .csv or .parquet file and return how many.

    Raises BadInputError for another ending, and whatever the pages raise: then no file is left behind.
    """
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise BadInputError(f"'{out.name}' ends neither in .csv nor in .parquet; name the file with one of them")
    part = out.with_name(out.name + ".part")
    try:
        count = write(pages, part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return count


def _write_csv(pages: Iterable[list[Level]], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for page in pages:
            writer.writerows([_text(getattr(level, name)) for name in COLUMNS] for level in page)
            count += len(page)
    return count


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else cell(value)


def _write_parquet(pages: Iterable[list[Level]], path: Path) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    instant = pa.timestamp("us", tz="UTC")
    kinds = (pa.string(), pa.string(), pa.int64(), pa.int64(), instant, instant, instant)
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for page in pages:
            columns = {name: [getattr(level, name) for level in page] for name in COLUMNS}
            writer.write_table(pa.table(columns, schema=schema))
            count += len(page)
    return count


WRITERS: dict[str, Callable[[Iterable[list[Level]], Path], int]] = {".csv": _write_csv, ".parquet": _write_parquet}
