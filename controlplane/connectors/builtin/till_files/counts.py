"""Counts: `stock_STORE.csv` is what a store counted last; it is read whole, and replaced by the next."""

from __future__ import annotations

from pathlib import Path

from controlplane.connectors.builtin.till_files.fields import instant, split, whole
from controlplane.connectors.builtin.till_files.folder import Folder
from controlplane.connectors.contract import Context, Level, UnmappedError
from controlplane.errors import BadInputError, UnreadableError
from rules import rows

PATTERN = "stock_*.csv"
COLUMNS = ("store", "plu", "on_hand", "counted_at")


def levels(context: Context, folder: Folder, path: Path) -> list[Level]:
    """Return what a file counts. Raises UnreadableError for a row that cannot be read: a count is whole, or it is none."""
    began, codes = context.clock.now(), context.codes
    content = folder.read(path)
    ended = context.clock.now()
    found = []
    for at, header, line in rows.lines(folder.decode(content)):
        where = f"{path.name} line {at}"
        try:
            row = split(header, line, COLUMNS)
            found.append(
                Level(
                    sku=codes.ours("sku", row["plu"]),
                    location=codes.ours("location", row["store"]),
                    on_hand=whole(row["on_hand"], where, "on_hand"),
                    available=None,
                    source_at=instant(row["counted_at"], where),
                    read_from=began,
                    read_to=ended,
                )
            )
        except UnmappedError:
            raise
        except BadInputError as error:
            raise UnreadableError(f"{where}: {error}") from error
    return found
