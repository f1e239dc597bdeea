"""JSON Lines: one object a line. Numbers keep the digits that are written; no binary float is made of them."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from probes.comparisons.answer.problems import FileProblem
from probes.comparisons.files.columns import locate
from probes.comparisons.files.encoding import Plain
from probes.comparisons.files.request import Side
from probes.comparisons.files.rows import Row, fill
from probes.comparisons.files.tables import Desk, Loaded
from rules.comparison.numbers import Mark

_NAMES_FROM = 1000


class _Digits(str):
    """The digits of a JSON number, told apart from a JSON string."""

    __slots__ = ()


def load_jsonl(desk: Desk, side: Side, plain: Plain, wanted: Sequence[str]) -> Loaded:
    """Fill the side's raw table; a line that is no object is a bad row; raises FileProblem without any object."""
    header = _header(plain.path)
    found = locate(wanted, header)
    fill(desk, _rows(desk, plain.path, [header[p] for p in found.positions], side.mark is Mark.COMMA))
    mark = side.mark or Mark.DOT
    notes = (*filter(None, [plain.note]), *found.notes)
    return Loaded("JSON Lines", plain.encoding, notes, (mark,) * len(desk.values))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _header(path: Path) -> list[str]:
    """Names in order of appearance over the first records, for a record may leave out what it has no value for."""
    names: dict[str, None] = {}
    for number, line in islice(_lines(path), _NAMES_FROM):
        if number == 1 and line.lstrip().startswith("["):
            raise FileProblem("is a JSON array: write one object a line (JSON Lines)")
        record = _object(line)
        names.update(dict.fromkeys(record) if isinstance(record, dict) else {})
    if not names:
        raise FileProblem("has no JSON object on any of its first lines: one object a line is needed")
    return list(names)


def _object(line: str) -> dict[str, Any] | str:
    """The record, or why there is none."""
    try:
        record = json.loads(line, parse_float=_Digits, parse_int=_Digits, parse_constant=_Digits)
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}"
    return record if isinstance(record, dict) else "not a JSON object"


def _rows(desk: Desk, path: Path, names: Sequence[str], comma: bool) -> Iterator[Row]:
    count = len(desk.keys)
    for number, (line, text) in enumerate(_lines(path)):
        if number % 20_000 == 0:
            desk.progress("reading row by row", number)
        record = _object(text)
        if isinstance(record, str):
            yield Row(line, [None] * count, [None] * (len(names) - count), record)
            continue
        cells = [record.get(name) for name in names]
        odd = [name for name, cell in zip(names, cells, strict=True) if not isinstance(cell, str | None)]
        texts = [cell if isinstance(cell, str) else None for cell in cells]
        values = [t.replace(".", ",") if comma and isinstance(t, _Digits) else t for t in texts[count:]]
        yield Row(line, texts[:count], values, f"{odd[0]!r} is neither text nor a number" if odd else "")
