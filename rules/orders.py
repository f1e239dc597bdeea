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
    """Return the state that the quantities prove; `released`: the warehouse has taken the order."""
    ordered = sum(line.quantity for line in lines)
    shipped = sum(line.shipped for line in lines)
    returned = sum(line.returned for line in lines)
    if returned and returned >= ordered:
        return OrderState.RETURNED
    if shipped >= ordered:
        return OrderState.SHIPPED
    if shipped:
        return OrderState.PARTIALLY_SHIPPED
    return OrderState.RELEASED_TO_WAREHOUSE if released else OrderState.PENDING_VALIDATION
