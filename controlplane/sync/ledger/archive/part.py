"""A part of the archive: a Parquet file for each table, and a manifest that is written last. Without its manifest it is none.

    <archive>/<domain>/<kind>/<from id>_<to id>_<fingerprint of all ids>/message.parquet, delivery.parquet …, manifest.json

The same rows have the same name, so that a part that was written already is known by it. One that holds anything else is never
overwritten: the name gets a number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, Literal

import pyarrow as pa
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Table

from controlplane.errors import BadInputError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.place import Hashed, Place
from controlplane.sync.ledger.archive import columns

MANIFEST = "manifest.json"
FORMAT: Literal[1] = 1
"""How a part is laid out."""
SCHEMA = 1
"""What the columns of its tables mean. A column that is added needs no new number, one that means something else does."""
ROWS, BYTES = 2000, 4 * 2**20
"""Rows, and about the bytes, that are held in memory before they are written as a row group."""
AT_ONCE = 20
"""Rows that the database is asked for at once: each may be megabytes long."""
AT_A_TIME = 500
TABLES: dict[str, Table] = {table.name: table for table in (t.message, t.delivery, t.attempt, t.quarantine, t.intake)}

Kind = Literal["raw", "attempts", "messages", "cases"]
ROOT: dict[Kind, Table] = {"raw": t.intake, "attempts": t.attempt, "messages": t.message, "cases": t.quarantine}
"""The table whose rows a part is about; what else is in it belongs to them."""


class File(BaseModel):
    """One Parquet file of a part."""

    model_config = ConfigDict(frozen=True)

    table: str
    rows: int
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """What it is called in the part's folder."""
        return f"{self.table}.parquet"


