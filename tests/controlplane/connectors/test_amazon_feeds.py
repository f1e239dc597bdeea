"""Many changes of listings with one feed: each has its own outcome, and none is lost or told twice, whatever breaks off where."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from controlplane.connectors.contract import Write
from controlplane.connectors.numbers import StoredNumbers
from controlplane.connectors.outcomes import AWAITED
from controlplane.errors import UnavailableError
from controlplane.store import Store
from rules.outcomes import Outcome, Result
from tests.controlplane.connectors import amazon_feeder
from tests.controlplane.connectors.amazon_kit import Bench, Walking, marketplace
from tests.controlplane.connectors.conftest import START
from tests.controlplane.connectors.simulators import SPECS

SCHEMAS = SPECS / "amazon-sp-api/schemas/feeds"
MANY = 21
LATE = 300


@pytest.fixture
def bench(sqlite_store: Store) -> Iterator[Bench]:
    """Pages as large as Amazon's; a clock that goes on while a feed is waited for; numbers in a store."""
    clock = Walking(START, pace=1.0)
    with marketplace(clock, StoredNumbers(sqlite_store, clock, "amazon")) as bench:
        bench.market.page = 50
        bench.given.options["currency"] = "USD"
        bench.given.options["prices_with_tax"] = False
        yield bench


def quantity(sku: str, units: int, expected: int | None = None) -> Write:
    payload = {"sku": sku, "location": "WH1", "channel": "amazon", "quantity": units, "expected": expected}
    return Write("quantity", f"{sku}@WH1", f"offer-{sku}-{units}", payload, f"{sku}@WH1")


def price(sku: str, amount: str | None, currency: str = "USD") -> Write:
    payload = {"sku": sku, "title": sku, "unit_price": amount, "currency": currency, "active": True}
    return Write("price", sku, f"price-{sku}-{amount}", payload, sku)


def quantities(bench: Bench, count: int = MANY, units: int = 7) -> list[Write]:
    """List so many articles, and want as many changes."""
    names = [f"SKU{at:03}" for at in range(count)]
    for name in names:
        bench.market.list_item(name, 1)
    return [quantity(name, units) for name in names]


def results(outcomes: list[Outcome]) -> list[Result]:
    return [one.result for one in outcomes]


def sent(bench: Bench) -> list[dict[str, Any]]:
    return [json.loads(feed["_content"]) for feed in bench.market.feeds.values()]


def reports(bench: Bench) -> list[Any]:
    named = [feed["resultFeedDocumentId"] for feed in bench.market.feeds.values()]
    return [json.loads(gzip.decompress(bench.market.documents[name].content)) for name in named]


def test_many_quantities_go_with_one_feed_and_those_that_its_report_shows_are_delivered(bench: Bench) -> None:
    outcomes = bench.connector.write_many(quantities(bench))
    assert set(results(outcomes)) == {Result.DELIVERED}
    assert len(bench.market.feeds) == 1
    assert {held["quantity"] for held in bench.market.listings.values()} == {7}
    told = bench.connector.write_many([quantity("SKU000", 7), quantity("SKU001", 7)])
    assert results(told) == [Result.ALREADY_DELIVERED] * 2


def test_few_changes_are_made_one_by_one_and_nothing_is_written_that_shows_already(bench: Bench) -> None:
    few = quantities(bench, 3)
    bench.market.list_item("SKU001", 7)
    outcomes = bench.connector.write_many(few)
    assert results(outcomes) == [Result.UNKNOWN, Result.ALREADY_DELIVERED, Result.UNKNOWN]
    assert bench.market.feeds == {}
    assert [sku for _, sku, _, _ in bench.market.queued] == ["SKU000", "SKU002"]


def test_a_feed_that_fails_in_part_is_each_records_own_outcome(bench: Bench) -> None:
    wanted = quantities(bench)
    wanted[3] = quantity("SKU003", -1)
    wanted[5] = quantity("SKU005", 7, expected=4)
    wanted[8] = quantity("NOBODY", 7)
    bench.market.list_item("SKU009", 7)
    for at in (30, 31, 32, 33):
        bench.market.list_item(f"SKU0{at}", 1)
        wanted.append(quantity(f"SKU0{at}", 7))
    outcomes = bench.connector.write_many(wanted)
    odd = {at: one.result for at, one in enumerate(outcomes) if one.result is not Result.DELIVERED}
    assert odd == {3: Result.REJECTED, 5: Result.STALE, 8: Result.REJECTED, 9: Result.ALREADY_DELIVERED}
    assert "'quantity' is no whole number" in outcomes[3].detail
    assert "no listing with the SKU NOBODY" in outcomes[8].detail
    assert (outcomes[5].current, bench.market.listings["SKU005"]["quantity"]) == (1, 1)
    [feed] = sent(bench)
    assert len(feed["messages"]) == len(wanted) - 3


