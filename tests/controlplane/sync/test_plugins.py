"""A connector of somebody else's that breaks its contract: its own record waits or is read back, and no neighbour is held up."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Draft, Page, Record, Write
from controlplane.errors import ThrottledError
from controlplane.store import Store
from controlplane.store import tables as t
from rules.outcomes import Outcome, Result
from rules.pacing import Allowance
from tests.controlplane.sync.kit import House, Vendor
from tests.controlplane.sync.test_intake import polled, told

SKU = "0007-BLK-M"
NAN = float("nan")
NAIVE = datetime.fromisoformat("2026-03-02T09:00:00")
DEEP: Any = {}
for _ in range(2000):
    DEEP = {"in": DEEP}


@dataclass
class Odd(Vendor):
    """A vendor whose connector answers what no contract knows."""

    answers: deque[Any] = field(default_factory=deque)
    """What the next writes are answered with; an error is raised."""
    left: Any = None
    drafted: Callable[[Draft], Any] | None = None
    """What becomes of the draft of the SKU 'ODD'."""

    def write(self, request: Write) -> Outcome:
        if not self.answers:
            return super().write(request)
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def allowance(self) -> Allowance | None:
        if isinstance(self.left, Exception):
            raise self.left
        return self.left  # type: ignore[no-any-return]

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        drafts = super().translate(topic, body)
        if self.drafted and drafts[0].data.get("sku") == "ODD":
            return [self.drafted(draft) for draft in drafts]
        return drafts


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer with a connector that nobody has tried."""
    found = House(store, clock)
    found.erp, found.wms = Odd("erp", clock), Odd("wms", clock)
    return found


