"""An order's state follows from its lines, and only ever moves forward."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rules.orders import LineProgress, OrderState, order_state

FORWARD = [
    OrderState.PENDING_VALIDATION,
    OrderState.RELEASED_TO_WAREHOUSE,
    OrderState.PARTIALLY_SHIPPED,
    OrderState.SHIPPED,
    OrderState.RETURNED,
]


@st.composite
def progress(draw: st.DrawFn) -> LineProgress:
    """Return a line whose returns are not beyond its shipments, nor those beyond its quantity."""
    quantity = draw(st.integers(1, 50))
    shipped = draw(st.integers(0, quantity))
    return LineProgress(quantity, shipped, draw(st.integers(0, shipped)))


ORDERS = st.lists(progress(), min_size=1, max_size=5)


def step(line: LineProgress, choice: int) -> LineProgress:
    """Return the line after one more unit was shipped or came back, where that is possible."""
    if choice and line.shipped < line.quantity:
        return LineProgress(line.quantity, line.shipped + 1, line.returned)
    if line.returned < line.shipped:
        return LineProgress(line.quantity, line.shipped, line.returned + 1)
    return line


@given(ORDERS, st.data())
def test_another_unit_shipped_or_returned_never_moves_an_order_back(
    lines: list[LineProgress], data: st.DataObject
) -> None:
    moved = [step(line, data.draw(st.integers(0, 1))) for line in lines]
    before, after = order_state(lines, released=True), order_state(moved, released=True)
    assert FORWARD.index(after) >= FORWARD.index(before)


@given(ORDERS)
def test_that_the_warehouse_took_the_order_never_moves_it_back(lines: list[LineProgress]) -> None:
    assert FORWARD.index(order_state(lines, released=True)) >= FORWARD.index(order_state(lines, released=False))


@given(ORDERS, st.booleans())
def test_the_order_of_lines_changes_nothing(lines: list[LineProgress], released: bool) -> None:
    assert order_state(lines, released) == order_state(lines[::-1], released)


def test_too_many_units_of_one_line_do_not_make_up_for_another() -> None:
    lines = [LineProgress(quantity=1, shipped=2, returned=0), LineProgress(quantity=1, shipped=0, returned=0)]
    assert order_state(lines, released=True) is OrderState.PARTIALLY_SHIPPED


def test_an_order_without_lines_proves_nothing() -> None:
    assert order_state([], released=False) is OrderState.PENDING_VALIDATION


def test_each_state_is_reached_by_its_quantities() -> None:
    def state(shipped: int, returned: int, released: bool = True) -> OrderState:
        return order_state([LineProgress(2, shipped, returned)], released)

    assert [state(0, 0, False), state(0, 0), state(1, 0), state(2, 0), state(2, 2)] == FORWARD
    assert state(2, 1) is OrderState.SHIPPED
