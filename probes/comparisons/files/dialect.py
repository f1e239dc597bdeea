"""The dialect of a delimited text file, found by parsing its beginning in every way and keeping the one that fits."""

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from probes.comparisons.answer.problems import FileProblem
from probes.comparisons.files.columns import matches

DELIMITERS = (",", ";", "\t", "|")
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_HEAD = 1 << 18
_SAMPLE_ROWS = 100
_LONGEST_FIELD = 1 << 27


@dataclass(frozen=True, slots=True)
class Dialect:
    """Delimiter, header cells, and the file's line on which the header ends (1 when it opens the file)."""

    delimiter: str
    header: tuple[str, ...]
    header_line: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record: the line it starts on, its cells, and what is wrong with its quoting, or empty."""

    line: int
    cells: list[str]
    broken: str = ""


def sniff(path: Path, wanted: Sequence[str]) -> Dialect:
    """The delimiter whose header has most of the wanted columns, then the one with the evenest rows.

    Raises FileProblem when there is no header at all.
    """
    with path.open(encoding="utf-8", newline="") as file:
        head = file.read(_HEAD)
    if not head.strip():
        raise FileProblem("is empty: a header line that names the columns is needed")
    declared = _declared(head)
    found = [_attempt(head, d) for d in ((declared,) if declared else DELIMITERS)]
    scored = [(matches(wanted, dialect.header), even, dialect) for dialect, even in found]
    return max(scored, key=lambda item: item[:2])[2]


def records(path: Path, delimiter: str) -> Iterator[Record]:
    """Every record that is not blank, header included; lines of nothing but delimiters count as blank.

    Raises FileProblem when a quote is opened and never closed, for then the rest of the file is swallowed.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    with path.open(encoding="utf-8", newline="") as file:
        for record in _records(file, delimiter):
            if record.broken or any(cell.strip() for cell in record.cells):
                yield record


def _records(lines: Iterator[str], delimiter: str) -> Iterator[Record]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=delimiter != "\t")
    while True:
        start = reader.line_num + 1
        try:
            yield Record(start, next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise FileProblem(
                    f"line {start}: a quote is opened and never closed, so all that follows is swallowed: close it"
                ) from error
            yield Record(start, [], f"broken quoting: {error}")


def _declared(head: str) -> str | None:
    """Excel's first line `sep=;`, where there is one."""
    first = head.lstrip("\r\n").split("\n", 1)[0].strip().strip('"')
    return first[4:] if first.lower().startswith("sep=") and first[4:] in DELIMITERS else None


def _attempt(head: str, delimiter: str) -> tuple[Dialect, float]:
    """Parse the head with one delimiter: its dialect, and how even the rows are (0 when it splits nothing)."""
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, skipinitialspace=delimiter != "\t")
    header, line = next(((row, reader.line_num) for row in reader if _is_header(row, delimiter)), ([], 0))
    widths = [len(row) for row in itertools.islice(reader, _SAMPLE_ROWS) if row]
    alike = sum(width == len(header) for width in widths) / len(widths) if widths else 1.0
    return Dialect(delimiter, tuple(header), line), alike if len(header) > 1 else 0.0


def _is_header(row: list[str], delimiter: str) -> bool:
    text = delimiter.join(row).strip()
    return any(cell.strip() for cell in row) and not text.lower().startswith(f"sep={delimiter}"[:5])
