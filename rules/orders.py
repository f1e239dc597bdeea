"""Canonical order states, derived from line quantities and never from a header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class OrderState(StrEnum):
    """Where an order stands."""

    PENDING_VALIDATION = "pending_validation"
    ALLOCATED = "allocated"
    RELEASED_TO_WAREHOUSE = "released_to_warehouse"
    PARTIALLY_SHIPPED = "partially_shipped"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    RETURNED = "returned"
    FINANCIALLY_SETTLED = "financially_settled"
    CANCELLED = "cancelled"


STAGES = {
    OrderState.PENDING_VALIDATION: "open",
    OrderState.ALLOCATED: "open",
    OrderState.RELEASED_TO_WAREHOUSE: "open",
    OrderState.PARTIALLY_SHIPPED: "partially_shipped",
    OrderState.SHIPPED: "shipped",
    OrderState.DELIVERED: "shipped",
    OrderState.RETURNED: "shipped",
    OrderState.FINANCIALLY_SETTLED: "shipped",
    OrderState.CANCELLED: "cancelled",
}
"""State -> what every system can tell of it: a shop knows nothing of allocation, a warehouse nothing of money."""


def stage(state: str) -> str:
    """Return what can be compared of a state that a system shows. Raises ValueError for one that is none of ours."""
    return STAGES[OrderState(state)]


UNSHIPPED = (
    OrderState.PENDING_VALIDATION,
    OrderState.ALLOCATED,
    OrderState.RELEASED_TO_WAREHOUSE,
    OrderState.PARTIALLY_SHIPPED,
)
"""States in which the customer still waits for goods."""


@dataclass(frozen=True, slots=True)
class LineProgress:
    """Units of one line."""

    quantity: int
    shipped: int
    returned: int


def order_state(lines: Sequence[LineProgress], released: bool) -> OrderState:
    """Return the state that the quantities prove; `released`: the warehouse has taken the order.

    Each line has to be whole by itself: too many units of one never make up for another's. Nothing is proven of an
    order without lines.
    """
    if lines and all(line.returned >= line.quantity for line in lines):
        return OrderState.RETURNED
    if lines and all(line.shipped >= line.quantity for line in lines):
        return OrderState.SHIPPED
    if any(line.shipped for line in lines):
        return OrderState.PARTIALLY_SHIPPED
    return OrderState.RELEASED_TO_WAREHOUSE if released else OrderState.PENDING_VALIDATION
