"""Findings of many runs against the journals' episodes: raw counts, and a plain diff of the same snapshots beside them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Level
from controlplane.scenarios.judge.episodes import episodes
from controlplane.scenarios.judge.facts import Difference, Evidence, RunFact
from controlplane.scenarios.judge.truth import Truth, judge
from controlplane.scenarios.pooled import numbers_of, play_seeds, shown
from controlplane.scenarios.readings import NaiveDiff, PacedConnections
from controlplane.scenarios.scenario import ScenarioError, find, load
from rules.policy.kinds import ComparisonSpec

from .journals import KEY, PROMISES, SKU, START, Journal, evidence, finding, minute

SPEC = ComparisonSpec.model_validate(
    {
        "kind": "inventory", "domain": "inventory", "owner": "warehouse-ops", "every": "2m", "promise": "2m",
        "source_side": "wms", "locations": ["WH1"],
        "sides": [
            {"system": "erp", "entity": "inventory_balance", "field": "on_hand"},
            {"system": "wms", "entity": "inventory", "field": "on_hand"},
            {"system": "shop", "entity": "levels", "field": "available"},
        ],
    }
)  # fmt: skip


def level(on_hand: int, available: int, sku: str = "A") -> Level:
    return Level(sku, "WH1", on_hand, available, None, START, START)


def lost_at(minutes: float, heard_again: float) -> Journal:
    return Journal().stock(minutes, 60, None).stock(heard_again, 61, heard_again)


def wrong_unit(at: float) -> Journal:
    return Journal().write(at, "wrong_unit", system="erp", sku=SKU, location="WH1", factor=12)


def compared(given: Evidence, *runs: tuple[int, int]) -> Evidence:
    facts = [RunFact(START, START, keys, indeterminate) for keys, indeterminate in runs]
    return replace(given, plane=replace(given.plane, runs=facts))


def goals(truth: Truth) -> dict[str, bool]:
    return {goal.name: goal.holds for goal in truth.goals()}


def test_an_episode_that_a_finding_names_is_found_and_how_soon_is_told_in_cycles() -> None:
    truth = judge(evidence(lost_at(10, 20), findings=(finding("never_received", 14.5),)))
    assert (truth.episodes, truth.found, truth.false) == ({"never_received": 1}, {"never_received": 1}, 0)
    assert truth.detect == [0.5]


def test_an_episode_that_outlasted_its_promise_by_a_cycle_unnamed_is_missed_and_told() -> None:
    truth = judge(evidence(lost_at(10, 20)))
    assert truth.missed == {"never_received": 1}
    assert KEY in truth.reasons["missed"][0]


def test_an_episode_that_ended_sooner_does_not_count() -> None:
    assert not judge(evidence(lost_at(10, 16.9))).episodes


@pytest.mark.parametrize(("ended", "true"), [(15.0, 1), (120.0, 0)])
def test_what_still_went_on_when_the_play_ended_was_not_too_short_to_be_told(ended: float, true: int) -> None:
    truth = judge(evidence(lost_at(10, 15), findings=(finding("never_received", 14),), ended=ended))
    assert (truth.true, truth.false) == (true, 1 - true)
    assert not truth.episodes, "what would have become of it is not known"


def test_a_finding_without_an_episode_is_false_whatever_else_is_true() -> None:
    found = (finding("never_received", 14), finding("changed_at_target", 60))
    truth = judge(evidence(lost_at(10, 20), findings=found))
    assert (truth.true, truth.false) == (1, 1)
    assert not goals(truth)["precision"]


def test_a_wrong_cause_stands_in_the_matrix_and_is_not_right() -> None:
    truth = judge(evidence(wrong_unit(10), findings=(finding("changed_at_target", 14),)))
    assert truth.confusion == {("unit", "changed_at_target"): 1}
    assert truth.numbers()["findings"] == {"true": 1, "false": 0, "cause_right": 0}
    assert not goals(truth)["cause right"]


def test_a_renamed_article_is_missing_under_its_name_and_need_not_be_told_under_the_other() -> None:
    journal = Journal().write(10, "renamed", system="erp", sku=SKU, location="WH1", code=f"{SKU}-OLD")
    other = replace(finding("missing", 14), key=f"{SKU}-OLD@WH1")
    truth = judge(evidence(journal, findings=(finding("missing", 14), other)))
    assert (truth.true, truth.false, truth.episodes) == (2, 0, {"missing": 1})


def dropped(journal: Journal) -> list[tuple[object, object]]:
    """When the episodes began and ended of a write of 40 that was dropped after ten minutes; the shop went on showing 48."""
    told = {"system": "shop", "sku": SKU, "location": "WH1", "from": 40, "to": 48}
    before = Journal().value(10, "truth", "ats", 40).write(10, "dropped_write", **told)
    for event in journal.events:
        before.events.append({**event, "seq": len(before.events) + 1})
    found = [e for e in episodes(evidence(before)) if e.cause == "changed_at_target"]
    return [(e.start, e.end) for e in found]


def test_a_plain_diff_holds_a_store_against_what_it_counted() -> None:
    sides = [
        {"system": "erp", "entity": "inventory_balance", "field": "on_hand"},
        {"system": "wms", "entity": "inventory", "field": "on_hand", "locations": ["WH1"]},
        {"system": "tills", "entity": "stock", "field": "on_hand", "locations": ["ST1"]},
    ]
    given = SPEC.model_dump(mode="json") | {
        "sides": sides, "locations": ["WH1", "ST1"], "source_sides": {"ST1": "tills"},
    }  # fmt: skip
    naive = NaiveDiff(ComparisonSpec.model_validate(given), safety=2)
    books = [
        level(40, 40),
        Level("A", "ST1", 20, None, None, START, START),
        Level("B", "ST1", 9, None, None, START, START),
    ]
    naive.take("erp", books, START, START)
    naive.take("wms", [level(40, 40)], START, START)
    shelves = [Level("A", "ST1", 20, None, None, START, START), Level("B", "ST1", 8, None, None, START, START)]
    naive.take("tills", shelves, START, START)
    assert [(d.key, d.side) for d in naive.differences] == [("B@ST1", "erp")]


def refused(at: float, shown: int, wanted: int | None = None) -> Journal:
    told = {"system": "shop", "sku": SKU, "location": "WH1", "expected": 40, "shown": shown}
    told["wanted"] = shown if wanted is None else wanted
    return Journal().value(at - 1, "truth", "ats", 48).write(at, "stale_write", **told)


def test_a_dropped_write_lasts_until_the_shop_is_set() -> None:
    journal = Journal().value(15, "shop", "available", 40, "inventorySetQuantities")
    assert dropped(journal) == [(minute(10), minute(15))]


def test_a_dropped_write_lasts_until_a_refusal_shows_that_the_number_is_right() -> None:
    assert dropped(refused(19, 48)) == [(minute(10), minute(19))]


def test_a_refusal_that_shows_by_chance_what_can_be_sold_ends_nothing_where_something_else_was_to_be_written() -> None:
    assert dropped(refused(19, 48, wanted=47)) == [(minute(10), minute(120))]


def test_a_refusal_that_shows_a_wrong_number_ends_nothing() -> None:
    assert dropped(refused(19, 47)) == [(minute(10), minute(120))]


def test_the_sales_of_a_file_that_never_came_are_never_received() -> None:
    journal = Journal().document(10, "till_sale", "ST1/1/1")
    journal.write(12, "lost_file", system="tills", store="ST1", number=1, refs=["ST1/1/1"])
    truth = judge(evidence(journal))
    assert truth.missed == {"never_received": 1}


def test_what_a_file_told_of_one_key_is_one_episode() -> None:
    journal = Journal().document(10, "till_sale", "ST1/1/1").document(11, "till_sale", "ST1/1/2")
    journal.write(12, "lost_file", system="tills", store="ST1", number=1, refs=["ST1/1/1", "ST1/1/2"])
    journal.effect(20, "erp", "till_sale", "ST1/1/1").effect(30, "erp", "till_sale", "ST1/1/2")
    found = episodes(evidence(journal))
    assert [(e.cause, e.start, e.end) for e in found] == [("never_received", minute(12), minute(30))]


def test_a_till_sale_that_is_not_in_the_books_in_time_is_late() -> None:
    journal = Journal().document(10, "till_sale", "ST1/1/1").effect(40, "erp", "till_sale", "ST1/1/1")
    assert [(e.cause, e.start, e.end) for e in episodes(evidence(journal))] == [("late", minute(10), minute(40))]


def test_a_renamed_article_is_missing_wherever_it_is_watched_over() -> None:
    journal = Journal().write(10, "renamed", system="erp", sku=SKU, location="WH1", code=f"{SKU}-OLD")
    promises = replace(PROMISES, locations=("WH1", "ST1"))
    found = episodes(evidence(journal, promises=promises))
    assert {e.key for e in found if e.must_find} == {f"{SKU}@WH1", f"{SKU}@ST1"}


def test_keys_that_the_evidence_left_undecided_are_counted_over_all_comparisons() -> None:
    truth = judge(compared(evidence(Journal()), (100, 0), (100, 3)))
    assert (truth.indeterminate, truth.keys, truth.comparisons) == (3, 200, 2)
    assert not goals(truth)["indeterminate"]


def test_without_a_single_complete_comparison_nothing_is_held_to_be_decided() -> None:
    assert not goals(judge(evidence(Journal())))["indeterminate"]


def test_a_plain_difference_is_true_only_while_an_episode_that_counts_is_longer_than_its_promise() -> None:
    seen = [Difference(KEY, "erp", minute(at), minute(at + 1)) for at in (10.5, 13, 30)]
    truth = judge(replace(evidence(lost_at(10, 20)), naive=seen))
    assert (truth.naive, truth.naive_true) == (3, 1)


def test_the_counts_of_several_runs_are_added_up() -> None:
    pooled = Truth()
    for given in (evidence(lost_at(10, 20), findings=(finding("never_received", 14.5),)), evidence(lost_at(10, 20))):
        pooled.add(judge(given))
    numbers = pooled.numbers()
    assert (numbers["runs"], numbers["episodes"], numbers["recall"]) == (2, {"never_received": 2}, 0.5)
    assert not goals(pooled)["episodes"]


def test_the_text_names_goals_causes_and_the_plain_diff() -> None:
    truth = judge(evidence(wrong_unit(10), findings=(finding("changed_at_target", 14),)))
    text = shown({"scenario": "mine", "seeds": [], **truth.numbers(), "verdict": "fail"})
    assert "BROKEN  cause right" in text
    assert "0 of 0 differences" in text
    assert any(line.split() == ["unit", "1", "1", "0"] for line in text.splitlines())


@pytest.mark.parametrize(("given", "seeds"), [("3", [3]), ("1..3", [1, 2, 3])])
def test_seeds_are_one_number_or_a_range(given: str, seeds: list[int]) -> None:
    assert list(numbers_of(given)) == seeds


@pytest.mark.parametrize("given", ["3..1", "a", "1-3"])
def test_what_is_no_range_of_seeds_is_refused(given: str) -> None:
    with pytest.raises(ScenarioError, match=r"1\.\.10"):
        numbers_of(given)


# --- the plain diff ---
def test_a_plain_diff_compares_what_was_read_last_of_each_side() -> None:
    naive = NaiveDiff(SPEC, safety=2)
    naive.take("erp", [level(40, 40), level(9, 9, "B")], START, START)
    naive.take("wms", [level(40, 30), level(8, 8, "B")], START, START)
    assert naive.differences == []
    naive.take("shop", [level(28, 28), level(6, 6, "B")], START, minute(1))
    assert [(d.key, d.side, d.began, d.ended) for d in naive.differences] == [("B@WH1", "erp", START, minute(1))]


def test_what_a_side_does_not_list_is_a_difference_to_a_plain_diff() -> None:
    naive = NaiveDiff(SPEC, safety=2)
    for system, rows in (("erp", []), ("wms", [level(40, 30)]), ("shop", [level(28, 28)])):
        naive.take(system, rows, START, START)
    assert [(d.key, d.side) for d in naive.differences] == [("A@WH1", "erp")]


# --- snapshots that take their time ---
class Connector:
    """Two pages of one row."""

    def snapshot(self, entity: str, keys: object = None) -> Iterator[list[Level]]:
        yield from ([level(40, 30)], [level(8, 8, "B")])


def paced(passed: list[float]) -> PacedConnections:
    inner = cast("Connections", SimpleNamespace(get=lambda *_: Connector()))
    made = PacedConnections(inner, ManualClock(START), 20.0, NaiveDiff(SPEC, 2))
    made.passing = passed.append
    return made


def test_time_passes_between_the_pages_of_a_whole_snapshot_once_its_size_is_known() -> None:
    passed: list[float] = []
    connections = paced(passed)
    for _ in range(2):
        assert len(list(connections.get("wms").snapshot("inventory"))) == 2
    assert passed == [10.0, 10.0]


def test_the_first_snapshot_takes_its_time_too_where_it_is_known_what_is_to_come() -> None:
    passed: list[float] = []
    connections = paced(passed)
    connections.expect([{"sku": sku, "location": place} for sku in "AB" for place in ("WH1", "ST1")])
    list(connections.get("wms").snapshot("inventory"))
    assert passed == [10.0, 10.0]


def test_a_targeted_reading_takes_no_time() -> None:
    passed: list[float] = []
    connections = paced(passed)
    list(connections.get("wms").snapshot("inventory"))
    list(connections.get("wms").snapshot("inventory", [("A", "WH1")]))
    assert passed == []


# --- played ---
SHORT = {"skus": 60, "stores": ["ST1"], "stock": [40, 120], "quota": 200}
ALL_WRONG = {"wms": "5m", "shop": -300, "erp": "5m", "tills": -300}


def shortened(clocks: dict[str, object]) -> dict[str, object]:
    """The shipped scenario with fewer keys and minutes; what goes wrong stays as it is."""
    faults = [
        fault | {"every": "15s", "from": "10s", "until": "80s"} if "every" in fault else fault
        for fault in load(find("live-traffic")).faults
    ]
    return {
        "minutes": 1.5, "stops_after": timedelta(minutes=4.5), "retailer": SHORT | {"clocks": clocks}, "faults": faults,
        "actors": {
            "traffic": {"events_per_second": 1, "together": 3}, "customers": {"orders_per_minute": 1},
            "stores": {"sales_per_minute": 6, "drop_every": "30s", "counts": True},
        },
    }  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("clocks", [{"wms": "3m"}, ALL_WRONG, {"wms": -300, "shop": "5m"}], ids=["one", "all", "back"])
def test_live_traffic_cut_short_finds_what_is_wrong_and_nothing_else(clocks: dict[str, object]) -> None:
    scenario = load(find("live-traffic")).model_copy(update=shortened(clocks))
    answer = play_seeds(scenario, "1")
    assert answer["findings"]["false"] == 0, answer["reasons"]
    assert answer["missed"] == {}, answer["reasons"]
    assert answer["indeterminate"]["share"] <= 0.01
    assert set(answer["episodes"]) >= {"changed_at_target", "missing", "unit"}
    assert answer["naive"]["precision"] < 1


@pytest.mark.slow
@pytest.mark.timeout(100_000)
def test_live_traffic_over_ten_seeds_reaches_its_goals() -> None:
    answer = play_seeds(load(find("live-traffic")), "1..10")
    assert [goal for goal in answer["goals"] if not goal["holds"]] == []