def test_what_a_feed_has_done_and_does_not_show_yet_is_awaited(bench: Bench) -> None:
    bench.market.feed_shows = False
    wanted = quantities(bench)
    outcomes = bench.connector.write_many(wanted)
    assert set(results(outcomes)) == {Result.UNKNOWN}
    assert all(AWAITED in one.evidence for one in outcomes)
    assert bench.connector.read_back(wanted[0]).result is Result.UNKNOWN, "the feed is over, and may yet show"
    bench.advance(LATE)
    assert set(results([bench.connector.read_back(one) for one in wanted])) == {Result.ALREADY_DELIVERED}


def test_a_feed_that_takes_longer_than_anybody_waits_is_awaited_and_never_sent_again(bench: Bench) -> None:
    bench.market.feed_takes = timedelta(hours=1)
    wanted = quantities(bench)
    outcomes = bench.connector.write_many(wanted)
    assert {(one.result, one.retry_after) for one in outcomes} == {(Result.UNKNOWN, 60.0)}
    for _ in range(3):
        bench.advance(LATE)
        told = bench.again().read_back(wanted[4])
        assert (told.result, told.evidence[AWAITED]) == (Result.UNKNOWN, "feed 50000000")
    bench.advance(3600)
    assert bench.again().read_back(wanted[4]).result is Result.ALREADY_DELIVERED
    assert len(bench.market.feeds) == 1


@pytest.mark.parametrize("lost", ["createFeed", "getFeed", "getFeedDocument"])
def test_a_crash_between_the_feed_and_its_result_loses_nothing_and_doubles_nothing(bench: Bench, lost: str) -> None:
    wanted = quantities(bench)
    wanted[3] = quantity("SKU003", -1)
    bench.market.lost[lost] = 1_000
    outcomes = bench.connector.write_many(wanted)
    assert set(results(outcomes)) == {Result.UNKNOWN}, "it was begun, and nothing of it is known"
    bench.market.lost[lost] = 0
    bench.advance(2 * LATE)
    other = bench.again()
    told = [other.read_back(one) for one in wanted]
    assert told[3].result is Result.REJECTED
    assert "'quantity' is no whole number" in told[3].detail
    assert {one.result for at, one in enumerate(told) if at != 3} == {Result.ALREADY_DELIVERED}
    assert (len(bench.market.feeds), set(bench.market.shown.values())) == (1, {1})


@pytest.mark.parametrize("killed_at", ["createFeed", "getFeed"])
def test_a_process_that_is_killed_while_its_feed_is_under_way_leaves_each_change_to_take_effect_once(
    bench: Bench, sqlite_store: Store, killed_at: str
) -> None:
    store = str(sqlite_store.engine.url.database)
    for write in amazon_feeder.wanted():
        bench.market.list_item(str(write.payload["sku"]), 1)
    command = [sys.executable, "-m", "tests.controlplane.connectors.amazon_feeder", bench.given.endpoint, store]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    bench.market.watched[killed_at] = process.kill
    assert process.wait(timeout=60) == -signal.SIGKILL
    bench.advance(2000)
    other = bench.again()
    told = [other.read_back(write).result for write in amazon_feeder.wanted()]
    assert told == [Result.REJECTED if at == 3 else Result.ALREADY_DELIVERED for at in range(amazon_feeder.MANY)]
    assert bench.market.shown == {f"SKU{at:03} quantity 7": 1 for at in range(amazon_feeder.MANY) if at != 3}
    assert len(bench.market.feeds) == 1


def test_a_feed_that_was_never_begun_is_proven_absent_and_is_then_sent_once(bench: Bench) -> None:
    wanted = quantities(bench)
    bench.market.buckets["createFeed"].left = 0
    outcomes = bench.connector.write_many(wanted)
    assert {(one.result, round(one.retry_after or 0)) for one in outcomes} == {(Result.THROTTLED, 120)}
    assert bench.connector.read_back(wanted[0]).result is Result.UNKNOWN, "a feed may yet be begun with it"
    bench.advance(2000)
    assert bench.connector.read_back(wanted[0]).result is Result.ABSENT
    assert set(results(bench.again().write_many(wanted))) == {Result.DELIVERED}
    assert set(bench.market.shown.values()) == {1}


def test_a_feed_that_breaks_off_leaves_what_it_did_and_what_it_did_not_do_apart(bench: Bench) -> None:
    wanted = quantities(bench)
    bench.market.feed_ends = [("FATAL", 10)]
    assert set(results(bench.connector.write_many(wanted))) == {Result.UNKNOWN}
    bench.advance(2000)
    other = bench.again()
    told = results([other.read_back(one) for one in wanted])
    assert told == [Result.ALREADY_DELIVERED] * 10 + [Result.ABSENT] * (MANY - 10)
    rest = results(bench.again().write_many(wanted))
    assert rest == [Result.ALREADY_DELIVERED] * 10 + [Result.UNKNOWN] * (MANY - 10)
    assert len(bench.market.feeds) == 1, "few are left, and go one by one"


