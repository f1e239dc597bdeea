"""Canonical data: what older versions did not say is not known in the newest, and money is exact."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rules.model.messages import OrderPlaced, parse, version_of

LINE = {"line": 1, "native_id": "1", "sku": "A", "location": "WH1", "quantity": 2, "unit_price": "10.00"}
ORDER: dict[str, Any] = {
    "ref": "#1", "native_id": "1", "placed_at": "2026-11-27T06:00:00Z", "currency": "USD", "lines": [LINE],
}  # fmt: skip


@pytest.mark.parametrize(("version", "more"), [(1, {}), (2, {"store": None})])
def test_of_an_order_of_old_it_is_not_known_what_tax_was_charged_nor_where_it_goes(
    version: int, more: dict[str, Any]
) -> None:
    told = parse("order.placed", {**ORDER, **more}, version)
    assert isinstance(told, OrderPlaced)
    assert (told.tax, told.ship_to, told.lines[0].tax) == (None, None, None)
    assert version_of("order.placed") == 3


def test_tax_is_a_whole_number_of_minor_units() -> None:
    taxed = {
        **ORDER,
        "lines": [{**LINE, "tax": {"amount": "1.78", "code": "clothes", "rate": "0.08875"}}],
        "tax": "1.78",
    }
    assert parse("order.placed", taxed)
    for wrong in ({**taxed, "tax": "1.785"}, {**taxed, "currency": "JPY"}):
        with pytest.raises(ValidationError, match="whole number of the minor units"):
            parse("order.placed", wrong)
