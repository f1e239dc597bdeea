"""The ERP's documents: what an upsert by external id means for stock, and what the ERP refuses."""

import hashlib
import json
from decimal import Decimal, InvalidOperation
from typing import Any

from controlplane.sandbox.catalogue import ACCOUNTS
from controlplane.sandbox.erp.problems import ErpError
from controlplane.sandbox.erp.suiteql import SuiteQl
from controlplane.sandbox.records import ErpRecord, Level
from controlplane.sandbox.world import World

DOCS = {
    "salesOrder": "order",
    "itemFulfillment": "shipment",
    "itemReceipt": "receipt",
    "inventoryAdjustment": "return",
    "cashSale": "till_sale",
    "journalEntry": "posting",
}
_PREFIX = {
    "salesOrder": "SO",
    "itemFulfillment": "IF",
    "itemReceipt": "IR",
    "inventoryAdjustment": "IA",
    "cashSale": "CS",
}
_SIGN = {"salesOrder": 0, "itemFulfillment": -1, "itemReceipt": 1, "inventoryAdjustment": 1, "cashSale": -1}


def _refuse(detail: str, path: str | None = None) -> ErpError:
    return ErpError(400, "INVALID_CONTENT", detail, path)


class Ledger:
    """Documents by (type, external id). Call with the world locked."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._fulfilments: dict[str, dict[str, ErpRecord]] = {}
        for row in world.erp_records:
            self._index(row)
        self.books = SuiteQl(world.catalogue, world.levels, world.erp_records, world.meta.started_at)
        for sku, since in world.meta.inactive.items():
            self.books.show_item(sku, False, since)

    def sell(self, sku: str, active: bool) -> None:
        """Sell an article (again), or not any more."""
        now = self.world.time_of("erp")
        others = {name: since for name, since in self.world.meta.inactive.items() if name != sku}
        self.world.meta.inactive = others if active else {**others, sku: now}
        self.world.metas.put("meta", self.world.meta)
        self.books.show_item(sku, active, now)

    def mistake_unit(self, level: Level, factor: int) -> None:
        """Somebody sets an article up as counted in another unit: its balance is shown times `factor` from now on."""
        level.erp_factor, level.erp_updated_at = factor, self.world.time_of("erp")
        self.world.levels.put(level.key, level)
        self.world.journal.write("wrong_unit", system="erp", sku=level.sku, location=level.location, factor=factor)
        self.books.show_level(level)

    def rename(self, level: Level) -> str:
        """Somebody gives an article a code that nobody knows; the ERP's own id stays. Return the code."""
        code = f"{level.sku}-OLD"
        level.erp_code = code
        self.world.levels.put(level.key, level)
        self.world.journal.write("renamed", system="erp", sku=level.sku, location=level.location, code=code)
        self.books.rename(level.sku, code, self.world.time_of("erp"))
        return code

    def _index(self, row: ErpRecord) -> None:
        if row.type == "itemFulfillment" and row.created_from:
            self._fulfilments.setdefault(row.created_from, {})[row.external_id] = row

    def find(self, kind: str, external_id: str) -> ErpRecord | None:
        """The document of that type under that external id, or None."""
        return self.world.erp_records.get(f"{kind}/{external_id}")

    def upsert(self, kind: str, external_id: str, body: dict[str, Any]) -> ErpRecord:
        """Create or replace; a replaced document's effect on stock is undone first. ErpError 400 when refused."""
        if kind not in DOCS:
            raise ErpError(404, "NONEXISTENT_RECORD_TYPE", f"Record type {kind!r} does not exist.")
        lines = {} if kind == "journalEntry" else self._lines(kind, body)
        accounts = self._accounts(body) if kind == "journalEntry" else []
        source = self._source(kind, external_id, body, lines)
        before = self.find(kind, external_id)
        row = self._row(kind, external_id, body, before)
        row.lines, row.created_from = lines, source
        row.effect = {key: _SIGN[kind] * quantity for key, quantity in lines.items()} if lines else {}
        row.digest = hashlib.sha256(json.dumps([lines, accounts], sort_keys=True).encode()).hexdigest()
        self.world.erp_records.put(f"{kind}/{external_id}", row)
        self._index(row)
        self._apply(before, row)
        self.books.show_record(row)
        self._progress(row)
        if before is None or before.digest != row.digest:
            self.world.effect("erp", row.doc, row.ref, f"{kind}/{row.id}", lines)
        return row

    def _row(self, kind: str, external_id: str, body: dict[str, Any], before: ErpRecord | None) -> ErpRecord:
        now = self.world.time_of("erp")
        number = before.id if before else 50_000 + self.world.counters.next("erp_record")
        return ErpRecord(
            id=number,
            type=kind,
            external_id=external_id,
            tran_id=str(body.get("tranId") or f"{_PREFIX.get(kind, 'JE')}{number}"),
            doc=str(body.get("custbody_doc_kind") or DOCS[kind]),
            ref=str(body.get("custbody_business_ref") or external_id),
            created_from=None,
            created_at=before.created_at if before else now,
            updated_at=now,
            lines={},
            effect={},
            digest="",
            body=body,
        )

    # --- stock ---
    def _apply(self, before: ErpRecord | None, after: ErpRecord) -> None:
        change: dict[str, int] = dict(after.effect)
        for key, pieces in (before.effect if before else {}).items():
            change[key] = change.get(key, 0) - pieces
        promised = self._promises(before, after)
        for key in {**change, **promised}:
            moved, held = change.get(key, 0), promised.get(key, 0)
            if moved or held:
                level = self.world.levels[key]
                self.world.move_erp(level, moved, held, after.type, after.ref)
                self.books.show_level(level)

    def _promises(self, before: ErpRecord | None, after: ErpRecord) -> dict[str, int]:
        """How stock promised to sales orders changes: ordered less fulfilled, per order never below zero."""
        order_id = after.external_id if after.type == "salesOrder" else after.created_from
        order = (
            self.find("salesOrder", order_id) if order_id and after.type in ("salesOrder", "itemFulfillment") else None
        )
        if order is None:
            return {}
        ordered_before = before.lines if before and after.type == "salesOrder" else order.lines
        if after.type == "salesOrder" and before is None:
            ordered_before = {}
        shipped_now = self._shipped(order.external_id)
        shipped_before = dict(shipped_now)
        if after.type == "itemFulfillment":
            for key, pieces in after.lines.items():
                shipped_before[key] -= pieces
            for key, pieces in (before.lines if before else {}).items():
                shipped_before[key] = shipped_before.get(key, 0) + pieces
        keys = {**ordered_before, **order.lines}
        held_now = {key: max(0, order.lines.get(key, 0) - shipped_now.get(key, 0)) for key in keys}
        return {k: held_now[k] - max(0, ordered_before.get(k, 0) - shipped_before.get(k, 0)) for k in keys}

    def _progress(self, row: ErpRecord) -> None:
        """A sales order's status follows its fulfilments: pending (B), partially fulfilled (D), to be billed (F)."""
        order = self.find("salesOrder", (row.created_from or "") if row.type == "itemFulfillment" else row.external_id)
        if order is None or row.type not in ("salesOrder", "itemFulfillment"):
            return
        shipped = self._shipped(order.external_id)
        whole = all(shipped.get(key, 0) >= pieces for key, pieces in order.lines.items())
        self.books.show_record(order, ("F" if whole else "D") if any(shipped.values()) else "B")

    def _shipped(self, order_id: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for row in self._fulfilments.get(order_id, {}).values():
            for key, pieces in row.lines.items():
                found[key] = found.get(key, 0) + pieces
        return found

    # --- reading bodies ---
    def _lines(self, kind: str, body: dict[str, Any]) -> dict[str, int]:
        sublist = "inventory" if kind == "inventoryAdjustment" else "item"
        field = "adjustQtyBy" if kind == "inventoryAdjustment" else "quantity"
        items = (body.get(sublist) or {}).get("items") if isinstance(body.get(sublist), dict) else None
        if not isinstance(items, list) or not items:
            raise _refuse(f"Please enter value(s) for: {sublist}.items", f"{sublist}.items")
        lines: dict[str, int] = {}
        for at, line in enumerate(items):
            path = f"{sublist}.items[{at}]"
            item = self.world.catalogue.item_of(_reference(line.get("item")))
            if item is None:
                raise _refuse(f"Invalid item reference key {_reference(line.get('item'))!r}.", f"{path}.item")
            key = f"{item.sku}@{self._location(line.get('location') or body.get('location'), path)}"
            lines[key] = lines.get(key, 0) + _whole(line.get(field), f"{path}.{field}", signed=field == "adjustQtyBy")
        return lines

    def _location(self, given: Any, path: str) -> str:
        found = self.world.catalogue.location_of(_reference(given))
        if found is None:
            raise _refuse(f"Invalid location reference key {_reference(given)!r}.", f"{path}.location")
        return found

    def _source(self, kind: str, external_id: str, body: dict[str, Any], lines: dict[str, int]) -> str | None:
        given = _reference(body.get("createdFrom"))
        if kind != "itemFulfillment":
            return given or None
        order = self.find("salesOrder", given) or next(
            (r for r in self.world.erp_records if r.type == "salesOrder" and given == str(r.id)), None
        )
        if order is None:
            raise _refuse(f"Invalid createdFrom reference key {given!r}: there is no such sales order.", "createdFrom")
        mine = self.find(kind, external_id)
        shipped = self._shipped(order.external_id)
        for key, pieces in lines.items():
            others = shipped.get(key, 0) - (mine.lines.get(key, 0) if mine else 0)
            if pieces + others > order.lines.get(key, 0):
                raise _refuse(f"You cannot fulfill {pieces} of {key}: the order has less remaining.", "item.items")
        return order.external_id

    def _accounts(self, body: dict[str, Any]) -> list[list[str]]:
        items = (body.get("line") or {}).get("items") if isinstance(body.get("line"), dict) else None
        if not isinstance(items, list) or len(items) < 2:
            raise _refuse("A journal entry needs at least two lines in line.items", "line.items")
        found, balance = [], Decimal(0)
        for at, line in enumerate(items):
            account = _reference(line.get("account")).split(" ")[0]
            if account not in ACCOUNTS:
                raise _refuse(f"Invalid account reference key {account!r}.", f"line.items[{at}].account")
            debit, credit = (_amount(line.get(side), f"line.items[{at}].{side}") for side in ("debit", "credit"))
            balance += debit - credit
            found.append([account, str(debit), str(credit)])
        if balance:
            raise _refuse(f"Please balance the transaction amounts: debits exceed credits by {balance}.", "line.items")
        return sorted(found)


def _reference(given: Any) -> str:
    if isinstance(given, dict):
        known = (given.get(name) for name in ("id", "externalId", "acctNumber", "refName"))
        return next((str(value) for value in known if value not in (None, "")), "")
    return "" if given is None else str(given)


def _whole(given: Any, path: str, *, signed: bool) -> int:
    number = _amount(given, path)
    if number != number.to_integral_value() or number == 0 or (number < 0 and not signed):
        raise _refuse(f"Invalid quantity {given!r}.", path)
    return int(number)


def _amount(given: Any, path: str) -> Decimal:
    try:
        number = Decimal(str(given or 0))
    except InvalidOperation as error:
        raise _refuse(f"Invalid number {given!r}.", path) from error
    if not number.is_finite():
        raise _refuse(f"Invalid number {given!r}.", path)
    return number
