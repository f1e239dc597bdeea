"""The figures that are promised, from samples."""

from benchmarks.dispatch.cases import backlog, deliver, ledger
from benchmarks.dispatch.figures import figures
from benchmarks.dispatch.readings import Reading
from benchmarks.dispatch.tables import PROMISED, contenders, promised


def rates(case: str, contender: str, store: str, *found: float, name: str = "rate") -> list[Reading]:
    return [Reading(case, contender, store, number, {name: value}) for number, value in enumerate(found)]


def test_a_ratio_is_the_median_of_the_rounds_own_ratios_not_the_ratio_of_the_medians() -> None:
    ours = rates("accept", "trueup", "sqlite", 100.0, 300.0, 50.0)
    floor = rates("accept", "floor", "sqlite", 100.0, 100.0, 100.0)
    slow_spell = rates("accept", "floor", "sqlite", 200.0, 300.0, 50.0)
    assert figures(ours + floor)["accept_ratio_sqlite"] == 1.0
    assert figures(ours + slow_spell)["accept_ratio_sqlite"] == 1.0  # of 0.5, 1 and 1; the medians' ratio is 0.5


def test_peers_are_held_against_our_one_worker_on_postgresql() -> None:
    readings = rates(deliver.NAME, deliver.OURS, "postgres", 9000.0) + rates(deliver.NAME, deliver.OURS, "sqlite", 5.0)
    readings += rates(deliver.NAME, "dramatiq", "redis", 1500.0) + rates(deliver.NAME, "dbos", "postgres", 300.0)
    readings += rates(deliver.NAME, deliver.OURS_TWICE, "postgres", 18000.0)
    found = figures(readings)
    assert (found["vs_dramatiq"], found["vs_dbos"], found["two_workers"]) == (6.0, 30.0, 2.0)
    assert "vs_celery" not in found


def test_the_full_ledger_is_judged_by_the_worst_of_accepting_and_delivering_on_either_store() -> None:
    readings = []
    for store, accepted, delivered in (("sqlite", 90.0, 95.0), ("postgres", 99.0, 70.0)):
        for who, values in ((ledger.EMPTY, (100.0, 100.0)), (ledger.FULL, (accepted, delivered))):
            measured = dict(zip(("accept_rate", "deliver_rate"), values, strict=True))
            readings.append(Reading(ledger.NAME, who, store, 0, measured))
    assert figures(readings)["full_ledger_ratio"] == 0.7


def test_latency_without_a_store_in_its_name_is_the_slower_stores() -> None:
    readings = rates("latency", "trueup", "sqlite", 4.0, name="p50_ms") + rates(
        "latency", "trueup", "postgres", 6.0, name="p50_ms"
    )
    assert figures(readings)["p50_ms"] == 6.0


def test_a_backlog_is_shown_beside_few_that_are_due() -> None:
    readings = rates(backlog.NAME, backlog.SMALL, "sqlite", 4.0, name="claim_ms") + rates(
        backlog.NAME, backlog.LARGE, "sqlite", 5.0, name="claim_ms"
    )
    found = figures(readings)
    assert found["backlog_claim_ms_sqlite"] == 5.0
    assert found["backlog_claim_ms_ratio_sqlite"] == 1.25


def test_what_was_not_measured_shows_as_a_dash_and_never_as_a_figure() -> None:
    table = promised({"accept_ratio_sqlite": 0.5})
    lines = {name: line for line in table.splitlines() for _, name, _, _ in PROMISED if f"`{name}`" in line}
    assert "| 0.50 |" in lines["accept_ratio_sqlite"]
    assert all("| – |" in line for name, line in lines.items() if name != "accept_ratio_sqlite")


def test_the_contenders_table_shows_the_median_and_the_spread_of_each() -> None:
    table = contenders(rates("accept", "floor", "sqlite", 1000.0, 3000.0, 2000.0))
    assert "| accept | floor | sqlite | 2,000 /s | 1,000 to 3,000 |" in table
