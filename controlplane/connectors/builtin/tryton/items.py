"""Items of Tryton: what they are called and cost. Name and price belong to the template, whose changes do not touch the item.

A walk over many items goes on where it stopped: its cursor tells the last id, and until when the changes are known once it is over.
That instant is asked for before the walk, so that what changes behind its back is found by the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from controlplane.connectors.builtin.tryton.rpc import Rpc, encode
from controlplane.connectors.contract import Page, Record
from controlplane.connectors.records import content_key, verbatim

STAMPS = ("write_date", "create_date", "template.write_date")
FIELDS = ["code", "name", "cost_price", "list_price_used", "active", *STAMPS]
GOODS: list[Any] = [["type", "=", "goods"], ["active", "in", [True, False]]]  # else the deactivated stay out


def changed(rpc: Rpc, company: int, since: datetime | None, held: Mapping[str, Any]) -> Iterator[Page]:
    """Yield the items that changed since the instant, or all; `held` is the cursor of the page before. Raises ConnectorError."""
    known = {"since": held["since"]} if held.get("since") else {}
    until = str(held.get("until") or _newest(rpc, company))
    domain = [*GOODS]
    if since:
        domain.append(["OR", *([name, ">=", encode(since)] for name in STAMPS)])
    for rows, _ in rpc.rows("product.product", domain, FIELDS, {"company": company}, int(held.get("after", 0))):
        if rows:
            told = tuple(_record(row) for row in rows if row["code"])
            yield Page(told, {**known, "until": until, "after": rows[-1]["id"]})
    yield Page((), {"since": max(until, held.get("since", ""))} if until else {})


def _newest(rpc: Rpc, company: int) -> str:
    """The instant of the last change that can be seen now, by Tryton's clock; empty where there are no items."""
    found = []
    for name in STAMPS:
        order = [[name, "DESC NULLS LAST"]]
        rows, _ = rpc.call("model.product.product.search_read", GOODS, 0, 1, order, [*STAMPS], {"company": company})
        found += [_changed(row) for row in rows]
    return max(found).isoformat() if found else ""


def _changed(row: Mapping[str, Any]) -> datetime:
    stamps: list[datetime | None] = [
        row["write_date"],
        row["create_date"],
        (row.get("template.") or {}).get("write_date"),
    ]
    return max(stamp for stamp in stamps if stamp)


def _record(row: Mapping[str, Any]) -> Record:
    told = {
        "code": row["code"],
        "name": row["name"],
        "cost": None if row["cost_price"] is None else str(row["cost_price"]),
        "price": None if row["list_price_used"] is None else str(row["list_price_used"]),
        "active": row["active"],
        "changed": _changed(row).isoformat(),
    }
    body = verbatim(told)
    return Record("items", content_key("items", str(told["code"]), body), body)
