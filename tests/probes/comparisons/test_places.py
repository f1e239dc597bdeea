"""When a reading came by the place of a key that it does not list: told by the row behind it, where the orders agree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.connectors.contract import Level
from probes.comparisons.places import Key, Places

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
KEYS = ["A", "B", "C", "D", "E"]


def side(skus: list[str], location: str = "WH1", page: int = 2) -> dict[Key, list[Level]]:
    """A side that lists so many articles a page, a page a second."""
    return {
        (sku, location): [Level(sku, location, 1, 1, None, at(place // page), at(place // page + 1))]
        for place, sku in enumerate(skus)
    }


def at(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(("sku", "passed"), [("A", 1), ("B", 1), ("C", 2), ("D", 2)])
def test_a_missing_key_was_passed_when_the_row_behind_it_was_read(sku: str, passed: int) -> None:
    erp = side([one for one in KEYS if one != sku])
    assert Places({"wms": side(KEYS), "erp": erp}).passed("erp", "wms", (sku, "WH1")) == at(passed)


def test_behind_the_last_row_nothing_tells() -> None:
    places = Places({"wms": side(KEYS), "erp": side(KEYS[:-1])})
    assert places.passed("erp", "wms", ("E", "WH1")) is None


def test_a_code_that_the_source_does_not_know_stands_in_nobodys_way() -> None:
    places = Places({"wms": side(KEYS), "erp": side(["A", "B-OLD", "C", "D", "E"])})
    assert places.passed("erp", "wms", ("B", "WH1")) == at(2)
    assert places.passed("erp", "wms", ("B-OLD", "WH1")) is None


def test_sides_that_list_in_different_orders_tell_nothing() -> None:
    places = Places({"wms": side(KEYS), "erp": side(["E", "A", "C", "D"])})
    assert places.passed("erp", "wms", ("B", "WH1")) is None


def test_each_location_has_an_order_of_its_own() -> None:
    wms = side(KEYS) | side(KEYS, "ST1")
    places = Places({"wms": wms, "erp": side(["B", "A", "D"]) | side(["A", "C"], "ST1", page=1)})
    assert places.passed("erp", "wms", ("C", "WH1")) is None
    assert places.passed("erp", "wms", ("B", "ST1")) == at(2)


def test_a_side_that_was_not_read_tells_nothing() -> None:
    assert Places({"wms": side(KEYS)}).passed("erp", "wms", ("A", "WH1")) is None
