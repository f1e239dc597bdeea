"""The judge finds what is planted, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.chaos.depot.journal import DOCUMENTS, LEVELS, Entry, Journal, Reading, Request
from tests.chaos.feed import DOCUMENT, LAST, LEVEL, Event, lane_of, level, receipt, season
from tests.chaos.judge import FEW, Verdict, judge

RECEIPTS = [receipt(number, number) for number in range(20)]
LEVELS_OF_A = [level("A", value, place) for place, value in enumerate(LAST)]
POSTED = [*RECEIPTS, *LEVELS_OF_A]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


def write(journal: Journal, event: Event, inlets: Iterable[str], key: str = "") -> None:
    """Let an event take effect at some inlets, as the connector would: an offer rests on what is shown."""
    for inlet in inlets:
        entry = Entry(inlet, event.subject, key or event.id, event.data, event.data.get("available"), event.version)
        if inlet == "offers":
            shown = journal.shown(inlet, event.subject)
            entry = replace(entry, version=None, expected=shown[-1].value if shown else 0, compares=True)
        journal.take(entry, at=0.0)


def write_all(journal: Journal, events: Iterable[Event]) -> None:
    """Let events take effect where they belong."""
    for event in events:
        write(journal, event, DOCUMENTS if event.type == DOCUMENT else LEVELS)


def found(journal: Journal, posted: list[Event] = POSTED, acknowledged: list[Event] | None = None) -> dict[str, int]:
    """What the judge finds: how many cases of each kind."""
    verdict = judge(posted, posted if acknowledged is None else acknowledged, Reading(journal.path))
    cases = {one.name: len(getattr(verdict, one.name)) for one in fields(verdict)}
    assert verdict.fine is not any(count for name, count in cases.items() if name != "repeated")
    return {name: count for name, count in cases.items() if count}


def test_a_run_in_which_all_arrived_once_is_fine(journal: Journal) -> None:
    write_all(journal, POSTED)
    assert found(journal) == {}


def test_a_document_that_an_inlet_never_saw_is_lost(journal: Journal) -> None:
    write_all(journal, POSTED[1:])
    write(journal, RECEIPTS[0], ["keyed"])
    assert found(journal) == {"lost": 2}


@pytest.mark.parametrize(("inlet", "kind"), [("keyed", "twice"), ("readable", "twice"), ("none", "repeated")])
def test_a_second_effect_is_a_fault_only_where_a_guarantee_made_one_possible(
    journal: Journal, inlet: str, kind: str
) -> None:
    write_all(journal, POSTED)
    write(journal, RECEIPTS[0], [inlet], key="another")
    assert found(journal) == {kind: 1}


def test_an_effect_with_another_content_is_altered(journal: Journal) -> None:
    other = replace(RECEIPTS[0], data={**RECEIPTS[0].data, "location": "WH2"})
    write_all(journal, [other, *POSTED[1:]])
    assert found(journal) == {"altered": 3}


def test_an_effect_that_nobody_posted_is_foreign(journal: Journal) -> None:
    write_all(journal, POSTED)
    assert found(journal, posted=POSTED[1:]) == {"foreign": 3}


def test_a_key_that_was_used_for_two_contents_is_misused(journal: Journal) -> None:
    write_all(journal, POSTED)
    journal.note(Request("POST", "keyed", "R-1", "k1", "", 422, "conflict", 0.0, 0.0))
    assert found(journal) == {"misused": 1}


@pytest.mark.parametrize(
    ("shown", "wrong"),
    # an offer carries no version, so the first 5 is as good as the last one: nobody could tell them apart
    [([], {"lost": 3}), (LEVELS_OF_A[:1], {"last": 2}), (LEVELS_OF_A[:2], {"last": 3})],
    ids=["nothing", "5", "5, 3"],
)
def test_a_level_that_does_not_show_its_last_value_is_found(
    journal: Journal, shown: list[Event], wrong: dict[str, int]
) -> None:
    write_all(journal, [*RECEIPTS, *shown])
    assert found(journal) == wrong


def test_an_older_level_on_top_of_the_last_is_found(journal: Journal) -> None:
    write_all(journal, POSTED)
    write(journal, LEVELS_OF_A[1], ["state"], key="late")
    assert found(journal) == {"last": 1}


def test_what_was_posted_and_not_acknowledged_may_have_arrived_or_not(journal: Journal) -> None:
    write_all(journal, POSTED[:-1])
    assert found(journal, acknowledged=POSTED[1:-1]) == {}
    assert found(journal, acknowledged=POSTED[1:]) == {"last": 3}


def test_a_verdict_tells_a_few_cases_of_each_kind_and_counts_the_others() -> None:
    told = str(Verdict(lost=[f"keyed R-{number}" for number in range(FEW + 5)], twice=["readable R-1: 2 times"]))
    assert told.splitlines()[0].startswith(f"lost ({FEW + 5}): keyed R-0; ")
    assert told.splitlines()[0].endswith("and 5 more")
    assert told.splitlines()[1] == "twice (1): readable R-1: 2 times"
    assert str(Verdict()) == "nothing is wrong"


def test_a_season_is_the_same_for_a_seed_and_every_level_ends_where_it_was_before() -> None:
    events = season(3, documents=30, keys=4, updates=6)
    assert events == season(3, 30, 4, 6) != season(4, 30, 4, 6)
    assert len({event.id for event in events}) == len(events) == 54
    for key in {event.subject for event in events if event.type == LEVEL}:
        mine = [event for event in events if event.subject == key]
        assert tuple(event.data["available"] for event in mine[-3:]) == LAST
        assert [event.time for event in mine] == sorted({event.time for event in mine})
        assert len({lane_of(event, 4) for event in mine}) == 1
