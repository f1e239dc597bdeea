"""What is known of a snapshot: its manifest, kept as JSON beside the columns."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controlplane.errors import BadInputError

MANIFEST = "manifest.json"
ROWS = "rows.parquet"
BAD = "bad.parquet"
KEYS = ("sku", "location")
SPREAD = 11
"""A bucket has the rows of 2^11 SKUs whose numbers follow each other."""


class SnapshotError(BadInputError):
    """A snapshot cannot be taken or used; the message says which, why, and the remedy."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Rows of `2^SPREAD` SKUs: a row group of the file. `checksum`: sum of the rows' hashes, whatever their order, in hexadecimal."""

    number: int
    rows: int
    checksum: str


@dataclass(frozen=True, slots=True)
class PageRead:
    """When a page was read, ISO 8601 in UTC; rows name their page by its place in the list."""

    read_from: str
    read_to: str
    rows: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole snapshot: what one side showed while it was read.

    `values` are kept as whole numbers of 64 bits; `places`: how many of a value's digits stand behind the decimal mark. `rows` are those
    whose key and values could be read; `bad_rows` are kept in a file of their own.
    """

    folder: Path
    id: str
    side: str
    values: tuple[str, ...]
    places: tuple[int, ...]
    rows: int
    bad_rows: int
    duplicate_keys: int
    pages: tuple[PageRead, ...]
    buckets: tuple[Bucket, ...]

    @property
    def file(self) -> Path:
        """The columns: sku, location (numbers of the vocabulary), page, the values, and source_at where a side has one."""
        return self.folder / ROWS

    @property
    def vocabulary(self) -> Path:
        """The folder of the surrogate keys it was written with."""
        return self.folder.parent.parent / "keys"

    def save(self) -> None:
        """Write the manifest: from here on the snapshot is there."""
        told = asdict(self) | {"folder": None}
        temporary = self.folder / (MANIFEST + ".part")
        temporary.write_text(json.dumps(told), encoding="utf-8")
        temporary.replace(self.folder / MANIFEST)


def load(folder: Path) -> Snapshot:
    """Read the manifest of a snapshot. Raises SnapshotError where there is none or it is damaged."""
    try:
        told: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        pages = tuple(PageRead(**page) for page in told.pop("pages"))
        buckets = tuple(Bucket(**bucket) for bucket in told.pop("buckets"))
        values, places = tuple(told.pop("values")), tuple(told.pop("places"))
        return Snapshot(
            **told | {"folder": folder, "values": values, "places": places, "pages": pages, "buckets": buckets}
        )
    except FileNotFoundError as error:
        raise SnapshotError(
            f"{folder}: is no whole snapshot (it has no {MANIFEST}); take it again, or go on with taking it"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise SnapshotError(f"{folder / MANIFEST}: is damaged ({error}); take the snapshot again") from error
