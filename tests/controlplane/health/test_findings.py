"""Findings live from suspicion to healing, over readings of one key."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from controlplane.clock import ManualClock
from controlplane.errors import ConflictError, NotFoundError
from controlplane.health.observations import findings
from controlplane.health.observations.comparison import Compared, Judged
from controlplane.store import Store
from controlplane.store import tables as t
from rules.comparison.explain import Cause, Finding
from rules.ids import new_id

NAME = "stock-three-way"
KEY = "0007-BLK-M@WH1"
DRIFT = Finding("wms", Cause.NEVER_RECEIVED, 9, (8,), "the ledger last heard 8")
SAME = Finding("wms", Cause.NONE, 9, (9,), "as the ledger heard it")
WAITING = Finding("wms", Cause.IN_FLIGHT, 9, (8,), "records that may explain it wait to be processed")


class Readings:
    """One comparison of one key, again and again."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock = store, clock

    def read(
        self, finding: Finding, basis: str = "off by 1", touched: Mapping[str, datetime] | None = None
    ) -> findings.Settled:
        return self.read_all([KEY], finding, basis, touched)

    def read_all(
        self,
        subjects: Sequence[str],
        finding: Finding,
        basis: str = "off by 1",
        touched: Mapping[str, datetime] | None = None,
    ) -> findings.Settled:
        run = {"id": new_id(self.clock.now()), "comparison": NAME, "state": "complete", "trigger": "schedule"}
        told = {finding.side: basis}
        judged = [Judged(key, (finding,), {}, {}, None, None, told, touched=touched or {}) for key in subjects]
        with self.store.write() as connection:
            connection.execute(insert(t.comparison_run).values(**run, started_at=self.clock.now(), registry_version=1))
            compared = Compared(judged, {}, self.clock.now())
            return findings.settle(connection, self.clock, NAME, str(run["id"]), compared, timedelta(minutes=2), 1)

    def mark_healing(self) -> None:
        with self.store.write() as connection:
            connection.execute(update(t.finding).values(state="healing"))

    def do(self, deed: Callable[..., object], *given: str) -> None:
        with self.store.write() as connection:
            deed(connection, self.clock, *given)

    def ids(self) -> list[str]:
        with self.store.read() as connection:
            return list(connection.execute(select(t.finding.c.id).order_by(t.finding.c.id)).scalars())

    def steps(self) -> list[str]:
        with self.store.read() as connection:
            return list(connection.execute(select(t.finding_event.c.kind).order_by(t.finding_event.c.id)).scalars())

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


def test_however_many_are_disproved_they_are_closed_in_the_same_few_statements(readings: Readings) -> None:
    def closing(subjects: int) -> int:
        keys = [f"{number:04}@WH1" for number in range(subjects)]
        readings.read_all(keys, DRIFT)
        ran: list[str] = []

        def note(*call: Any) -> None:
            ran.append(call[2])

        event.listen(readings.store.engine, "before_cursor_execute", note)
        closed = readings.read_all(keys, SAME).closed
        event.remove(readings.store.engine, "before_cursor_execute", note)
        assert len(closed) == subjects
        return len(ran)

    assert closing(1) == closing(60)
    assert set(readings.states()) == {"closed"}


EDITED = Finding("shop", Cause.CHANGED_AT_TARGET, 15, (8,), "it was changed at the target")
EDITED_AGAIN = Finding("shop", Cause.CHANGED_AT_TARGET, 22, (8,), "it was changed at the target")


def test_what_is_changed_further_is_as_old_as_its_first_change_unless_the_ledger_heard_of_it_since(
    readings: Readings,
) -> None:
    before = readings.clock.now()
    readings.read(EDITED, "off by 7", {"shop": before})
    readings.clock.advance(120)
    assert len(readings.read(EDITED_AGAIN, "off by 14", {"shop": before}).opened) == 1


def test_a_gap_that_moved_with_what_the_ledger_heard_is_another_one(readings: Readings) -> None:
    readings.read(EDITED, "off by 7", {"shop": readings.clock.now()})
    readings.clock.advance(120)
    assert readings.read(EDITED_AGAIN, "off by 14", {"shop": readings.clock.now()}).opened == ()
    assert readings.states() == ["suspected"]


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


MOVED = Finding("wms", Cause.NEVER_RECEIVED, 11, (8,), "the ledger last heard 8")


def test_what_is_accepted_stays_so_until_it_moves(readings: Readings) -> None:
    confirmed(readings)
    [finding_id] = readings.ids()
    readings.do(findings.accept, finding_id, "ann", "counted by hand until Monday")
    assert readings.states() == ["accepted"]
    settled = readings.read(DRIFT)
    assert (readings.states(), settled.opened, settled.accepted) == (["accepted"], (), {KEY})
    assert readings.read(MOVED, "off by 3").opened == (finding_id,)
    assert readings.states() == ["open"]
    assert readings.steps() == ["opened", "accepted", "reopened"]


def test_an_accepted_difference_that_is_gone_is_healed_and_one_that_cannot_be_read_stays(readings: Readings) -> None:
    confirmed(readings)
    [finding_id] = readings.ids()
    readings.do(findings.accept, finding_id, "ann", "why")
    readings.read(WAITING)
    assert readings.states() == ["accepted"]
    readings.read(SAME)
    assert readings.states() == ["healed"]


def test_an_acceptance_is_taken_back_and_only_what_is_open_is_accepted(readings: Readings) -> None:
    confirmed(readings)
    [finding_id] = readings.ids()
    with pytest.raises(ConflictError, match="only one that was accepted can be reopened"):
        readings.do(findings.reopen, finding_id, "ann", "")
    readings.do(findings.accept, finding_id, "ann", "why")
    with pytest.raises(ConflictError, match="is accepted; only one that is suspected or open"):
        readings.do(findings.accept, finding_id, "bob", "why")
    readings.do(findings.reopen, finding_id, "bob", "it is not fine")
    assert readings.states() == ["open"]
    with pytest.raises(NotFoundError, match="no finding 'x'"):
        readings.do(findings.accept, "x", "ann", "why")


def test_a_difference_is_told_by_its_change_and_not_by_each_run(readings: Readings) -> None:
    confirmed(readings)
    for _ in range(3):
        readings.clock.advance(60)
        readings.read(DRIFT)
    assert readings.steps() == ["opened"]
    readings.read(MOVED, "off by 3")
    readings.read(MOVED, "off by 3")
    assert readings.steps() == ["opened", "moved"]
    readings.mark_healing()
    readings.read(MOVED, "off by 3")
    readings.read(SAME)
    assert readings.steps() == ["opened", "moved", "reopened", "healed"]
