"""Customer shipments of Tryton that are done, as shipments of the orders that their sales refer to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from controlplane.connectors.builtin.tryton.rpc import Rpc, encode
from controlplane.connectors.contract import Context, Draft, Record
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError

MODEL = "stock.shipment.out"
FIELDS = ["number", "warehouse.code", "write_date", "create_date"]


def done(rpc: Rpc, company: int, since: datetime | None) -> Iterator[tuple[list[Record], str]]:
    """Yield pages of (records, latest change in them) of shipments that were done since, one record for each order in each."""
    domain: list[Any] = [["state", "=", "done"], ["company", "=", company]]
    if since is not None:
        stamp = encode(since)
        domain.append(["OR", ["write_date", ">=", stamp], ["create_date", ">=", stamp]])
    for rows, _ in rpc.rows(MODEL, domain, FIELDS, {}):
        if rows:
            changed = {row["id"]: row["write_date"] or row["create_date"] for row in rows}
            lines = _lines(rpc, list(changed))
            told = [record for row in rows for record in _records(row, changed[row["id"]], lines.get(row["id"], {}))]
            yield told, max(changed.values()).isoformat()


def _lines(rpc: Rpc, ids: list[int]) -> dict[int, dict[str, Counter[str]]]:
    """Return shipment -> reference of the sale -> quantities by code; what came of no sale is no order's."""
    chosen = [f"{MODEL},{identity}" for identity in ids]
    domain: list[Any] = [["shipment", "in", chosen], ["state", "=", "done"], ["to_location.type", "=", "customer"]]
    fields = ["product.code", "quantity", "origin", "shipment"]
    moves = [row for rows, _ in rpc.rows("stock.move", domain, fields, {}) for row in rows]
    origins = sorted({_id(row["origin"]) for row in moves if str(row["origin"]).startswith("sale.line,")})
    sold = [row for rows, _ in rpc.rows("sale.line", [["id", "in", origins]], ["sale.reference"], {}) for row in rows]
    references = {row["id"]: row["sale."]["reference"] for row in sold}
    found: dict[int, dict[str, Counter[str]]] = {}
    for row in moves:
        reference = references.get(_id(row["origin"])) if str(row["origin"]).startswith("sale.line,") else None
        if reference:
            by_order = found.setdefault(_id(row["shipment"]), {})
            by_order.setdefault(reference, Counter())[row["product."]["code"]] += row["quantity"]
    return found


def _id(reference: str) -> int:
    return int(reference.rpartition(",")[2])


def _records(row: dict[str, Any], changed: datetime, orders: dict[str, Counter[str]]) -> list[Record]:
    made = []
    for order, quantities in sorted(orders.items()):
        told = {
            "number": row["number"], "order": order, "warehouse": (row["warehouse."] or {}).get("code"),
            "done_at": changed.isoformat(), "lines": dict(sorted(quantities.items())),
        }  # fmt: skip
        body = verbatim(told)
        made.append(Record("shipments", content_key("shipments", f"{row['number']}:{order}", body), body))
    return made


def draft(context: Context, told: dict[str, Any]) -> Draft:
    """Return the shipment as a canonical message. Raises BadInputError, UnmappedError, KeyError, TypeError, ValueError."""
    order, occurred = str(told["order"]), datetime.fromisoformat(told["done_at"])
    name = f"{context.system}-{told['number']}"
    lines = []
    for code, quantity in told["lines"].items():
        if quantity != int(quantity):
            raise BadInputError(
                f"the shipment {name} holds {quantity} of {code}; stock is counted in whole units", code
            )
        lines.append({"sku": context.codes.ours("sku", code), "quantity": int(quantity)})
    data = {
        "shipment": name, "order_ref": order, "location": context.codes.ours("location", str(told["warehouse"])),
        "shipped_at": occurred.isoformat(), "lines": lines,
    }  # fmt: skip
    return Draft("shipment.shipped", name, f"shipment.shipped:{name}:{order}", occurred, data)
