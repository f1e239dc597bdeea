"""Findings live from suspicion to healing, over readings of one key."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from controlplane.clock import ManualClock
from controlplane.health.observations import findings
from controlplane.health.observations.comparison import Compared, Judged
from controlplane.store import Store
from controlplane.store import tables as t
from rules.comparison.explain import Cause, Finding
from rules.ids import new_id

NAME = "stock-three-way"
KEY = ("0007-BLK-M", "WH1")
DRIFT = Finding("wms", Cause.NEVER_RECEIVED, 9, (8,), "the ledger last heard 8")
SAME = Finding("wms", Cause.NONE, 9, (9,), "as the ledger heard it")
WAITING = Finding("wms", Cause.IN_FLIGHT, 9, (8,), "records that may explain it wait to be processed")


class Readings:
    """One comparison of one key, again and again."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock = store, clock

    def read(self, finding: Finding) -> findings.Settled:
        run = {"id": new_id(self.clock.now()), "comparison": NAME, "state": "complete", "trigger": "schedule"}
        judged = Judged(KEY, (finding,), {}, {}, None, None, {"wms": "off by 1"})
        with self.store.write() as connection:
            connection.execute(insert(t.comparison_run).values(**run, started_at=self.clock.now(), registry_version=1))
            compared = Compared([judged], {}, self.clock.now())
            return findings.settle(connection, self.clock, NAME, str(run["id"]), compared, timedelta(minutes=2), 1)

    def mark_healing(self) -> None:
        with self.store.write() as connection:
            connection.execute(update(t.finding).values(state="healing"))

    def states(self) -> list[str]:
        with self.store.read() as connection:
            return list(connection.execute(select(t.finding.c.state).order_by(t.finding.c.id)).scalars())


@pytest.fixture
def readings(store: Store, clock: ManualClock) -> Readings:
    return Readings(store, clock)


def confirmed(readings: Readings) -> None:
    readings.read(DRIFT)
    readings.clock.advance(120)
    assert len(readings.read(DRIFT).opened) == 1


def test_a_difference_is_a_suspicion_until_a_second_reading_after_the_promise(readings: Readings) -> None:
    readings.read(DRIFT)
    readings.clock.advance(60)
    assert readings.read(DRIFT).opened == ()
    assert readings.states() == ["suspected"]
    readings.clock.advance(60)
    assert len(readings.read(DRIFT).opened) == 1
    assert readings.states() == ["open"]


def test_a_reading_that_agrees_closes_a_suspicion_and_heals_what_was_confirmed(readings: Readings) -> None:
    readings.read(DRIFT)
    readings.read(SAME)
    assert readings.states() == ["closed"]
    confirmed(readings)
    readings.mark_healing()
    readings.read(SAME)
    assert readings.states()[-1] == "healed"


def test_what_healing_did_not_mend_is_open_again(readings: Readings) -> None:
    confirmed(readings)
    readings.mark_healing()
    readings.clock.advance(30)
    readings.read(WAITING)
    assert readings.states() == ["healing"]
    readings.clock.advance(30)
    assert readings.read(DRIFT).opened == ()
    assert readings.states() == ["open"]
