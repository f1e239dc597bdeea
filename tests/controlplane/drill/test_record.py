"""What a drill has taken off is written down before it is, and read back by the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Connector, Write
from controlplane.drill.material import Material
from controlplane.drill.record import Held, Record, record_of
from controlplane.drill.writes import Levels, put_back_left
from controlplane.errors import ConflictError
from rules.outcomes import Outcome, Result

DONE, UNKNOWN = Outcome(Result.DELIVERED), Outcome(Result.UNKNOWN)


class Killed(BaseException):
    """The process ends here."""


class Target(Connector):
    """Answers as told; looks at the record at the moment of each write."""

    def __init__(self, record: Record, *outcomes: Outcome) -> None:
        self.record, self.outcomes = record, list(outcomes)
        self.asked: list[tuple[int, int, str]] = []
        self.known: list[list[Held]] = []

    def write(self, request: Write) -> Outcome:
        self.asked.append((request.payload["expected"], request.payload["quantity"], request.idempotency_key))
        self.known.append(self.record.left())
        if not self.outcomes:
            raise Killed
        return self.outcomes.pop(0)


def levels(record: Record, clock: ManualClock) -> Levels:
    return Levels("available", "stock.offer", "T", Material("shop", (), {("a", "WH1"): 40}), clock, record)


def killed_after(home: Path, clock: ManualClock, *outcomes: Outcome) -> Target:
    """Drill until the target has given these outcomes, and be killed with the next write on its way."""
    with record_of(home, "shop") as record:
        target, writes = Target(record, *outcomes), levels(record, clock)
        for _ in outcomes:
            writes.send(target)
        with pytest.raises(Killed):
            writes.send(target)
    return target


def test_each_write_is_in_the_record_before_it_is_sent(tmp_path: Path, clock: ManualClock) -> None:
    target = killed_after(tmp_path, clock, DONE)
    assert [
        [(held.lowered, held.doubtful and held.doubtful.idempotency_key) for held in known] for known in target.known
    ] == [
        [(False, target.asked[0][2])],
        [(True, target.asked[1][2])],
    ]


@pytest.mark.parametrize(
    ("before", "answers", "asked"),
    [
        (
            [],
            [DONE, DONE],
            [(40, 39), (39, 40)],
        ),  # the first write was on its way: its repetition tells, then it is undone
        ([DONE], [DONE], [(39, 40)]),  # the write that puts back was on its way
        ([DONE, DONE], [DONE, DONE], [(40, 39), (39, 40)]),
        ([DONE], [Outcome(Result.STALE, current=40)], [(39, 40)]),  # it had arrived
    ],
)
def test_the_next_drill_puts_back_what_a_killed_one_left(
    tmp_path: Path, clock: ManualClock, before: list[Outcome], answers: list[Outcome], asked: list[tuple[int, int]]
) -> None:
    last = killed_after(tmp_path, clock, *before).asked[-1]
    with record_of(tmp_path, "shop") as record:
        target = Target(record, *answers)
        assert put_back_left(record, "shop", "U", target, clock) == (1, [])
        assert [one[:2] for one in target.asked] == asked
        assert target.asked[0] == last, "the same write under the same key"
    assert not list(tmp_path.rglob("*.jsonl"))


def test_what_cannot_be_put_back_is_named_and_kept_for_the_drill_after(tmp_path: Path, clock: ManualClock) -> None:
    killed_after(tmp_path, clock, DONE)
    clock.pace = 0.0
    down = [Outcome(Result.UNAVAILABLE)] * 10
    for _ in range(2):
        with record_of(tmp_path, "shop") as record:
            told = put_back_left(record, "shop", "U", Target(record, *down), clock)
            assert told == (1, ["a@WH1 may show one unit less than before (unavailable)"])
    with record_of(tmp_path, "shop") as record:
        assert put_back_left(record, "shop", "V", Target(record, DONE, DONE), clock) == (1, [])


def test_a_level_that_others_changed_while_a_write_was_in_doubt_is_named(tmp_path: Path, clock: ManualClock) -> None:
    killed_after(tmp_path, clock)
    with record_of(tmp_path, "shop") as record:
        told = put_back_left(record, "shop", "U", Target(record, Outcome(Result.STALE, current=37)), clock)
    assert told == (1, ["a@WH1 may show one unit less than before (it changed while a write was in doubt)"])


def test_a_line_that_was_cut_off_does_not_hide_those_before_it(tmp_path: Path) -> None:
    held = Held("available", "stock.offer", ("a", "WH1"), 39, lowered=True)
    with record_of(tmp_path, "shop") as record:
        record.note(held)
        record.note(replace(held, key=("b", "WH1"), lowered=False))
        with record.path.open("a") as file:
            file.write('{"entity": "avail')
        assert record.left() == [held]
    with record_of(tmp_path, "shop") as record:
        assert record.left() == [held]


def test_one_record_is_of_one_drill_at_a_time(tmp_path: Path) -> None:
    with (
        record_of(tmp_path, "shop"),
        record_of(tmp_path, "erp"),
        pytest.raises(ConflictError, match="wait until it ends"),
        record_of(tmp_path, "shop"),
    ):
        pass
