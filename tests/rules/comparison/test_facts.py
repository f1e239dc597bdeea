"""Random histories, read at random moments: exact while the evidence is whole, never wrong when some of it is taken away."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.comparison.explain import MOST_OVERLAPS, Cause, Owed
from rules.comparison.facts import ABSENT, Fact, Facts, Progress, Reached, explain_facts
from rules.comparison.value import Value

TICKS = 20


@dataclass(frozen=True)
class Sent:
    """A shipment of some units, as it really came to a side: taken up at `began`, there at `there`, known to be there at `done`."""

    units: int
    began: int
    there: int
    done: int

    def fact(self, name: str, since: int, until: int) -> Fact:
        """Return what the ledger can say at `until` of a reading that began at `since`."""
        waits = Owed(name, name, 0, sent=self.began <= until, overdue=False, held=False)
        if self.done <= until:
            return Fact(name, Reached.DONE if self.done < since else Reached.MAYBE)
        return Fact(name, Reached.OWED, waits)


@st.composite
def sent(draw: st.DrawFn) -> Sent:
    began, there, done = sorted(draw(st.tuples(*[st.integers(0, TICKS)] * 3)))
    return Sent(draw(st.integers(1, 3)), began, there, done)


@dataclass(frozen=True)
class World:
    """An order of `units`, its shipments, and a reading of the side at `at`, somewhere within an interval."""

    history: tuple[Sent, ...]
    since: int
    at: int
    until: int

    @property
    def shows(self) -> int:
        """What the side really shows at the moment it is read."""
        return sum(one.units for one in self.history if one.there <= self.at)

    @property
    def progress(self) -> Progress:
        shipped = {f"m{n}": {"A": one.units} for n, one in enumerate(self.history)}
        return Progress("placed", {"A": sum(one.units for one in self.history) or 1}, shipped)

    def facts(self) -> tuple[Fact, ...]:
        placed = Fact("placed", Reached.DONE)
        return (placed, *(one.fact(f"m{n}", self.since, self.until) for n, one in enumerate(self.history)))


@st.composite
def worlds(draw: st.DrawFn, most: int = 5) -> World:
    since, at, until = sorted(draw(st.tuples(*[st.integers(0, TICKS)] * 3)))
    return World(tuple(draw(st.lists(sent(), max_size=most))), since, at, until)


def never(_: Value) -> bool:
    return False


def verdict(facts: tuple[Fact, ...], world: World, shows: Value | None) -> Cause:
    return explain_facts("shop", shows, Facts(facts, world.progress.units), never).cause


@given(worlds())
@settings(max_examples=400)
def test_what_a_side_really_shows_is_never_drift_whenever_within_its_interval_it_was_read(world: World) -> None:
    found = explain_facts("shop", world.shows, Facts(world.facts(), world.progress.units), never)
    assert found.cause in (Cause.NONE, Cause.IN_FLIGHT), found.explanation


@given(worlds())
@settings(max_examples=400)
def test_a_stage_that_a_side_really_shows_is_never_drift(world: World) -> None:
    has = frozenset(f"m{n}" for n, one in enumerate(world.history) if one.there <= world.at) | {"placed"}
    found = explain_facts("shop", world.progress.stage(has), Facts(world.facts(), world.progress.stage), never)
    assert found.cause in (Cause.NONE, Cause.IN_FLIGHT), found.explanation


@given(worlds(), st.integers(-6, 20))
@settings(max_examples=400)
def test_what_no_order_of_events_within_the_interval_allows_is_always_found(world: World, edited: int) -> None:
    possible = {0}
    for one in world.history:
        certain, never_there = one.done < world.since, one.began > world.until
        steps = {one.units} if certain else {0} if never_there else {0, one.units}
        possible = {value + step for value in possible for step in steps}
    cause = verdict(world.facts(), world, edited)
    assert (cause is Cause.CHANGED_AT_TARGET) == (edited not in possible)


@given(worlds(), st.data())
@settings(max_examples=400)
def test_with_evidence_taken_away_a_true_value_is_indeterminate_or_right_and_never_drift(
    world: World, data: st.DataObject
) -> None:
    """Whether a delivery has taken effect is not known any more of some: they may have, or not."""
    facts = list(world.facts())
    for n in data.draw(st.sets(st.sampled_from(range(1, len(facts))))) if len(facts) > 1 else ():
        facts[n] = Fact(facts[n].message_id, Reached.MAYBE, facts[n].owed)
    assert verdict(tuple(facts), world, world.shows) in (Cause.NONE, Cause.IN_FLIGHT, Cause.INDETERMINATE)


@given(worlds(), st.integers(MOST_OVERLAPS, MOST_OVERLAPS + 3), st.integers(0, 50))
def test_more_under_way_than_can_be_told_apart_decides_nothing(world: World, more: int, shows: int) -> None:
    extra = tuple(Fact(f"x{n}", Reached.MAYBE) for n in range(more + 1))
    assert verdict((*world.facts(), *extra), world, shows) is Cause.INDETERMINATE


# --- each cause ---

ORDER = Progress("placed", {"A": 2, "B": 1}, {"s1": {"A": 2}, "s2": {"B": 1}})
PLACED = Fact("placed", Reached.DONE)
WAITS = Owed("d1", "s1", 0, sent=False, overdue=False, held=False)


@pytest.mark.parametrize(
    ("facts", "shows", "cause"),
    [
        ((PLACED, Fact("s1", Reached.DONE)), "partially_shipped", Cause.NONE),
        ((PLACED, Fact("s1", Reached.DONE), Fact("s2", Reached.DONE)), "shipped", Cause.NONE),
        ((PLACED, Fact("s1", Reached.DONE), Fact("s2", Reached.DONE)), "open", Cause.CHANGED_AT_TARGET),
        ((PLACED,), "cancelled", Cause.CHANGED_AT_TARGET),
        ((PLACED,), None, Cause.MISSING),
        ((PLACED, Fact("s1", Reached.UNSENT)), "open", Cause.LATE),
        ((Fact("placed", Reached.UNSENT),), None, Cause.MISSING),
        ((PLACED, Fact("s1", Reached.OWED, WAITS)), "open", Cause.IN_FLIGHT),
        ((PLACED, Fact("s1", Reached.OWED, replace(WAITS, overdue=True))), "open", Cause.LATE),
        ((PLACED, Fact("s1", Reached.OWED, replace(WAITS, held=True))), "open", Cause.QUARANTINED),
        ((PLACED, Fact("s1", Reached.OWED, replace(WAITS, held=True, reason="gave_up"))), "open", Cause.FAILED),
        ((PLACED, Fact("s1", Reached.OWED, replace(WAITS, held=True, reason="unmapped_sku"))), "open", Cause.UNMAPPED),
        ((Fact("placed", Reached.OWED, replace(WAITS, message_id="placed")),), None, Cause.IN_FLIGHT),
    ],
)
def test_each_gap_has_its_cause(facts: tuple[Fact, ...], shows: str | None, cause: Cause) -> None:
    assert explain_facts("shop", shows, Facts(facts, ORDER.stage), never).cause is cause


def test_what_a_side_may_have_done_itself_and_not_told_was_never_received() -> None:
    found = explain_facts("wms", "shipped", Facts((PLACED,), ORDER.stage), lambda _: True)
    assert (found.cause, found.expected) == (Cause.NEVER_RECEIVED, ("open",))


def test_an_order_is_shipped_when_each_article_is_whole_by_itself() -> None:
    too_many = Progress("placed", {"A": 2, "B": 1}, {"s1": {"A": 3}})
    assert too_many.stage(frozenset({"placed", "s1"})) == "partially_shipped"
    assert too_many.units(frozenset({"s1"})) == ABSENT
