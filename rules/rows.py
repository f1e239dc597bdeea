"""Rows of delimited files as they are kept raw: a header and a row, each one line of text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping

DELIMITERS = ";,\t|"


def lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line, header, row) of a file's text, whatever ends its lines; empty ones are left out, and counted."""
    told = [(at, one) for at, one in enumerate(re.split(r"\r*\n|\r", text), 1) if one.strip()]
    for at, row in told[1:]:
        yield at, told[0][1], row


def delimiter(header: str) -> str:
    """Return what parts the columns: of the usual characters the one that the header has most of."""
    return max(DELIMITERS, key=header.count)


def columns(header: str) -> list[str]:
    """Return the names of the columns, in lower case."""
    return [name.strip().lower() for name in _parted(header, delimiter(header))]


def values(header: str, row: str) -> list[str]:
    """Return the fields of a row, without the blanks around them."""
    return [value.strip() for value in _parted(row, delimiter(header))]


def _parted(text: str, by: str) -> list[str]:
    """Return the fields of a line; of text that is no line of CSV (a break of line in it, a field without end) what lies between
    delimiters and breaks.
    """
    try:
        return next(csv.reader([text], delimiter=by), [])
    except csv.Error:
        return re.split(rf"[{re.escape(by)}\r\n]", text)


def fields(header: str, row: str) -> dict[str, str] | None:
    """Return the row's fields by column, or None when row and header do not fit together."""
    names, found = columns(header), values(header, row)
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
