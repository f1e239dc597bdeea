"""A batch of messages reads no more than it is likely to have time for."""

import pytest

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.sync.routing import Processing
from tests.controlplane.sync.backlog import Still, orders
from tests.controlplane.sync.kit import House


class Slow(ManualClock):
    """A second of the wall is over whenever it is looked."""

    seconds = 0.0

    def stopwatch(self) -> float:
        """Go on by a second."""
        self.seconds += 1 / self.pace
        return self.seconds


def processing(store: Store, clock: ManualClock, count: int) -> Processing:
    house = House(store, clock)
    orders(house, count)
    return Processing(store, house.sync.work)


def test_a_batch_that_was_cut_short_is_followed_by_one_that_reads_few(store: Store, clock: ManualClock) -> None:
    slow = Slow(clock.now())
    messages = processing(store, slow, 40)
    assert messages.asks == 500
    assert messages.some() == 1
    assert messages.asks == 16


def test_batches_grow_again_while_time_allows_it(store: Store, clock: ManualClock) -> None:
    messages = processing(store, Still(clock.now()), 100)
    messages.asks = 16
    assert [messages.some() for _ in range(3)] == [16, 32, 52]


@pytest.mark.parametrize("waits", [17, 40])
def test_that_more_wait_than_were_read_is_told(store: Store, clock: ManualClock, waits: int) -> None:
    messages = processing(store, Still(clock.now()), waits)
    messages.asks = 16
    done = 0
    while count := messages.some():
        done += count
    assert done == waits