def attempts(house: House, target: str) -> list[Any]:
    with house.store.read() as connection:
        a = t.attempt.c
        return list(connection.execute(select(t.attempt).where(a.system == target).order_by(a.id)))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="nothing"),
        pytest.param(True, id="a bool"),
        pytest.param(Outcome("delivered"), id="a word"),  # type: ignore[arg-type]
        pytest.param(Outcome(Result.UNAVAILABLE, retry_after=NAN), id="a wait that is no number"),
        pytest.param(Outcome(Result.THROTTLED, retry_after="5"), id="a wait as text"),  # type: ignore[arg-type]
        pytest.param(ThrottledError("slow down", NAN), id="an error with a wait that is no number"),
        pytest.param(Outcome(Result.UNAVAILABLE, evidence={"n": NAN}), id="evidence that is no number"),
        pytest.param(Outcome(Result.UNAVAILABLE, evidence={"at": NAIVE, "raw": b"\x00\xff", (1, 2): {3}}), id="evidence that is no JSON"),
        pytest.param(Outcome(Result.UNAVAILABLE, evidence=DEEP), id="evidence without end"),
        pytest.param(Outcome(Result.UNAVAILABLE, evidence=["a", "list"]), id="evidence that is a list"),  # type: ignore[arg-type]
        pytest.param(Outcome(Result.UNAVAILABLE, None), id="no words"),  # type: ignore[arg-type]
        pytest.param(Outcome(Result.DELIVERED, target_at=NAIVE, effects=(1, 2)), id="an instant without a zone"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_an_answer_that_is_none_holds_up_no_neighbour(house: House, answer: Any) -> None:
    house.erp.answers.append(answer)  # type: ignore[attr-defined]
    for number in range(3):
        house.order(f"#{number}", SKU, 1)
    house.run(minutes=3)
    assert len(attempts(house, "erp")) >= 3
    with house.store.read() as connection:
        d = t.delivery.c
        states = connection.execute(select(d.state).where(d.target == "erp")).scalars().all()
    assert list(states) == ["delivered"] * 3


def test_what_evidence_has_no_word_for_is_kept_as_text(house: House) -> None:
    house.erp.answers.append(Outcome(Result.UNAVAILABLE, evidence={"at": NAIVE, "n": NAN, "body": {"sku": "A"}}))  # type: ignore[attr-defined]
    house.order("#1", SKU, 1)
    house.run()
    assert attempts(house, "erp")[0].evidence == {"at": "2026-03-02 09:00:00", "n": "nan", "body": {"sku": "A"}}


@pytest.mark.parametrize("left", [Allowance(NAN), Allowance(0, NAN), RuntimeError("it is broken"), "a few"])
def test_a_limit_that_cannot_be_told_takes_nothing_away(house: House, left: Any) -> None:
    house.erp.left = left  # type: ignore[attr-defined]
    for number in range(3):
        house.order(f"#{number}", SKU, 1)
    house.run()
    assert sum(house.erp.effects.values()) == 3


LONG = "9" * 300


@pytest.mark.parametrize(
    ("drafted", "held"),
    [
        pytest.param(lambda draft: replace(draft, dedupe_key=None), "defect", id="no key"),
        pytest.param(lambda draft: replace(draft, dedupe_key=4711), "defect", id="a number for a key"),
        pytest.param(lambda draft: replace(draft, source_version=LONG), "", id="a version without end"),
        pytest.param(lambda draft: replace(draft, source_version=4711), "", id="a number for a version"),
        pytest.param(lambda draft: replace(draft, source_version="1\x00"), "", id="a version that is no text"),
        pytest.param(lambda draft: replace(draft, causation_id=LONG), "schema", id="a cause without end"),
        pytest.param(lambda draft: replace(draft, trace="00-abc"), "defect", id="a trace that is none"),
        pytest.param(lambda _: None, "defect", id="nothing"),
        pytest.param(lambda draft: replace(draft, data=None), "schema", id="no data"),
        pytest.param(lambda draft: replace(draft, occurred_at="today"), "defect", id="no instant"),
    ],
)
def test_a_draft_that_is_none_waits_and_the_records_of_all_others_go_on(
    house: House, drafted: Callable[[Draft], Any], held: str
) -> None:
    house.wms.drafted = drafted  # type: ignore[attr-defined]
    house.level("A", 1)
    house.level("ODD", 1)
    house.level("B", 1)
    house.order("#1", SKU, 1)
    house.run()
    with house.store.read() as connection:
        subjects = set(connection.execute(select(t.message.c.subject)).scalars())
        codes = list(
            connection.execute(select(t.quarantine.c.reason_code).where(t.quarantine.c.stage == "intake")).scalars()
        )
    assert {"A@WH1", "B@WH1", "#1"} <= subjects
    assert codes == ([held] if held else [])


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"topic": None}, id="no topic"),
        pytest.param({"event_key": 4711}, id="a number for a key"),
        pytest.param({"event_key": None}, id="no key"),
        pytest.param({"about": None, "event_key": ""}, id="about nothing"),
        pytest.param({"headers": {"at": NAIVE, "n": NAN}}, id="headers that are no JSON"),
        pytest.param({"headers": None}, id="no headers"),
        pytest.param({"body": "text"}, id="a body that is text"),
        pytest.param({"body": {"sku": "A"}}, id="a body that is no bytes"),
    ],
)
def test_a_record_that_is_none_is_kept_and_so_is_the_page_that_it_came_in(house: House, odd: dict[str, Any]) -> None:
    good = [Record("stock.level", f"k{number}", told(house, f"P{number}")) for number in range(2)]
    house.wms.pages = [
        Page((good[0], replace(Record("stock.level", "odd", told(house, "P9")), **odd), good[1]), {"n": 1})
    ]
    assert house.sync.poll(polled(house)) == 3
    house.run()
    with house.store.read() as connection:
        left = connection.execute(select(t.intake.c.id).where(t.intake.c.state == "new")).all()
        subjects = set(connection.execute(select(t.message.c.subject)).scalars())
    assert left == []
    assert {"P0@WH1", "P1@WH1"} <= subjects


def test_nothing_that_the_plane_keeps_of_a_secret_is_left_in_what_was_turned_into_text(house: House) -> None:
    house.erp.context.hidden.learn("s3cret-value")
    house.erp.answers.append(Outcome(Result.UNAVAILABLE, evidence={"raw": b"key=s3cret-value"}))  # type: ignore[attr-defined]
    house.order("#1", SKU, 1)
    house.run()
    assert "s3cret-value" not in json.dumps(attempts(house, "erp")[0].evidence)
