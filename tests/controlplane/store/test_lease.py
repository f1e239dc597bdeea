"""Only one process at a time: the lease is kept while its holder lives, and changes hands when he stops, dies or loses his clock."""

from __future__ import annotations

import pytest

from controlplane.store import Store
from controlplane.store.lease import LENGTH, Lease
from tests.clocks import PutClock
from tests.conftest import START


@pytest.fixture
def clock() -> PutClock:
    """A clock that can be put back."""
    return PutClock(START)


def lease(store: Store, clock: PutClock, owner: str) -> Lease:
    """One process's claim."""
    return Lease(store, clock, "ticker", owner)


def test_only_one_holds_it_and_keeps_it_as_long_as_he_asks(store: Store, clock: PutClock) -> None:
    one, two = lease(store, clock, "one"), lease(store, clock, "two")
    assert one.hold()
    for _ in range(10):
        clock.advance(5)
        assert (one.hold(), two.hold()) == (True, False)


def test_a_holder_who_died_is_replaced_after_his_lease(store: Store, clock: PutClock) -> None:
    one, two = lease(store, clock, "one"), lease(store, clock, "two")
    one.hold()
    clock.advance(LENGTH.total_seconds() - 1)
    assert not two.hold()
    clock.advance(1)
    assert two.hold()
    assert not one.hold(), "he wakes up, and it is not his any more"


def test_a_holder_who_stops_hands_it_over_at_once_and_never_takes_it_again(store: Store, clock: PutClock) -> None:
    one, two = lease(store, clock, "one"), lease(store, clock, "two")
    one.hold()
    one.release()
    assert not one.hold()
    assert two.hold()


def test_who_gives_up_what_is_not_his_takes_it_from_nobody(store: Store, clock: PutClock) -> None:
    one, two, three = (lease(store, clock, name) for name in ("one", "two", "three"))
    one.hold()
    two.hold()
    two.release()
    assert not three.hold()


def test_the_owner_of_the_file_takes_it_from_a_process_that_is_gone(store: Store, clock: PutClock) -> None:
    lease(store, clock, "dead").hold()
    assert lease(store, clock, "next").hold(by_force=True)


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_it_stays_with_a_living_holder_when_the_clock_jumps(store: Store, clock: PutClock, jump: float) -> None:
    one, two = lease(store, clock, "one"), lease(store, clock, "two")
    one.hold()
    clock.put(jump)
    assert (one.hold(), two.hold()) == (True, False)


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_dead_holder_does_not_keep_it_for_an_hour_when_the_clock_jumps(
    store: Store, clock: PutClock, jump: float
) -> None:
    lease(store, clock, "dead").hold()
    clock.put(jump)
    assert lease(store, clock, "next").hold()


def test_two_leases_of_different_names_do_not_know_each_other(store: Store, clock: PutClock) -> None:
    assert Lease(store, clock, "a", "one").hold()
    assert Lease(store, clock, "b", "two").hold()
