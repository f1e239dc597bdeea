"""All listings of a seller, though one search tells so many only, its page tokens run out, and listings come and go meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controlplane.connectors.contract import Level
from controlplane.errors import UnavailableError, UnreadableError
from tests.controlplane.connectors.amazon_kit import Bench, marketplace


@pytest.fixture
def bench() -> Iterator[Bench]:
    with marketplace() as bench:
        bench.market.limited = False
        yield bench


def listed(bench: Bench, count: int, together: int = 1) -> set[str]:
    """List so many articles, some at the same instant."""
    names = [f"SKU{at:03}" for at in range(count)]
    for at, name in enumerate(names):
        if at % together == 0:
            bench.advance(60)
        bench.market.list_item(name, at)
    return set(names)


def skus(pages: Iterator[list[Level]]) -> list[str]:
    return [level.sku for page in pages for level in page]


def exactly(found: list[str], wanted: set[str]) -> None:
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize(("count", "together"), [(0, 1), (1, 1), (6, 1), (7, 1), (23, 1), (23, 2), (24, 5)])
def test_every_listing_is_told_once_though_a_search_tells_six_at_most(bench: Bench, count: int, together: int) -> None:
    bench.market.most = 6
    wanted = listed(bench, count, together)
    exactly(skus(bench.connector.snapshot("offers")), wanted)


def test_what_we_ship_ourselves_is_told_with_its_quantity_and_what_amazon_ships_is_left_out(bench: Bench) -> None:
    listed(bench, 2)
    bench.market.list_item("FBA1", 9, channel="AMAZON_NA")
    found = [level for page in bench.connector.snapshot("offers") for level in page]
    assert [(one.sku, one.location, one.on_hand, one.available) for one in found] == [
        ("SKU000", "WH1", None, 0),
        ("SKU001", "WH1", None, 1),
    ]
    asked = [("SKU001", "WH1"), ("FBA1", "WH1"), ("SKU000", "ELSEWHERE"), ("A,B", "WH1"), ("GONE", "WH1")]
    bench.market.list_item("A,B", 4)
    some = [(one.sku, one.available) for page in bench.connector.snapshot("offers", asked) for one in page]
    assert sorted(some) == [("A,B", 4), ("SKU001", 1)]


def test_more_listings_of_one_instant_than_a_search_tells_are_never_taken_for_all(bench: Bench) -> None:
    bench.market.most = 6
    listed(bench, 14, together=7)
    with pytest.raises(UnreadableError, match="tells 6 of them"):
        skus(bench.connector.snapshot("offers"))


def test_a_page_token_that_runs_out_is_no_end_and_nothing_is_told_twice(bench: Bench) -> None:
    wanted, pages = listed(bench, 11, together=2), bench.connector.snapshot("offers")
    found = []
    for page in pages:
        found += [level.sku for level in page]
        bench.advance(31)
    exactly(found, wanted)


def test_a_walk_that_does_not_get_past_one_instant_before_its_token_runs_out_is_an_outage(bench: Bench) -> None:
    bench.market.list_item("OLD", 1)
    listed(bench, 7, together=7)
    pages = bench.connector.snapshot("offers")
    next(pages)
    bench.advance(31)
    next(pages)
    bench.advance(31)
    with pytest.raises(UnavailableError, match="page token ran out"):
        next(pages)


def test_a_listing_that_is_taken_away_meanwhile_hides_none_and_a_new_one_repeats_none(bench: Bench) -> None:
    wanted, found = listed(bench, 12), []
    for at, page in enumerate(bench.connector.snapshot("offers")):
        found += [level.sku for level in page]
        if at == 0:
            bench.market.unlist("SKU000")  # every later one moves up by one
        if at == 1:
            bench.market.list_item("NEW", 1)
    exactly(found, {*wanted, "NEW"})