def test_a_refusal_of_an_earlier_feed_is_not_taken_for_that_of_a_later_one(bench: Bench) -> None:
    wanted = quantities(bench)
    bench.market.feed_ends = [("CANCELLED", 0)]
    assert set(results(bench.connector.write_many(wanted))) == {Result.UNAVAILABLE}
    bench.advance(2000)
    assert bench.connector.read_back(wanted[3]).result is Result.ABSENT
    assert set(results(bench.connector.write_many(wanted))) == {Result.DELIVERED}
    first, second = sent(bench)
    numbers = {one["messageId"] for one in first["messages"]}
    assert numbers.isdisjoint(one["messageId"] for one in second["messages"])


def test_prices_go_with_a_feed_to_the_cent_and_are_merged_into_the_offer(bench: Bench) -> None:
    names = [one.subject.partition("@")[0] for one in quantities(bench)]
    wanted = [price(name, f"{at}.10") for at, name in enumerate(names, 1)]
    wanted[4], wanted[5], wanted[6] = price(names[4], None), price(names[5], "9.99", "EUR"), price(names[6], "9.999")
    for name in ("MORE1", "MORE2", "MORE3"):
        bench.market.list_item(name, 1)
        wanted.append(price(name, "1234567.89"))
    outcomes = bench.connector.write_many(wanted)
    odd = {at: one.result for at, one in enumerate(outcomes) if one.result is not Result.DELIVERED}
    assert odd == {4: Result.ALREADY_DELIVERED, 5: Result.REJECTED, 6: Result.REJECTED}
    assert (bench.market.listings["SKU000"]["price"], bench.market.listings["MORE1"]["price"]) == ("1.10", "1234567.89")
    [feed] = sent(bench)
    assert {one["patches"][0]["op"] for one in feed["messages"]} == {"merge"}


def test_one_price_is_accepted_and_counts_when_it_shows(bench: Bench) -> None:
    bench.market.list_item("A", 5, price="10.00")
    asked = price("A", "12.50")
    assert bench.connector.write(asked).result is Result.UNKNOWN
    assert bench.connector.read_back(asked).result is Result.ABSENT
    bench.advance(90)
    assert bench.connector.read_back(asked).result is Result.ALREADY_DELIVERED
    assert bench.connector.write(price("A", "0")).result is Result.REJECTED


@pytest.mark.parametrize(
    ("options", "names"), [({"currency": ""}, "options.currency"), ({"prices_with_tax": True}, "without tax")]
)
def test_a_price_that_cannot_be_told_rightly_is_refused_by_name(bench: Bench, options: Any, names: str) -> None:
    bench.given.options |= options
    bench.market.list_item("A", 5)
    refused = bench.connector.write(price("A", "12.50"))
    assert refused.result is Result.REJECTED
    assert names in refused.detail


def test_listings_that_cannot_be_looked_at_leave_all_of_them_as_they_are(bench: Bench) -> None:
    wanted = quantities(bench)
    bench.market.lost["searchListingsItems"] = 1
    with pytest.raises(UnavailableError):
        bench.connector.write_many(wanted)
    assert (bench.market.feeds, bench.market.queued) == ({}, [])


def test_two_articles_that_are_one_at_amazon_are_not_written_one_over_the_other(bench: Bench) -> None:
    wanted = quantities(bench, 2)
    assert results(bench.connector.write_many([*wanted, quantity("SKU001", 9)])) == [
        Result.UNKNOWN,
        Result.UNKNOWN,
        Result.REJECTED,
    ]


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason="the vendor's schemas are not at hand (TRUEUP_SHARED)")
def test_a_feed_and_its_report_are_as_the_vendors_schemas_say(bench: Bench) -> None:
    wanted = quantities(bench)
    wanted[3] = quantity("SKU003", -1)
    bench.connector.write_many(wanted)
    bench.connector.write_many([price(one.subject.partition("@")[0], "3.10") for one in wanted])
    asked = Draft7Validator(json.loads((SCHEMAS / "listings-feed-schema-v2.json").read_bytes()))
    told = Draft7Validator(json.loads((SCHEMAS / "listings-feed-processing-report-schema-v2.json").read_bytes()))
    assert [error.message for feed in sent(bench) for error in asked.iter_errors(feed)] == []
    assert [error.message for report in reports(bench) for error in told.iter_errors(report)] == []
    assert len(sent(bench)) == len(reports(bench)) == 2
    bench.connector.read_back(quantity("SKU004", 8))
    bench.connector.read_back(wanted[3])
    assert bench.contract is not None
    feeding = {"createFeedDocument", "createFeed", "getFeed", "getFeeds", "getFeedDocument"}
    assert feeding <= bench.contract.used, "and each of these exchanges was held against the vendor's model"
