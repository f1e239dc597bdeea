"""What the ERP shows of each sales order that bears our external id (its status), and of each item (whether it is sold)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

from controlplane.connectors.builtin.netsuite import records, suiteql
from controlplane.connectors.contract import Context, Entry
from controlplane.connectors.http import Answer, HttpClient

STATES = {
    "A": "pending_validation",
    "B": "released_to_warehouse",
    "C": "cancelled",
    "D": "partially_shipped",
    "E": "partially_shipped",
    "F": "shipped",
    "G": "shipped",
}
"""Status of a sales order -> ours. One that was closed (H) may be at any: its state is not told."""
PREFIX = records.sales_order_id("")


def entries(
    http: HttpClient, auth: Any, zone: tzinfo, subjects: Sequence[str] | None, since: datetime | None
) -> Iterator[list[Entry]]:
    """Yield the sales orders that were changed since, or those of the references. Raises ConnectorError."""
    chunks: list[list[str] | None] = [None]
    if subjects is not None:
        ids = [records.sales_order_id(ref) for ref in subjects]
        chunks = [ids[at : at + suiteql.KEYS_AT_ONCE] for at in range(0, len(ids), suiteql.KEYS_AT_ONCE)]
    for chunk in chunks:
        query = partial(suiteql.orders, since=since if chunk is None else None, externals=chunk, zone=zone)
        for rows, _, answer in suiteql.pages(http, auth, query, 0, suiteql.identity):
            try:
                ours = [row for row in rows if str(row.get("external", "")).startswith(PREFIX)]
                yield [_entry(row, answer) for row in ours]
            except (KeyError, ValueError):
                answer.fail("answered a sales order that breaks its contract")


def articles(context: Context, http: HttpClient, auth: Any, subjects: Sequence[str] | None) -> Iterator[list[Entry]]:
    """Yield whether each item, or each of the SKUs (ours), is sold. What it costs a customer is not told. Raises ConnectorError."""
    wanted = None if subjects is None else set(subjects)
    query = partial(suiteql.items, since=None)
    for rows, _, answer in suiteql.pages(http, auth, query, 0, suiteql.identity):
        try:
            told = [(context.codes.ours("sku", row["sku"]), row.get("inactive", "F")) for row in rows]
        except (KeyError, ValueError):
            answer.fail("answered an item that breaks its contract")
        yield [
            Entry(sku, {"active": "no" if gone == "T" else "yes"}, None, answer.started, answer.ended)
            for sku, gone in told if wanted is None or sku in wanted
        ]  # fmt: skip


def _entry(row: Mapping[str, Any], answer: Answer) -> Entry:
    state = STATES.get(str(row.get("status", "")).rpartition(":")[2])
    ref = str(row["external"]).removeprefix(PREFIX)
    return Entry(ref, {"state": state} if state else {}, None, answer.started, answer.ended)
