"""Till files: each complete `sales_*.csv` is read once, row by row, and stays where it is; the cursor says what is done.

Rows are kept raw. A row that cannot be read spoils only itself, and so does a file. `z_*.csv` are the tills' own totals (`reports`): a row
that the files agree with is done with, one that they do not agree with waits, first for its files, then for a person. What stores count
is in `counts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from controlplane.connectors.builtin.till_files import counts, reports, sales
from controlplane.connectors.builtin.till_files.fields import amount, instant, split
from controlplane.connectors.builtin.till_files.folder import Folder
from controlplane.connectors.contract import Connector, Context, Draft, Level, Manifest, Page, ReadSpec, Record
from controlplane.connectors.records import read_json, verbatim
from controlplane.errors import BadInputError, UnavailableError
from rules import rows

PAGE = 500
"""Rows that are committed together: a file of a day has a hundred thousand, and others commit meanwhile."""
PATIENCE = timedelta(minutes=30)
"""How long a Z-report waits for the files that it is about."""


class TillFilesConnector(Connector):
    """A drop folder. Options: currency, encoding (default: UTF-8, with or without BOM, else Latin-1)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="till_files",
        title="Till files (CSV)",
        reads=(ReadSpec("sales", changes=True), ReadSpec("stock", snapshot=True)),
        options=("currency", "encoding"),
        schemes=(),
        verified_against="the sandbox",
        kind="till",
        auth="none: a folder",
        limits="none; a file is a page; a count is one file a store, replaced whole",
        gaps=("corrected files under their old name",),
        option_schemas={
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "default": "USD"},
            "encoding": {"type": "string", "description": "default: UTF-8, with or without BOM, else Latin-1"},
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._folder = Folder(context)
        self._currency = str(context.options.get("currency", "USD"))

    def ping(self) -> None:
        """Look whether the folder is there."""
        self._folder.ping()

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield pages of each file that has not been read, in the order of their names.

        A file without a line end may still be written: it is read once its size has not changed since the last poll. One that
        cannot be read does not keep those behind it: it is told at the end, and tried again with the next poll.
        """
        if entity != "sales":
            yield from super().poll(entity, cursor)
        self.ping()
        files = {
            path.name: path for pattern in (sales.PATTERN, reports.PATTERN) for path in self._folder.files(pattern)
        }
        # names of files that somebody took away are forgotten, so the cursor does not grow for ever
        held = cursor or {}
        done = set(held.get("done", ())) & set(files)
        growing: dict[str, int] = {}
        waiting: dict[str, str] = {}
        broken: list[UnavailableError] = []
        for name, path in files.items():
            if name in done:
                continue
            try:
                content = self._folder.read(path)
                if not content.endswith(b"\n") and held.get("growing", {}).get(name) != len(content):
                    growing[name] = len(content)
                    continue
                since = held.get("waiting", {}).get(name) or self.context.clock.now().isoformat()
                if self._waits(name, content, datetime.fromisoformat(since)):
                    waiting[name] = since
                    continue
                records = self._records(name, content)
            except UnavailableError as error:
                broken.append(error)
                continue
            while part := tuple(islice(records, PAGE)):
                yield Page(part, _cursor(done, growing, waiting))
            done.add(name)
            yield Page((), _cursor(done, growing, waiting))
        yield Page((), _cursor(done, growing, waiting))
        if broken:
            raise broken[0]

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the `stock` that the stores last counted, a page for each file. Raises UnavailableError when none has yet."""
        if entity != "stock":
            yield from super().snapshot(entity, keys)
        self.ping()
        wanted = None if keys is None else set(keys)
        for path in self._folder.some(counts.PATTERN):
            levels = counts.levels(self.context, self._folder, path)
            yield levels if wanted is None else [one for one in levels if (one.sku, one.location) in wanted]

    def _records(self, name: str, content: bytes) -> Iterator[Record]:
        topic = _topic(name)
        return (
            Record(topic, f"{topic}:{name}:{at}", verbatim({"file": name, "line": at, "header": header, "row": row}))
            for at, header, row in rows.lines(self._folder.decode(content))
        )

    def _waits(self, name: str, content: bytes, since: datetime) -> bool:
        """Say whether the files that a Z-report is about may yet come."""
        if _topic(name) != reports.TOPIC or self.context.clock.now() - since > PATIENCE:
            return False
        spans = []
        for one in self._records(name, content):
            with suppress(BadInputError):  # what is wrong with the row itself is told at once
                spans.append(self._span(read_json(one.body))[0])
        self._fill(spans)
        return not all(one.agrees for one in spans)

    def _span(self, record: Mapping[str, Any]) -> tuple[reports.Span, str]:
        where = _place(record)
        return reports.span(split(*_texts(record), reports.COLUMNS), where, amount, instant), where

    def _fill(self, spans: Sequence[reports.Span]) -> None:
        if spans:
            reports.fill(spans, sales.sold(self._folder), self._currency)

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read one row as `sale.recorded`. A Z-report makes nothing."""
        record = read_json(body)
        if topic == reports.TOPIC:
            told, of = self._span(record)
            self._fill([told])
            told.refuse(of, self._currency)
            return []
        return [sales.draft(self.context, self._currency, *_texts(record), _place(record))]


def _cursor(done: set[str], growing: Mapping[str, int], waiting: Mapping[str, str]) -> dict[str, Any]:
    return {"done": sorted(done), "growing": dict(growing), "waiting": dict(waiting)}


def _topic(name: str) -> str:
    return reports.TOPIC if Path(name).match(reports.PATTERN) else sales.TOPIC


def _texts(record: Mapping[str, Any]) -> tuple[str, str]:
    header, row = record.get("header"), record.get("row")
    if not isinstance(header, str) or not isinstance(row, str):
        raise BadInputError("the record has no `header` and `row` texts; correct it, or drop it")
    return header, row


def _place(record: Mapping[str, Any]) -> str:
    return f"{record.get('file', 'the file')} line {record.get('line', '?')}"
