"""Till files: each complete `sales_*.csv` is read once, row by row, and stays where it is; the cursor says what is done.

`stock_STORE.csv` is what a store counted last: read whole, and replaced by the next.

Rows are kept raw. A row that cannot be read spoils only itself, and so does a file. The columns `unit` and `tax_code` may be left out: a
row without a unit counts pieces. `z_*.csv` are the tills' own totals (`reports`): a row that the files agree with is done with, one that
they do not agree with waits, first for its files, then for a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from controlplane.connectors.builtin.till_files import reports
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Level,
    Manifest,
    Page,
    ReadSpec,
    Record,
    UnmappedError,
)
from controlplane.connectors.folders import opened
from controlplane.connectors.records import read_json, verbatim
from controlplane.errors import BadInputError, UnavailableError, UnreadableError
from rules import rows
from rules.units import exact, pieces_in, price_of_piece

PAGE = 500
"""Rows that are committed together: a file of a day has a hundred thousand, and others commit meanwhile."""
COLUMNS = ("store", "receipt", "line", "plu", "qty", "unit_price", "sold_at")
COUNTED = ("store", "plu", "on_hand", "counted_at")
PATTERN = "sales_*.csv"
STOCK = "stock_*.csv"
LARGEST = 256 * 2**20
"""Bytes of the largest file that is read."""
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
        self._folder = Path(context.endpoint)
        self._currency = str(context.options.get("currency", "USD"))
        self._encoding = context.options.get("encoding")

    def ping(self) -> None:
        """Look whether the folder is there."""
        if not self._folder.is_dir():
            raise UnavailableError(f"the drop folder {self._folder} is not there; create or mount it")

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield pages of each file that has not been read, in the order of their names.

        A file without a line end may still be written: it is read once its size has not changed since the last poll. One that
        cannot be read does not keep those behind it: it is told at the end, and tried again with the next poll.
        """
        if entity != "sales":
            yield from super().poll(entity, cursor)
        self.ping()
        files = {path.name: path for pattern in (PATTERN, reports.PATTERN) for path in self._files(pattern)}
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
                content = self._read(path)
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
        files = self._files(STOCK)
        if not files:
            raise UnavailableError(f"no store has dropped a file {STOCK} into {self._folder} yet")
        wanted = None if keys is None else set(keys)
        for path in files:
            levels = self._counted(path)
            yield levels if wanted is None else [one for one in levels if (one.sku, one.location) in wanted]

    def _counted(self, path: Path) -> list[Level]:
        began, codes = self.context.clock.now(), self.context.codes
        content = self._read(path)
        ended = self.context.clock.now()
        found = []
        for at, header, line in rows.lines(self._decode(content)):
            where = f"{path.name} line {at}"
            try:
                row = split(header, line, COUNTED)
                found.append(
                    Level(
                        sku=codes.ours("sku", row["plu"]),
                        location=codes.ours("location", row["store"]),
                        on_hand=_whole(row["on_hand"], where, "on_hand"),
                        available=None,
                        source_at=_instant(row["counted_at"], where),
                        read_from=began,
                        read_to=ended,
                    )
                )
            except UnmappedError:
                raise
            except BadInputError as error:
                raise UnreadableError(f"{where}: {error}") from error
        return found

    def _files(self, pattern: str) -> list[Path]:
        return sorted(path for path in self._folder.glob(pattern) if path.is_file() and not path.is_symlink())

    def _read(self, path: Path) -> bytes:
        try:
            with opened(path) as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise UnavailableError(f"the till file {path.name} cannot be read: {error.strerror}") from error
        if len(content) > LARGEST:
            raise UnavailableError(
                f"the till file {path.name} is larger than {LARGEST} bytes; divide it, or take it away"
            )
        return content

    def _records(self, name: str, content: bytes) -> Iterator[Record]:
        topic = _topic(name)
        return (
            Record(topic, f"{topic}:{name}:{at}", verbatim({"file": name, "line": at, "header": header, "row": row}))
            for at, header, row in rows.lines(self._decode(content))
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
        where = f"{record.get('file', 'the file')} line {record.get('line', '?')}"
        return reports.span(split(record["header"], record["row"], reports.COLUMNS), where, _amount, _instant), where

    def _fill(self, spans: Sequence[reports.Span]) -> None:
        if spans:
            reports.fill(spans, self._sold(), self._currency)

    def _sold(self) -> Iterator[tuple[str, datetime, Decimal, Decimal]]:
        """Yield what every file says that was sold; what cannot be read was not, for whoever counts."""
        for path in self._files(PATTERN):
            for at, header, line in rows.lines(self._decode(self._read(path))):
                where = f"{path.name} line {at}"
                with suppress(BadInputError):
                    row = split(header, line)
                    quantity, price = _quantity(row["qty"], where), _amount(row["unit_price"], where, "unit_price")
                    yield row["store"], _instant(row["sold_at"], where), Decimal(quantity), price

    def _decode(self, content: bytes) -> str:
        if self._encoding:
            try:
                return content.decode(self._encoding, errors="replace")
            except LookupError as error:
                raise UnavailableError(
                    f"there is no encoding '{self._encoding}'; correct options.encoding of {self.context.system}"
                ) from error
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("latin-1")

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read one row as `sale.recorded`; the PLU becomes our SKU by the mapping of the tills. A Z-report makes nothing."""
        record = read_json(body)
        try:
            if topic == reports.TOPIC:
                told, of = self._span(record)
                self._fill([told])
                told.refuse(of, self._currency)
                return []
            row = split(record["header"], record["row"])
        except (KeyError, AttributeError, TypeError) as error:
            raise BadInputError("the record has no `header` and `row` texts; correct it, or drop it") from error
        where = f"{record.get('file', 'the file')} line {record.get('line', '?')}"
        codes, ref = self.context.codes, f"{row['store']}/{row['receipt']}/{row['line']}"
        quantity, price = self._in_pieces(row, where)
        data = {
            "ref": ref,
            "location": codes.ours("location", row["store"]),
            "sku": codes.ours("sku", row["plu"]),
            "quantity": quantity,
            "unit_price": format(price, "f"),
            "currency": self._currency,
            "sold_at": _instant(row["sold_at"], where).isoformat(),
            "tax_code": codes.ours("tax_code", row["tax_code"]) if row.get("tax_code") else None,
        }
        return [Draft("sale.recorded", ref, f"sale.recorded:{ref}", _instant(row["sold_at"], where), data)]

    def _in_pieces(self, row: Mapping[str, str], where: str) -> tuple[int, Decimal]:
        """Return how many pieces were sold and what one costs, by the mapping of the tills' units."""
        quantity, price = _quantity(row["qty"], where), _amount(row["unit_price"], where, "unit_price")
        if not row.get("unit"):
            return quantity, price
        ours = self.context.codes.ours("unit", row["unit"])
        try:
            pieces = pieces_in(ours)
        except ValueError:  # the mapping lets codes pass, and this one means nothing to us
            raise UnmappedError("unit", row["unit"], self.context.system) from None
        try:
            return quantity * pieces, price_of_piece(price, pieces, quantity, self._currency)
        except ValueError as error:
            raise BadInputError(f"{where}: {error}; write the row in pieces", "unit_price") from error


def _cursor(done: set[str], growing: Mapping[str, int], waiting: Mapping[str, str]) -> dict[str, Any]:
    return {"done": sorted(done), "growing": dict(growing), "waiting": dict(waiting)}


def _topic(name: str) -> str:
    return reports.TOPIC if Path(name).match(reports.PATTERN) else "sales"


def split(header: str, row: str, wanted: Sequence[str] = COLUMNS) -> Mapping[str, str]:
    """Return the row's fields by column. The delimiter is the header's. Raises BadInputError naming what is missing."""
    names, values = rows.columns(header), rows.values(header, row)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise BadInputError(f"the till file's header lacks {', '.join(missing)}; it has: {header[:200]}", missing[0])
    if len(values) != len(names):
        raise BadInputError(f"the row has {len(values)} fields and the header {len(names)}; correct the row", "row")
    found = dict(zip(names, values, strict=True))
    empty = [name for name in wanted if not found[name]]
    if empty:
        told = f"the row has nothing in {', '.join(empty)}; fill it in, or drop the row"
        raise BadInputError(told, empty[0])
    return found


def _amount(text: str, where: str, column: str) -> Decimal:
    # a decimal comma, with or without points between the thousands
    plain = text.replace("\u00a0", "").replace(" ", "")
    plain = plain.replace(".", "").replace(",", ".") if "," in plain else plain
    try:
        return exact(plain)
    except ValueError as error:
        raise BadInputError(f"{where}: '{text[:40]}' is no amount; write it like 19,90", column) from error


def _quantity(text: str, where: str) -> int:
    number = _whole(text, where, "qty")
    if number == 0:
        raise BadInputError(f"{where}: the quantity '{text}' is not a whole number other than 0", "qty")
    return number


def _whole(text: str, where: str, column: str) -> int:
    number = _amount(text, where, column)
    if number != number.to_integral_value():
        raise BadInputError(f"{where}: '{text[:40]}' is not a whole number", column)
    return int(number)


def _instant(text: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(
            f"{where}: '{text[:40]}' is no instant; write it like 2026-11-27T06:00:00Z", "sold_at"
        ) from error
    if found.tzinfo is None:
        raise BadInputError(f"{where}: '{text}' names no time zone; end it with Z or an offset", "sold_at")
    return found.astimezone(UTC)
