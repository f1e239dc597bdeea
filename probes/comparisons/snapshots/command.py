"""The command `trueup snapshot`: take a snapshot of a file, list what is kept, check it, let old ones go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from probes.comparisons.snapshots.model import KEYS, SnapshotError
from probes.comparisons.snapshots.store import SnapshotStore, damage
from probes.comparisons.snapshots.writer import Writer

app = typer.Typer(no_args_is_help=True, help="Keep what systems showed: take, list, check and drop snapshots.")
Store = Annotated[Path, typer.Option(help="The folder of the store; snapshots that are compared lie in one.")]
PAGE = 250_000


@app.command()
def take(
    file: Annotated[Path, typer.Argument(help="A Parquet file with the columns sku, location and the values.")],
    side: Annotated[str, typer.Option(help="Whose rows these are, e.g. erp.")],
    value: Annotated[str, typer.Option(help="Value columns, separated by commas: whole numbers or decimals.")],
    store: Store,
) -> None:
    """Take a snapshot of a Parquet file, or go on with one that was interrupted; prints its folder, which trueup compare takes."""
    with _told():
        values = [part.strip() for part in value.split(",") if part.strip()]
        held = SnapshotStore(store)
        writer = held.unfinished(side, values) or held.begin(side, values, datetime.now(UTC))
        _pages(writer, file, values)
        typer.echo(str(writer.finish().folder))


@app.command("list")
def listed(side: Annotated[str, typer.Argument(help="Whose snapshots.")], store: Store) -> None:
    """List the whole snapshots of a side, the oldest first: folder, rows, bad rows, when they were read."""
    with _told():
        for one in SnapshotStore(store).snapshots(side):
            typer.echo(f"{one.folder}\t{one.rows}\t{one.bad_rows}\t{one.pages[0].read_from}\t{one.pages[-1].read_to}")


@app.command()
def check(side: Annotated[str, typer.Argument(help="Whose snapshots.")], store: Store) -> None:
    """Read every bucket again and hold it against its checksum. Exit code 1 where one is not as it was written."""
    with _told():
        wrong = [line for one in SnapshotStore(store).snapshots(side) for line in damage(one)]
    for line in wrong:
        typer.echo(line, err=True)
    raise typer.Exit(1 if wrong else 0)


@app.command()
def keep(
    side: Annotated[str, typer.Argument(help="Whose snapshots.")],
    newest: Annotated[int, typer.Option(help="How many of the newest to keep; the others are deleted.")],
    store: Store,
) -> None:
    """Delete all but the newest snapshots of a side."""
    with _told():
        for gone in SnapshotStore(store).keep(side, newest):
            typer.echo(gone)


def _pages(writer: Writer, file: Path, values: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    done = writer.rows
    try:
        with pq.ParquetFile(file) as read:
            if missing := [name for name in (*KEYS, *values) if name not in read.schema_arrow.names]:
                raise SnapshotError(
                    f"{file}: has no column {missing[0]!r}; it has {', '.join(read.schema_arrow.names)}"
                )
            for batch in read.iter_batches(PAGE, columns=[*KEYS, *values]):
                if done >= batch.num_rows:  # what an interrupted run has kept
                    done -= batch.num_rows
                    continue
                now = datetime.now(UTC)
                writer.page(pa.Table.from_batches([batch]), now, now)
    except (OSError, pa.ArrowException) as error:
        raise SnapshotError(f"{file}: cannot be read as Parquet ({error}); export it again, or convert it") from error


@contextmanager
def _told() -> Iterator[None]:
    """Say in a line what cannot be done, and leave with 2."""
    try:
        yield
    except SnapshotError as error:
        typer.echo(f"trueup snapshot: {error}", err=True)
        raise typer.Exit(2) from error
