"""SuiteQL: read-only SQL over the ERP's books. Without ORDER BY rows come in another order each time, as there."""

import re
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from random import Random
from typing import Any

from controlplane.sandbox.catalogue import CURRENCY, Catalogue
from controlplane.sandbox.erp.problems import ErpError
from controlplane.sandbox.records import ErpRecord, Level

ROW_CAP = 100_000
PAGE_CAP = 1000
_STAMP = "%Y-%m-%d %H:%M:%S"
_MASK = (
    ("YYYY", "%Y"),
    ("HH24", "%H"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("MI", "%M"),
    ("SS", "%S"),
    ("FF3", "%f"),
    ("FF", "%f"),
)
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_TABLES = """
CREATE TABLE InventoryBalance (item INTEGER, location INTEGER, quantityonhand NUMERIC, quantityavailable NUMERIC,
  lastmodifieddate TEXT, PRIMARY KEY (item, location));
CREATE TABLE item (id INTEGER PRIMARY KEY, itemid TEXT, averagecost TEXT, displayname TEXT, lastmodifieddate TEXT,
  isinactive TEXT DEFAULT 'F');
CREATE TABLE location (id INTEGER PRIMARY KEY, name TEXT, isinactive TEXT DEFAULT 'F');
CREATE TABLE currency (id INTEGER PRIMARY KEY, name TEXT, symbol TEXT, isbasecurrency TEXT);
CREATE TABLE "transaction" (id INTEGER PRIMARY KEY, type TEXT, externalid TEXT, tranid TEXT, status TEXT, trandate TEXT,
  lastmodifieddate TEXT, custbody_business_ref TEXT);
CREATE TABLE transactionline ("transaction" INTEGER, item INTEGER, location INTEGER, quantity NUMERIC);
CREATE INDEX line_of ON transactionline ("transaction");
"""
TYPES = {
    "salesOrder": ("SalesOrd", "B"),
    "itemFulfillment": ("ItemShip", "C"),
    "itemReceipt": ("ItemRcpt", None),
    "inventoryAdjustment": ("InvAdjst", None),
    "cashSale": ("CashSale", "B"),
    "journalEntry": ("Journal", "B"),
}


def _format_of(mask: str) -> str:
    pattern = mask.replace('"T"', "T").replace('"Z"', "Z")
    for token, code in _MASK:
        pattern = pattern.replace(token, code)
    return pattern


@lru_cache(4096)
def _in_zone(text: str, mask: str, zone: tzinfo) -> str:
    moment = datetime.strptime(text, _STAMP).replace(tzinfo=UTC).astimezone(zone)
    return moment.strftime(_format_of(mask))


def _nvl(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


class SuiteQl:
    """A mirror of the ERP's books in SQLite memory. Call with the world locked."""

    def __init__(
        self, catalogue: Catalogue, levels: Iterable[Level], records: Iterable[ErpRecord], opened: datetime
    ) -> None:
        self._catalogue, self._asked = catalogue, 0
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.executescript(_TABLES)
        self.zone: tzinfo = UTC
        """The account's: times are kept in UTC, and read and shown in it."""
        for name, count, function in (("TO_TIMESTAMP", -1, self._to_timestamp), ("TO_DATE", -1, self._to_timestamp)):
            self._db.create_function(name, count, function)
        self._db.create_function("TO_CHAR", 2, self._to_char)
        self._db.create_function("NVL", 2, _nvl, deterministic=True)
        goods = [(i.erp_id, i.sku, str(i.cost), i.title, opened.strftime(_STAMP)) for i in catalogue.items]
        self._db.executemany("INSERT INTO item VALUES (?,?,?,?,?,'F')", goods)
        places = [(catalogue.erp_location_id(name), name) for name in catalogue.locations]
        self._db.executemany("INSERT INTO location VALUES (?,?,'F')", places)
        self._db.execute("INSERT INTO currency VALUES (1,?,?,'T')", (CURRENCY, CURRENCY))
        for level in levels:
            self.show_level(level)
        for record in records:
            self.show_record(record)

    def _to_timestamp(self, text: str | None, mask: str | None = None) -> str | None:
        if text is None:
            return None
        told = datetime.strptime(text, _format_of(mask)) if mask else datetime.fromisoformat(text)  # noqa: DTZ007 of the account's zone
        return told.replace(tzinfo=self.zone).astimezone(UTC).strftime(_STAMP)

    def _to_char(self, text: str | None, mask: str) -> str | None:
        return None if text is None else _in_zone(text, mask, self.zone)

    def show_level(self, level: Level) -> None:
        """Bring a balance up to date."""
        item = self._catalogue.by_sku[level.sku].erp_id
        stamp = level.erp_updated_at.strftime(_STAMP)
        free = (level.erp_on_hand - level.erp_committed) * level.erp_factor
        place = self._catalogue.erp_location_id(level.location)
        self._db.execute(
            "REPLACE INTO InventoryBalance VALUES (?,?,?,?,?)",
            (item, place, level.erp_on_hand * level.erp_factor, free, stamp),
        )

    def rename(self, sku: str, code: str, at: datetime) -> None:
        """List an article under another code."""
        row = (code, at.strftime(_STAMP), self._catalogue.by_sku[sku].erp_id)
        self._db.execute("UPDATE item SET itemid=?, lastmodifieddate=? WHERE id=?", row)

    def show_item(self, sku: str, active: bool, at: datetime) -> None:
        """Bring an article up to date: sold, or not any more."""
        row = ("F" if active else "T", at.strftime(_STAMP), self._catalogue.by_sku[sku].erp_id)
        self._db.execute("UPDATE item SET isinactive=?, lastmodifieddate=? WHERE id=?", row)

    def show_record(self, row: ErpRecord, status: str | None = None) -> None:
        """Bring a transaction and its lines up to date; `status` where it is another than what such a document begins with."""
        kind, first = TYPES[row.type]
        status = status or first
        stamp = row.updated_at.strftime(_STAMP)
        day = row.created_at.strftime("%Y-%m-%d")
        values = (row.id, kind, row.external_id, row.tran_id, status, day, stamp, row.ref)
        self._db.execute('REPLACE INTO "transaction" VALUES (?,?,?,?,?,?,?,?)', values)
        self._db.execute('DELETE FROM transactionline WHERE "transaction"=?', (row.id,))
        for key, quantity in row.lines.items():
            sku, _, location = key.partition("@")
            place = self._catalogue.erp_location_id(location) if location else None
            line = (row.id, self._catalogue.by_sku[sku].erp_id, place, quantity)
            self._db.execute("INSERT INTO transactionline VALUES (?,?,?,?)", line)

    def query(self, text: str, limit: int, offset: int) -> dict[str, Any]:
        """One page: `{links, count, hasMore, items, offset, totalResults}`; numbers as strings, nulls left out."""
        rows, names = self._run(text.strip().rstrip(";"))
        self._asked += 1
        if not re.search(r"\border\s+by\b", text, re.IGNORECASE):
            Random(self._asked).shuffle(rows)
        rows = rows[:ROW_CAP]
        page = rows[offset : offset + limit]
        return {
            "links": [],
            "count": len(page),
            "hasMore": offset + limit < len(rows),
            "items": [{"links": []} | _shown(names, row) for row in page],
            "offset": offset,
            "totalResults": len(rows),
        }

    def _run(self, text: str) -> tuple[list[tuple[Any, ...]], list[str]]:
        # in SuiteQL `transaction` is a table, in SQLite a keyword
        pieces = re.split(r"('(?:[^']|'')*'|\"[^\"]*\")", text)
        pieces[::2] = [re.sub(r"\btransaction\b", '"transaction"', piece, flags=re.IGNORECASE) for piece in pieces[::2]]
        self._db.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY)
        try:
            cursor = self._db.execute("".join(pieces))
            return cursor.fetchall(), [column[0].lower() for column in cursor.description or ()]
        except (sqlite3.Error, sqlite3.Warning) as error:
            detail = f"Invalid search query. Detailed unprocessed description follows. {error}."
            raise ErpError(400, "INVALID_PARAMETER", detail) from error
        finally:
            self._db.set_authorizer(None)


def _shown(names: list[str], row: tuple[Any, ...]) -> dict[str, str]:
    return {name: _text(value) for name, value in zip(names, row, strict=True) if value is not None}


def _text(value: Any) -> str:
    return f"{Decimal(repr(value)).normalize():f}" if isinstance(value, float) else str(value)
