"""The Tryton connector: stock, products and shipments are read, orders written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from controlplane.connectors import settings
from controlplane.connectors.builtin.tryton import items, shipments
from controlplane.connectors.builtin.tryton.rpc import Rpc
from controlplane.connectors.builtin.tryton.sales import Sales
from controlplane.connectors.builtin.tryton.stock import Position, Warehouses
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Level,
    Manifest,
    Page,
    ReadSpec,
    Record,
    Setting,
    Write,
    WriteSpec,
)
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import content_key, read_json, verbatim
from controlplane.errors import BadInputError
from rules.model.messages import stock_key
from rules.outcomes import Guarantee, Outcome

OVERLAP = timedelta(minutes=5)
BEGINNING = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class TrytonConnector(Connector):
    """A Tryton database. Options: database, company (id), currency, locations (ours, mapped to location codes), customer (party code)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="tryton",
        title="Tryton (JSON-RPC)",
        reads=(
            ReadSpec("stock", snapshot=True, changes=True),
            ReadSpec("items", changes=True),
            ReadSpec("shipments", changes=True),
        ),
        writes=(
            WriteSpec(
                "sale", ("order.placed",), Guarantee.READABLE, late_effect=60.0, how="looked up by its reference"
            ),
        ),
        secrets=("user", "password"),
        options=("database", "company", "currency", "locations", "customer"),
        verified_against="Tryton 8.2, running",
        kind="erp",
        auth="session of a user (JSON-RPC), opened anew when it ends",
        limits="none known",
        gaps=("stock as a write", "orders from several warehouses", "purchases and their receipts"),
        option_schemas={
            "database": {"type": "string"},
            "company": {"type": "integer", "default": 1},
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "default": "EUR"},
            "locations": {"type": "array", "items": {"type": "string"}},
            "customer": {"type": "string", "description": "code of the party that orders are sold to"},
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rpc = Rpc(context)
        self._currency = str(context.options.get("currency", "EUR"))
        self._company = int(context.options.get("company", 1))
        self._sales = Sales(context, self._rpc, self._company, str(context.options.get("customer", "")))
        self._stock = Warehouses(context, self._rpc, [str(name) for name in context.options.get("locations", ())])

    def close(self) -> None:
        """Close the connections."""
        self._rpc.http.close()

    def ping(self) -> None:
        """Ask for our own preferences, which proves the session too."""
        self._rpc.call("model.res.user.get_preferences", True, {})

    def settings(self) -> list[Setting]:
        """Read the company's currency, and whether each location's code leads to one location."""
        remedy = "correct `options.currency` or `options.company`; the currency of a company cannot be changed"
        currency = Setting("company currency", self._currency, self._company_currency(), remedy, option="currency")
        return [currency, *settings.locations(self.context, self._standing, "Inventory > Configuration > Locations")]

    def _company_currency(self) -> str:
        domain: list[Any] = [["id", "=", self._company]]
        companies = [row for rows, _ in self._rpc.rows("company.company", domain, ["currency"], {}) for row in rows]
        if not companies:
            return f"there is no company {self._company}"
        chosen: list[Any] = [["id", "=", companies[0]["currency"]], ["active", "in", [True, False]]]
        found = [row for rows, _ in self._rpc.rows("currency.currency", chosen, ["code"], {}) for row in rows]
        return str(found[0]["code"]) if found else "none"

    def _standing(self, code: str) -> str | None:
        found = self._stock.with_code(code)
        if found is None:
            return None
        return {0: settings.GONE, 1: settings.HERE}.get(len(found), "there more than once")

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the `stock` of the configured warehouses, or of the keys."""
        if entity != "stock":
            yield from super().snapshot(entity, keys)
        wanted = None if keys is None else set(keys)
        for page in self._stock.levels(None):
            yield [_level(p) for p in page if wanted is None or (p.sku, p.location) in wanted]

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield `stock` of products whose moves changed, or `items` that changed; all of them without a cursor."""
        held = cursor or {}
        since = datetime.fromisoformat(held["since"]) - OVERLAP if held.get("since") else None
        if entity == "stock":
            yield from self._poll_stock(since, held)
        elif entity == "items":
            yield from items.changed(self._rpc, self._company, since, held)
        elif entity == "shipments":
            yield from self._poll_shipments(since, held)
        else:
            yield from super().poll(entity, cursor)

    def _poll_stock(self, since: datetime | None, held: dict[str, Any]) -> Iterator[Page]:
        moved = self._stock.moved(since or BEGINNING)
        done = {"since": max(moved.values()).isoformat()} if moved else held
        pages = self._stock.levels(list(moved) if since else None) if moved or not since else iter(())
        for page in pages:
            yield Page(tuple(_stock_record(position, moved.get(position.product)) for position in page), held)
        yield Page((), done)

    def _poll_shipments(self, since: datetime | None, held: dict[str, Any]) -> Iterator[Page]:
        seen = held.get("since", "")
        for records, latest in shipments.done(self._rpc, self._company, since):
            seen = max(seen, latest)
            yield Page(tuple(records), held)
        yield Page((), {"since": seen} if seen else {})

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read stock as `stock.level`, items as `product.described`, shipments as `shipment.shipped`."""
        record = read_json(body)
        try:
            if topic == "shipments":
                return [shipments.draft(self.context, record)]
            return [self._stock_draft(record) if topic == "stock" else self._item_draft(record)]
        except BadInputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"the record breaks Tryton's contract: {error!r}; correct it, or drop it") from error

    def _stock_draft(self, told: dict[str, Any]) -> Draft:
        on_hand, available = int(told["on_hand"]), int(told["available"])
        subject, version = stock_key(told["sku"], told["location"]), str(told["changed"])
        data = {
            "sku": told["sku"],
            "location": told["location"],
            "on_hand": on_hand,
            "allocated": on_hand - available,
            "available": available,
            "in_transit": 0,
            "source_at": version,
        }
        key = f"stock.level:{subject}:{version}:{on_hand}/{available}"
        return Draft("stock.level", subject, key, datetime.fromisoformat(version), data, source_version=version)

    def _item_draft(self, told: dict[str, Any]) -> Draft:
        sku, version = self.context.codes.ours("sku", told["code"]), str(told["changed"])
        data = {
            "sku": sku,
            "title": told["name"],
            "unit_cost": told["cost"],
            "unit_price": told["price"],
            "currency": self._currency,
            "active": bool(told.get("active", True)),
        }
        key = f"product.described:{sku}:{version}{'' if data['active'] else ':inactive'}"
        return Draft("product.described", sku, key, datetime.fromisoformat(version), data, source_version=version)

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Make an order a confirmed sale, once for its reference."""
        self.manifest.write_spec(request.entity)
        return self._sales.put(request)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look for the sale by its reference."""
        self.manifest.write_spec(request.entity)
        return self._sales.read_back(request)


def _level(position: Position) -> Level:
    return Level(
        sku=position.sku,
        location=position.location,
        on_hand=position.on_hand,
        available=position.available,
        source_at=None,
        read_from=position.answer.started,
        read_to=position.answer.ended,
    )


def _stock_record(position: Position, changed: datetime | None) -> Record:
    told = {
        "product": position.product,
        "sku": position.sku,
        "location": position.location,
        "on_hand": position.on_hand,
        "available": position.available,
        "changed": (changed or BEGINNING).isoformat(),
    }
    body = verbatim(told)
    return Record("stock", content_key("stock", stock_key(position.sku, position.location), body), body)
