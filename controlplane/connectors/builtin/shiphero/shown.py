"""What the warehouse shows of an order: where it stands, by its lines and not by its header, and how many units have left."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane.connectors.contract import Entry
from controlplane.connectors.http import Answer
from rules.orders import LineProgress, order_state

CANCELLED = frozenset({"canceled", "cancelled"})


def entry(node: Mapping[str, Any], answer: Answer) -> Entry:
    """Read a node of the listing. Raises UnreadableError."""
    try:
        lines = [LineProgress(int(one["quantity"]), int(one["quantity_shipped"]), 0) for one in node["line_items"]]
        cancelled = str(node["fulfillment_status"]).lower() in CANCELLED
        state = "cancelled" if cancelled else str(order_state(lines, released=True))
        fields: dict[str, Any] = {"state": state, "shipped": sum(line.shipped for line in lines)}
        at = datetime.fromisoformat(node["created_at"])
        return Entry(str(node["order_number"]), fields, at, answer.started, answer.ended)
    except (KeyError, TypeError, ValueError):
        answer.fail("answered an order that breaks its contract")
