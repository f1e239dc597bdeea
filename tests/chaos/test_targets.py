"""Targets that misbehave over real HTTP: slow on one key, an error inside a 200, throttling, effects that come late, resets.

One plane and one depot serve all tests of the module; each test has documents and keys of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.depot.journal import DOCUMENTS, Effect, Request
from tests.chaos.depot.process import DepotProcess
from tests.chaos.feed import Event, by_api, level, receipt
from tests.chaos.judge import Verdict, judge
from tests.chaos.plane import Plane

pytestmark = pytest.mark.chaos


@dataclass
class Bench:
    """A plane that writes to a depot, and what was posted to it."""

    plane: Plane
    depot: DepotProcess
    posted: list[Event] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def receipts(self, many: int) -> list[Event]:
        """New documents."""
        return [receipt(number, number) for number in itertools.islice(self._numbers, many)]

    def level(self, sku: str, value: int) -> Event:
        """A level that is newer than all before it."""
        return level(sku, value, next(self._numbers))

    def post(self, events: Sequence[Event]) -> None:
        """Have events accepted, in one request."""
        with httpx.Client(base_url=self.plane.url, trust_env=False, timeout=30) as client:
            assert by_api(self.plane.token)(client, events).status_code == 202
        self.posted += events

    def effects(self, inlet: str, events: Sequence[Event]) -> list[Effect]:
        """What took effect of the events at an inlet."""
        refs = {event.subject for event in events}
        return [effect for effect in self.depot.journal.effects(inlet) if effect.ref in refs]

    def requests(self, inlet: str, events: Sequence[Event]) -> list[Request]:
        """The requests about the events at an inlet, in the order of their end."""
        refs = {event.subject for event in events}
        return [request for request in self.depot.journal.requests(inlet) if request.ref in refs]

    def arrived(self, events: Sequence[Event], inlets: Sequence[str] = DOCUMENTS) -> bool:
        """Whether all documents have taken effect at the inlets."""
        refs = {event.subject for event in events}
        return all(refs == {effect.ref for effect in self.effects(inlet, events)} for inlet in inlets)

    def settled(self) -> Verdict:
        """Wait until all has arrived and nothing is owed any more, and judge all that was posted so far."""
        self.wait_until(self._over, "all has arrived")
        self.depot.settle()
        return self._judged()

    def _judged(self) -> Verdict:
        return judge(self.posted, self.posted, self.depot.journal)

    def _over(self) -> bool:
        if not self.plane.quiet():
            return False
        verdict = self._judged()  # what is accepted and not processed yet is not owed to anybody yet
        return not (verdict.lost or verdict.last)

    def wait_until(self, done: Callable[[], bool], what: str) -> None:
        """Wait, and tell the ends of the logs when it does not happen."""
        self.plane.wait_until(done, what, 120)


@pytest.fixture(scope="module")
def module_bench(tmp_path_factory: pytest.TempPathFactory, plugin_folder: Path) -> Iterator[Bench]:
    """The plane (SQLite) and the depot."""
    folder = tmp_path_factory.mktemp("targets")
    depot = DepotProcess(folder / "depot", seed=3)
    try:
        depot.start()
        plane = Plane(folder / "home", plugin_folder, depot.port, environment={"TRUEUP_LEASE": "3"})
        try:
            plane.start()
            yield Bench(plane, depot)
        finally:
            plane.close()
    finally:
        depot.close()


@pytest.fixture
def bench(module_bench: Bench) -> Iterator[Bench]:
    """The same, with no fault ordered and nothing owed from the test before."""
    yield module_bench
    module_bench.depot.clear()


FAULTS = [
    ("error_inside", {"code": "busy"}),
    ("silence", {}),
    ("effect_then_silence", {}),
    ("reset", {}),
    ("effect_then_reset", {}),
    ("late_effect", {"ms": 700}),
    ("garbled", {}),
    ("unavailable", {"retry_after": 1}),
]


@pytest.mark.parametrize(("kind", "told"), FAULTS, ids=[kind for kind, _ in FAULTS])
def test_whatever_goes_wrong_with_a_write_nothing_is_lost_and_nothing_comes_twice(
    bench: Bench, kind: str, told: dict[str, object]
) -> None:
    events = bench.receipts(3)
    sku = f"F-{kind}"
    struck = bench.depot.struck()
    for event in events[:2]:
        bench.depot.order(kind, ref=event.subject, times=3, **told)
    bench.depot.order(kind, ref=f"{sku}@WH1", times=3, **told)
    bench.post([*events, *(bench.level(sku, value) for value in (5, 3, 5))])
    verdict = bench.settled()
    assert verdict.fine, str(verdict)
    assert bench.depot.struck() - struck >= 6
    for inlet in ("keyed", "readable"):
        assert len(bench.effects(inlet, events)) == 3


def test_an_error_inside_a_200_that_says_never_is_held_for_a_person_and_its_neighbours_go_on(bench: Bench) -> None:
    refused, *others = bench.receipts(4)
    bench.depot.order("error_inside", inlet="readable", ref=refused.subject, times=1, code="invalid")
    bench.post([refused, *others])
    bench.wait_until(lambda: bench.arrived(others) and bench.arrived([refused], ["keyed", "none"]), "the others arrive")
    bench.wait_until(bench.plane.quiet, "what a person has to look at is owed no more")
    assert not bench.effects("readable", [refused])
    [case] = [one for one in bench.plane.ask("quarantine")["cases"] if one["subject"] == refused.subject]
    assert case["system"] == "readable"
    bench.plane.tell(f"quarantine/{case['id']}/replay")
    verdict = bench.settled()
    assert verdict.fine, str(verdict)


def test_a_target_that_is_slow_on_one_key_only_lets_the_other_keys_flow(bench: Bench) -> None:
    slow, *others = bench.receipts(60)
    bench.depot.order("slow", inlet="readable", ref=slow.subject, times=1, ms=1500)
    bench.post([slow, *others])
    bench.wait_until(lambda: bench.arrived([slow, *others]), "all have arrived")
    order = [request.ref for request in bench.requests("readable", [slow, *others])]
    assert order.index(slow.subject) > len(others) * 0.8, "its neighbours did not wait for it"


def test_a_key_that_is_never_answered_holds_up_neither_its_neighbours_nor_other_targets(bench: Bench) -> None:
    silent, *others = bench.receipts(30)
    bench.depot.order("silence", inlet="readable", ref=silent.subject, times=2)
    bench.post([silent, *others])
    bench.wait_until(lambda: bench.arrived(others), "the others have arrived")
    verdict = bench.settled()
    assert verdict.fine, str(verdict)
    assert len(bench.effects("readable", [silent])) == 1


def test_a_throttled_system_is_left_alone_as_long_as_it_asks_for(bench: Bench) -> None:
    events = bench.receipts(30)
    bench.depot.order("throttled", inlet="readable", times=1, retry_after=3)
    bench.post(events)
    bench.wait_until(lambda: bench.arrived(events), "all have arrived")
    requests = bench.requests("readable", events)
    [told] = [request for request in requests if request.fault == "throttled"]
    window = [one for one in requests if told.ended + 0.5 < one.started < told.ended + 2.9]
    # what was on the wire already when it said so may come in; half a second later nothing does
    assert window == []
    assert len(requests) == len(events) + 1


def test_a_storm_of_throttling_is_met_with_fewer_requests_than_the_work_that_waits(bench: Bench) -> None:
    events = bench.receipts(20)
    bench.depot.order("throttled", inlet="keyed", times=8, retry_after=1)
    bench.post(events)
    verdict = bench.settled()
    assert verdict.fine, str(verdict)
    requests = bench.requests("keyed", events)
    refused = sorted(request.ended for request in requests if request.fault == "throttled")
    assert len(refused) == 8
    for at in refused:
        later = [one for one in requests if at + 0.5 < one.started < at + 0.95 and one.fault == "throttled"]
        assert not later, "it asks again only when the time is over that it was told to wait"


def test_an_effect_that_comes_after_the_reading_back_is_no_second_one_at_a_keyed_inlet(bench: Bench) -> None:
    events = bench.receipts(5)
    for event in events:
        bench.depot.order("late_effect", inlet="keyed", ref=event.subject, ms=4000)  # longer than it declares
    bench.post(events)
    verdict = bench.settled()
    assert verdict.fine, str(verdict)
    assert len(bench.effects("keyed", events)) == 5


def test_a_level_whose_effect_comes_after_the_reading_back_ends_at_the_last_value(bench: Bench) -> None:
    bench.depot.order("effect_after_lookup", inlet="conditional", ref="L-1@WH1")
    bench.post([bench.level("L-1", 5), bench.level("L-1", 3)])
    bench.wait_until(bench.plane.quiet, "nothing is owed")
    bench.post([bench.level("L-1", 5)])
    verdict = bench.settled()
    assert verdict.fine, str(verdict)
    assert bench.effects("conditional", [bench.posted[-1]])[-1].value == 5


def test_an_effect_that_comes_later_than_is_declared_is_told_with_both_at_a_readable_inlet(bench: Bench) -> None:
    """Nobody can tell beforehand; the plane looks once more, finds both, and asks a person. The last test: its document is there twice."""
    event, other = bench.receipts(2)
    bench.depot.order("late_effect", inlet="readable", ref=event.subject, ms=4000)  # longer than it declares
    bench.post([event, other])
    bench.wait_until(lambda: len(bench.effects("readable", [event])) == 2, "both effects")

    def told() -> list[dict[str, Any]]:
        found = bench.plane.ask("quarantine")["cases"]
        return [case for case in found if case["reason_code"] == "took_effect_twice"]

    bench.wait_until(lambda: bool(told()), "the case")
    [case] = told()
    assert (case["system"], case["subject"]) == ("readable", event.subject)
    numbers = [str(effect.number) for effect in bench.effects("readable", [event])]
    assert f"2 times: {' and '.join(numbers)}." in case["reason"]
