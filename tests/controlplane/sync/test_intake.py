"""What comes in: each event once, for as much as there is room, and no system's silence or crowd in the way of another's."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.connectors.contract import ITS_OWN, Draft, Inbound, Page, Record, SignatureError
from controlplane.errors import BadInputError, OverloadedError, RejectedError, ThrottledError, UnavailableError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.ledger import Acceptor
from controlplane.sync.ledger.translate import SLOW
from controlplane.sync.quarantine import Selection
from tests.clocks import PutClock
from tests.conftest import START
from tests.controlplane.sync.kit import PLAIN, House, Vendor

SKU = "0007-BLK-M"


@dataclass
class Plain(Vendor):
    """A vendor that gives its events no id, and nothing else to know them by."""

    silence: Exception | None = None
    """What its records' translation meets when it has to ask the vendor."""
    asked: int = 0

    def receive(self, inbound: Inbound) -> Record:
        if inbound.headers.get("signature") == "forged":
            raise SignatureError("the signature is wrong")
        return Record("stock", "", inbound.body)

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        self.asked += 1
        if self.silence:
            raise self.silence
        return [replace(draft, dedupe_key=ITS_OWN) for draft in super().translate(topic, body)]


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer whose warehouse gives no ids."""
    found = House(store, clock)
    found.wms = Plain("wms", clock)
    return found


def told(house: House, subject: str, on_hand: int = 5, *, at: str = "2026-03-02T08:00:00+00:00") -> bytes:
    data = {"sku": subject, "location": "WH1", "on_hand": on_hand, "allocated": 0, "available": on_hand,
            "in_transit": 0, "source_at": at}  # fmt: skip
    return json.dumps({"type": "stock.level", "subject": f"{subject}@WH1", "data": data}).encode()


def hook(house: House, body: bytes) -> bool:
    return house.sync.take_webhook("wms", Inbound({}, body))


def states(house: House) -> dict[tuple[str, str], int]:
    i = t.intake.c
    with house.store.read() as connection:
        rows = connection.execute(select(i.system, i.state, func.count()).group_by(i.system, i.state))
        return {(system, state): count for system, state, count in rows}


def messages(house: House) -> list[int]:
    """The levels that the warehouse told, in their order."""
    m = t.message.c
    query = select(m.data).where(m.source == "wms").order_by(m.id)
    with house.store.read() as connection:
        return [data["on_hand"] for data in connection.execute(query).scalars()]


# --- a system that does not answer while its records are translated ---


def test_while_one_system_cannot_be_asked_the_records_of_the_others_go_on(house: House) -> None:
    house.wms.silence = UnavailableError("it is closed")  # type: ignore[attr-defined]
    for number in range(120):
        hook(house, told(house, f"S{number}"))
    house.order("#1001", SKU, 1)
    house.run()
    assert states(house) == {("wms", "new"): 120, ("shop", "translated"): 1}
    house.wms.silence = None  # type: ignore[attr-defined]
    house.run(minutes=2)
    assert states(house) == {("wms", "translated"): 120, ("shop", "translated"): 1}


def test_a_system_that_answers_slowly_leaves_every_other_turn_to_the_records_of_the_others(house: House) -> None:
    told_of: list[str] = []

    class Slow(Plain):
        def translate(self, topic: str, body: bytes) -> list[Draft]:
            told_of.append("wms")
            self.clock.wait(threading.Event(), 2 * SLOW / self.clock.pace)
            return super().translate(topic, body)

    class Quick(Vendor):
        def translate(self, topic: str, body: bytes) -> list[Draft]:
            told_of.append("shop")
            return super().translate(topic, body)

    house.wms, house.shop = Slow("wms", house.clock), Quick("shop", house.clock)
    for number in range(4):
        hook(house, told(house, f"S{number}"))
    for number in range(3):
        house.order(f"#{number}", SKU, 1)
    while house.sync.translate():
        pass
    assert told_of == ["wms", *["shop"] * 3, *["wms"] * 3]


def test_a_silent_system_is_asked_less_and_less_often_and_at_once_again_when_it_answers(house: House) -> None:
    vendor: Any = house.wms
    vendor.silence = UnavailableError("it is closed")
    hook(house, told(house, SKU))
    house.run(minutes=10, step=1)
    assert 8 < vendor.asked < 20, "1, 2, 4 … 60 seconds apart"
    vendor.silence, vendor.asked = None, 0
    house.run(minutes=1)
    hook(house, told(house, "0042"))
    house.run()
    assert vendor.asked == 2


def test_a_system_that_says_how_long_to_wait_is_left_alone_for_that_long(house: House) -> None:
    vendor: Any = house.wms
    vendor.silence = ThrottledError("slow down", 300)
    hook(house, told(house, SKU))
    house.run(minutes=4)
    assert vendor.asked == 1
    vendor.silence = None
    house.run(minutes=2)
    assert states(house) == {("wms", "translated"): 1}


def test_a_record_whose_question_the_system_refuses_for_good_waits_for_a_person_and_its_neighbours_go_on(
    house: House,
) -> None:
    class Picky(Plain):
        def translate(self, topic: str, body: bytes) -> list[Draft]:
            if b"GONE" in body:
                raise RejectedError("there is no such item")
            return super().translate(topic, body)

    house.wms = Picky("wms", house.clock)
    hook(house, told(house, "GONE"))
    hook(house, told(house, SKU))
    house.run()
    assert states(house) == {("wms", "quarantined"): 1, ("wms", "translated"): 1}


# --- events that nothing but their record tells apart ---


def test_five_then_three_then_five_again_are_three_events_of_a_vendor_without_ids(house: House) -> None:
    for on_hand in (5, 3, 5):
        hook(house, told(house, SKU, on_hand))
        house.run()
    hook(house, told(house, "0042", 7))
    house.run()
    assert messages(house) == [5, 3, 5, 7], "and what it tells of another subject is not swallowed"


def test_several_drafts_of_one_record_without_keys_are_an_event_each_and_once_each(house: House) -> None:
    class Many(Plain):
        def translate(self, topic: str, body: bytes) -> list[Draft]:
            return super().translate(topic, body) * 2

    house.wms = Many("wms", house.clock)
    hook(house, told(house, SKU, 4))
    house.run()
    assert messages(house) == [4, 4]


def test_a_record_without_keys_that_is_corrected_and_replayed_twice_is_one_event(house: House) -> None:
    hook(house, told(house, "UNKNOWN", 4))
    house.run()
    with house.store.read() as connection:
        case = connection.execute(select(t.quarantine)).mappings().one()
    body = json.loads(told(house, SKU, 4))
    with house.store.write() as connection:
        quarantine.correct(connection, house.clock, case["id"], {**case["record"], "body": body}, "olga", PLAIN)
    house.sync.preview(case["id"])
    assert len(house.sync.replay(case["id"], "olga")["messages"]) == 1  # type: ignore[arg-type]
    [draft] = house.sync._replay.drafts(case, {**case["record"], "body": body})
    assert draft.dedupe_key == f"record:{case['intake_id']}:1"


def replayed(house: House, count: int, silence: Exception) -> list[Any]:
    """Cases whose replay was asked for, of a system that answers so when it is asked; as they stand after one turn."""
    for number in range(count):
        hook(house, told(house, "UNKNOWN", number))
    house.run()
    house.wms.silence = silence  # type: ignore[attr-defined]
    house.wms.asked = 0  # type: ignore[attr-defined]
    house.sync.workbench.replay_many(Selection.of({"group": {"system": "wms"}}), "olga", rate=1000)
    house.clock.advance(1)
    house.sync.release()
    with house.store.read() as connection:
        return list(connection.execute(select(t.quarantine).order_by(t.quarantine.c.id)))


def test_a_system_that_does_not_answer_is_asked_once_a_turn_for_all_its_replays(house: House) -> None:
    cases = replayed(house, 10, UnavailableError("it is closed"))
    assert house.wms.asked == 1  # type: ignore[attr-defined]
    assert all(case.replay_at > house.clock.now() for case in cases)


def test_a_replay_that_its_system_refuses_for_good_waits_for_a_person_again(house: House) -> None:
    cases = replayed(house, 2, RejectedError("there is no such article"))
    assert [(case.state, case.replay_at) for case in cases] == [("waiting", None)] * 2


# --- the same content again from a vendor that repeats without ids ---


def repeating(house: House) -> None:
    house.wms.manifest = replace(house.wms.manifest, repeats_within=60.0)  # type: ignore[misc]


def test_what_comes_from_several_sides_at_once_is_one_event_where_the_vendor_repeats_itself(house: House) -> None:
    repeating(house)
    planes = [house.sync, *(house.restarted() for _ in range(7))]
    for number in range(5):
        body, together = told(house, f"R{number}"), threading.Barrier(len(planes))

        def take(sync: Any, body: bytes = body, together: threading.Barrier = together) -> bool:
            together.wait(10)
            return bool(sync.take_webhook("wms", Inbound({}, body)))

        with ThreadPoolExecutor(len(planes)) as pool:
            assert list(pool.map(take, planes)).count(True) == 1
    house.clock.advance(61)
    assert hook(house, told(house, "R0")) is True, "after that time it is another event"


def test_the_same_content_at_once_again_is_one_event_where_the_vendor_repeats_itself(house: House) -> None:
    def page(*names: str, about: bool = False) -> int:
        records = tuple(Record("stock", "", told(house, name), about=name if about else "") for name in names)
        house.wms.pages = [Page(records, {"n": 1})]
        house.clock.advance(61)
        return house.sync.poll(polled(house))

    assert page("A", "A", "B") == 3, "each is an event of its own"
    repeating(house)
    assert page("A", "A", "B") == 2
    assert page("A", "B", "A") == 3, "five, then three, then five again"
    assert page("A", "B", "A", about=True) == 2, "what was told of something else in between changes nothing"


def test_five_then_three_then_five_again_are_three_events_and_each_may_be_repeated(house: House) -> None:
    repeating(house)
    five, three = told(house, "F", on_hand=5), told(house, "F", on_hand=3)
    assert [hook(house, body) for body in (five, five, three, three, five, five)] == [
        True, False, True, False, True, False,
    ]  # fmt: skip


def test_five_again_is_an_event_though_the_clock_was_put_back_behind_the_first_five(store: Store) -> None:
    clock = PutClock(START)
    house = House(store, clock)
    house.wms = Plain("wms", clock)
    house.wms.manifest = replace(house.wms.manifest, repeats_within=7200.0)  # type: ignore[misc]
    five, three = told(house, "F", on_hand=5), told(house, "F", on_hand=3)
    assert hook(house, five)
    clock.put(-3600)
    assert [hook(house, body) for body in (three, three, five, five)] == [True, False, True, False]


def test_two_event_keys_that_no_database_keeps_apart_stay_two_events(house: House) -> None:
    records = tuple(Record("stock", key, told(house, f"K{n}")) for n, key in enumerate(("x\x00", "x\ud800", "x\ufffd")))
    house.wms.pages = [Page(records, {"n": 1})]
    assert house.sync.poll(polled(house)) == 3
    house.wms.pages = [Page(records, {"n": 2})]
    assert house.sync.poll(polled(house)) == 0, "and each is known again"


def polled(house: House) -> str:
    """A flow that reads the warehouse."""
    flows = house.registry.snapshot().flows.values()
    return next(flow.name for flow in flows if flow.spec.source == "wms" and flow.spec.read)


# --- room ---


def limited(house: House, limit: int) -> Acceptor:
    house.sync.acceptor = Acceptor(house.store, house.clock, house.registry, house.keys, limit)
    return house.sync.acceptor


def test_webhooks_find_no_room_where_messages_find_none(house: House) -> None:
    limited(house, 3)
    for number in range(3):
        hook(house, told(house, f"S{number}"))
    with pytest.raises(OverloadedError, match="TRUEUP_ACCEPT_LIMIT=3") as refused:
        hook(house, told(house, "S3"))
    assert refused.value.retry_after > 0
    assert states(house) == {("wms", "new"): 3}
    with pytest.raises(SignatureError):
        house.sync.take_webhook("wms", Inbound({"signature": "forged"}, b"{}"))
    house.run()
    assert hook(house, told(house, "S3"))


def test_a_poll_that_finds_no_room_stops_before_the_page_and_goes_on_from_there(house: House) -> None:
    limited(house, 4)
    pages = [Page(tuple(Record("stock", f"{n}", told(house, f"P{n}")) for n in range(start, start + 3)), {"n": start})
             for start in (0, 3)]  # fmt: skip
    house.wms.pages = pages
    with pytest.raises(OverloadedError):
        house.sync.poll(polled(house))
    with house.store.read() as connection:
        cursor = connection.execute(select(t.source_cursor.c.value)).scalar_one()
    assert (cursor, states(house)) == ({"n": 0}, {("wms", "new"): 3})
    house.run()
    assert house.sync.poll(polled(house)) == 3
    house.run()
    assert states(house) == {("wms", "translated"): 6}


def test_a_page_that_is_larger_than_what_may_wait_is_taken_when_nothing_waits(house: House) -> None:
    limited(house, 2)
    house.wms.pages = [Page(tuple(Record("stock", f"{n}", told(house, f"P{n}")) for n in range(5)), {})]
    assert house.sync.poll(polled(house)) == 5


def test_a_batch_counts_with_all_its_events(house: House) -> None:
    acceptor = limited(house, 10)

    def batch(numbers: Sequence[int]) -> bytes:
        return b"\n".join(event(house, number) for number in numbers)

    with pytest.raises(BadInputError, match="11 events at once"):
        acceptor.accept(batch(range(11)), batch=True)
    assert len(acceptor.accept(batch(range(6)), batch=True).accepted) == 6
    with pytest.raises(OverloadedError, match="6 messages wait"):
        acceptor.accept(batch(range(6, 11)), batch=True)
    assert len(acceptor.accept(batch(range(6, 10)), batch=True).accepted) == 4
    assert len(messages(house)) == 10


def event(house: House, number: int) -> bytes:
    found = json.loads(told(house, f"B{number}"))
    at = (house.clock.now() - timedelta(hours=1)).isoformat()
    return json.dumps({**found, "id": f"b{number}", "source": "wms", "time": at}).encode()


def test_what_was_known_is_answered_with_the_message_that_is_known(house: House) -> None:
    first = house.sync.acceptor.accept(event(house, 1), batch=False)
    again = house.sync.acceptor.accept(b"\n".join([event(house, 2), event(house, 1), event(house, 2)]), batch=True)
    assert again.known == {2: first.accepted[1], 3: again.accepted[1]}


def message_states(house: House) -> list[str]:
    """Of the messages of the warehouse."""
    with house.store.read() as connection:
        return sorted(connection.execute(select(t.message.c.state).where(t.message.c.source == "wms")).scalars())


def again(house: House, number: int, available: int, **attributes: str) -> bytes:
    """The event of that number with other content, or other attributes, under the same id."""
    found = json.loads(event(house, number))
    return json.dumps(
        {**found, **attributes, "data": {**found["data"], "on_hand": available, "available": available}}
    ).encode()


def test_an_id_that_comes_again_with_other_content_is_kept_once_and_waits_for_a_person(house: House) -> None:
    accept = house.sync.acceptor.accept
    accept(event(house, 1), batch=False)
    batch = b"\n".join([again(house, 1, 77), event(house, 1), again(house, 1, 78), again(house, 1, 77)])
    receipt = accept(batch, batch=True)
    assert (sorted(receipt.accepted), sorted(receipt.known)) == ([1, 3], [2, 4])
    assert accept(again(house, 1, 78), batch=False).duplicates == [1], "each content once"
    house.run()
    with house.store.read() as connection:
        query = select(t.quarantine).where(t.quarantine.c.stage == "process")
        found = list(connection.execute(query.order_by(t.quarantine.c.id)))
    assert [(case.reason_code, case.fault, case.record["available"]) for case in found] == [
        ("contradiction", "id", 77),
        ("contradiction", "id", 78),
    ]
    assert all(case.message_id in receipt.accepted.values() and case.owner for case in found)
    assert message_states(house) == ["processed", "quarantined", "quarantined"]


def test_the_second_content_of_an_id_goes_its_way_once_a_person_replays_it(house: House) -> None:
    house.sync.acceptor.accept(event(house, 1), batch=False)
    house.sync.acceptor.accept(again(house, 1, 77), batch=False)
    house.run()
    with house.store.read() as connection:
        case = connection.execute(select(t.quarantine.c.id).where(t.quarantine.c.stage == "process")).scalar_one()
    house.sync.replay(case, "olga")
    house.run()
    assert message_states(house) == ["processed", "processed", "quarantined"], "a replay is a message of its own"


def test_an_id_that_comes_again_with_another_time_only_is_the_same_fact(house: House) -> None:
    house.sync.acceptor.accept(event(house, 1), batch=False)
    later = json.loads(event(house, 1)) | {"time": house.clock.now().isoformat()}
    assert house.sync.acceptor.accept(json.dumps(later).encode(), batch=False).duplicates == [1]


# --- shared commits ---


def test_webhooks_and_messages_that_come_together_share_a_commit(sqlite_store: Store, clock: ManualClock) -> None:
    house = House(sqlite_store, clock)
    house.wms = Plain("wms", clock)
    group = house.sync.acceptor.group
    with ThreadPoolExecutor(16) as pool:
        with house.store.write():  # nobody commits meanwhile, so that all but the first wait together
            hooks = [pool.submit(hook, house, told(house, f"S{number}")) for number in range(8)]
            posts = [pool.submit(house.sync.acceptor.accept, event(house, n), batch=False) for n in range(4)]
            while group.waiting() < 11:
                pass
        assert all(one.result(10) for one in hooks)
        assert all(one.result(10).accepted for one in posts)
    assert (group.commits, group.requests) == (2, 12)
    assert len(messages(house)) == 4
    assert states(house)["wms", "new"] == 8