class Manifest(BaseModel):
    """What a part holds."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1]
    schema_version: int
    id: str
    kind: Kind
    domain: str
    cutoff: datetime
    from_id: str
    to_id: str
    made_at: datetime
    files: tuple[File, ...]

    @property
    def tables(self) -> dict[str, int]:
        """Table -> rows."""
        return {file.table: file.rows for file in self.files}


def name_of(ids: Sequence[str], all_ids: Iterable[str]) -> str:
    """Return the folder name of a part about these rows (sorted), with everything that belongs to them."""
    told = hashlib.blake2b("\n".join(sorted(all_ids)).encode(), digest_size=8).hexdigest()
    return f"{ids[0]}_{ids[-1]}_{told}"


def write(store: Store, place: Place, about: dict[str, Any], ids: Mapping[str, Sequence[str]]) -> None:
    """Write a part that holds these rows (table -> sorted ids). `about`: what its manifest says beside format and files."""
    files = tuple(_file(store, place, TABLES[name], wanted) for name, wanted in ids.items() if wanted)
    manifest = Manifest(format=FORMAT, schema_version=SCHEMA, files=files, **about)
    text = manifest.model_dump_json(indent=2).encode()

    def fill(sink: Hashed) -> None:
        sink.write(text)

    place.write(MANIFEST, fill)


def _file(store: Store, place: Place, table: Table, ids: Sequence[str]) -> File:
    rows = 0

    def fill(sink: Hashed) -> None:
        nonlocal rows
        with parquet.ParquetWriter(sink, columns.arrow_schema(table), compression="zstd") as writer:
            for group in _groups(store, table, ids):
                writer.write_batch(columns.batch(table, group))
                rows += len(group)

    length, sha256 = place.write(f"{table.name}.parquet", fill)
    return File(table=table.name, rows=rows, bytes=length, sha256=sha256)


def holds(store: Store, place: Place, manifest: Manifest, ids: Mapping[str, Sequence[str]]) -> bool:
    """Say whether a part holds exactly these rows, value for value, as the store has them now."""
    if {name: len(wanted) for name, wanted in ids.items() if wanted} != manifest.tables:
        return False
    return all(_same(store, place, file, ids[file.table]) for file in manifest.files)


def _same(store: Store, place: Place, file: File, ids: Sequence[str]) -> bool:
    table = TABLES[file.table]
    mine = (tuple(row) for group in _groups(store, table, ids) for row in group)
    theirs = (tuple(row.values()) for found in batches(place, file) for row in columns.rows_of(found))
    return all(one == other for one, other in zip_longest(mine, theirs))


def _groups(store: Store, table: Table, ids: Sequence[str]) -> Iterator[list[Any]]:
    """Yield rows in groups that fit into memory. No view of the store is held while a group is written elsewhere."""
    for start in range(0, len(ids), ROWS):
        wanted, last = ids[start : start + ROWS], ""
        while group := _group(store, table, wanted, last):
            yield group
            last = group[-1].id
            if last == wanted[-1]:
                break


def _group(store: Store, table: Table, ids: Sequence[str], after: str) -> list[Any]:
    key = table.c.id
    query = columns.raw(table).where(key.in_(ids), key > after).order_by(key).execution_options(yield_per=AT_ONCE)
    group, taken = [], 0
    with store.read() as connection:
        found = connection.execute(query)
        for row in found:
            group.append(row)
            taken += columns.size(row)
            if taken >= BYTES:
                break
        found.close()
    return group


def read_manifest(place: Place) -> tuple[Manifest, str] | None:
    """Return the manifest of a part and its SHA-256, or None where there is no part. Raises BadInputError for one that is unreadable."""
    text = place.read(MANIFEST)
    if text is None:
        return None
    try:
        found = Manifest.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise BadInputError(f"{place.uri}/{MANIFEST} is no manifest of ours ({where}: {fault['msg']})") from None
    if found.schema_version > SCHEMA or any(file.table not in TABLES for file in found.files):
        raise BadInputError(f"{place.uri} was written by a later version of Trueup; read it with that one")
    return found, hashlib.sha256(text).hexdigest()


def verified(place: Place, sha256: str | None = None) -> tuple[Manifest, str]:
    """Read a whole part back and hold it against its manifest; return that and its SHA-256.

    `sha256`: what the store says of the manifest, where it says something. Raises BadInputError naming the file.
    """
    found = read_manifest(place)
    if found is None:
        raise BadInputError(f"there is no part of an archive at {place.uri}; list them with `trueup ledger parts`")
    if sha256 is not None and found[1] != sha256:
        raise BadInputError(
            f"{place.uri}/{MANIFEST} was changed since it was written (SHA-256 {found[1]}, and the store says {sha256}); "
            "take it from a back-up of the archive"
        )
    for file in found[0].files:
        length, digest = place.digest(file.name)
        if (length, digest) != (file.bytes, file.sha256):
            raise BadInputError(
                f"{place.uri}/{file.name} is not what was written ({length} bytes, SHA-256 {digest}; the manifest says "
                f"{file.bytes} and {file.sha256}); take it from a back-up of the archive"
            )
        with place.open(file.name) as source:
            rows = parquet.ParquetFile(source).metadata.num_rows
        if rows != file.rows:
            raise BadInputError(f"{place.uri}/{file.name} has {rows} rows, and its manifest says {file.rows}")
    return found


def schema(place: Place, file: File) -> pa.Schema:
    """Return the schema that a file was written with."""
    with place.open(file.name) as source:
        return parquet.ParquetFile(source).schema_arrow


def batches(place: Place, file: File, names: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, a row group or some hundred at a time; `names`: only these columns."""
    with place.open(file.name) as source:
        found = parquet.ParquetFile(source)
        for group in range(found.num_row_groups):  # else long rows of several would come together
            yield from found.iter_batches(batch_size=AT_A_TIME, row_groups=[group], columns=names)


def rows(place: Place, manifest: Manifest, table: Table, *names: str) -> Iterator[tuple[Any, ...]]:
    """Yield some columns of a table's rows; nothing where the part has none of it."""
    for file in manifest.files:
        if file.table == table.name:
            for found in batches(place, file, list(dict.fromkeys(names))):
                yield from zip(*(found.column(name).to_pylist() for name in names), strict=True)
