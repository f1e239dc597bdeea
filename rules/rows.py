"""Rows of delimited files as they are kept raw: a header and a row, each one line of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

DELIMITERS = ";,\t|"


def delimiter(header: str) -> str:
    """Return what parts the columns: of the usual characters the one that the header has most of."""
    return max(DELIMITERS, key=header.count)


def columns(header: str) -> list[str]:
    """Return the names of the columns, in lower case."""
    return [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter(header)), [])]


def values(header: str, row: str) -> list[str]:
    """Return the fields of a row, without the blanks around them."""
    return [value.strip() for value in next(csv.reader([row], delimiter=delimiter(header)), [])]


def fields(header: str, row: str) -> dict[str, str] | None:
    """Return the row's fields by column, or None when row and header do not fit together."""
    try:
        names, found = columns(header), values(header, row)
    except csv.Error:
        return None
    if len(names) != len(found) or len(set(names)) != len(names):
        return None
    return dict(zip(names, found, strict=True))


def line(header: str, found: Mapping[str, object]) -> str:
    """Return the row that holds these fields. Raises ValueError naming a field that the header has no column for."""
    names = columns(header)
    strange = [name for name in found if name not in names]
    if strange:
        raise ValueError(f"the header has no column '{strange[0]}'; its columns are: {', '.join(names)}")
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter(header), lineterminator="").writerow(
        [found.get(name, "") for name in names]
    )
    return written.getvalue()
