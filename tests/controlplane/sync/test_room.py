"""How much may wait holds exactly, for what comes at one instant too, and a place that was not used is free again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Record
from controlplane.errors import BadInputError, OverloadedError
from controlplane.sealing import Shield
from controlplane.store import Store, open_store
from controlplane.store import tables as t
from controlplane.sync import intake
from controlplane.sync.intake import Room
from controlplane.sync.ledger.accept import Acceptor, Receipt
from rules.personal import Personal
from tests.controlplane.sync.kit import House
from tests.waiting import until

LIMIT = 5


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    return House(store, clock)


@pytest.fixture
def acceptor(house: House) -> Acceptor:
    return Acceptor(house.store, house.clock, house.registry, house.sync.keys, limit=LIMIT)


def sale(number: int, house: House) -> bytes:
    now = house.clock.now().isoformat()
    data = {"ref": f"R{number}", "location": "ST1", "sku": "0042", "quantity": 1, "unit_price": "12.90", "currency": "USD",
            "sold_at": now}  # fmt: skip
    return json.dumps({"specversion": "1.0", "id": f"s{number}", "source": "tills", "type": "sale.recorded",
                       "subject": f"R{number}", "time": now, "data": data}).encode()  # fmt: skip


def waiting(house: House) -> int:
    with house.store.read() as connection:
        counts = [select(func.count()).select_from(table) for table in (t.message, t.intake)]
        messages, raw = (connection.execute(query).scalar_one() for query in counts)
        new = connection.execute(
            select(func.count()).select_from(t.intake).where(t.intake.c.state == "new")
        ).scalar_one()
    assert raw >= new
    return int(messages + new)


def test_requests_of_one_instant_do_not_pass_the_limit_together(house: House, acceptor: Acceptor) -> None:
    before = waiting(house)
    shield = Shield(Personal(), house.sync.keys)
    records = [Record("sale", f"e{number}", b"{}") for number in range(10)]
    hooks = [intake.arrived(house.clock, "tills", "webhook", [record], shield) for record in records]
    with ThreadPoolExecutor(20) as pool:
        with (
            house.store.write() as connection
        ):  # nothing is committed while this is open: all of them come before any is
            if not house.store.is_sqlite:
                connection.exec_driver_sql("LOCK TABLE message, intake IN SHARE MODE")
            told = [pool.submit(acceptor.accept, sale(number, house), batch=False) for number in range(10)]
            told += [pool.submit(acceptor.take, hook) for hook in hooks]  # type: ignore[arg-type]
            until(lambda: sum(one.done() for one in told) == len(told) - LIMIT, "an answer to those beyond the limit")
        errors = [one.exception(60) for one in told]
    assert sum(error is None for error in errors) == LIMIT
    assert all(isinstance(error, OverloadedError) for error in errors if error is not None)
    assert waiting(house) - before == LIMIT


def test_places_are_given_back_by_what_was_taken_refused_or_failed(house: House, acceptor: Acceptor) -> None:
    for number in range(LIMIT):
        acceptor.accept(sale(number, house), batch=False)
    for _ in range(3):
        with pytest.raises(OverloadedError, match="TRUEUP_ACCEPT_LIMIT=5"):
            acceptor.accept(sale(9, house), batch=False)
    while house.sync.process():
        pass
    with pytest.raises(BadInputError):
        acceptor.accept(b"{", batch=False)
    batch = b"\n".join(sale(number, house) for number in range(10, 10 + LIMIT))
    assert len(acceptor.accept(batch, batch=True).accepted) == LIMIT, "every place is free again"


def test_a_page_that_is_larger_than_the_limit_is_let_in_when_nothing_waits(house: House) -> None:
    room = Room(house.store, LIMIT)
    with room.held(50), pytest.raises(OverloadedError):
        room.ask(1)
    with pytest.raises(ValueError, match="the connection broke"), room.held(3):
        raise ValueError("the connection broke")
    room.ask(LIMIT)
    with room.held(0):
        room.leave(LIMIT)
    room.ask(LIMIT)


def test_of_events_that_share_a_commit_each_gets_its_own_answer(house: House) -> None:
    acceptor = Acceptor(house.store, house.clock, house.registry, house.sync.keys)
    broken = sale(3, house).replace(b'"quantity": 1', b'"quantity": "1"')
    events = [sale(0, house), b"{", sale(1, house), broken, sale(0, house), sale(2, house)]
    with ThreadPoolExecutor(8) as pool:
        with house.store.write() as connection:  # whoever leads waits here, and all others behind it
            if not house.store.is_sqlite:
                connection.exec_driver_sql("LOCK TABLE message, intake IN SHARE MODE")
            first = pool.submit(acceptor.accept, sale(9, house), batch=False)
            until(lambda: acceptor.group.requests == 1, "the first commit")
            told = [pool.submit(acceptor.accept, event, batch=False) for event in events]
            until(lambda: acceptor.group.waiting() == len(events), "all others wait for the next")
        assert first.result(60).accepted
        answers = [one.exception(60) or one.result() for one in told]
    assert [type(one) for one in answers] == [Receipt, BadInputError, Receipt, BadInputError, Receipt, Receipt]
    assert "not JSON" in str(answers[1])
    assert "quantity" in str(answers[3])
    receipts = [one for one in answers if isinstance(one, Receipt)]
    assert sum(len(one.accepted) for one in receipts) == 3
    [again] = [one for one in receipts if one.known]
    first_of_both = next(one for one in (receipts[0], receipts[2]) if one.accepted)
    assert list(again.known.values()) == list(first_of_both.accepted.values()), "told twice, taken once"
    assert acceptor.group.commits == 2
    assert kept_bodies(house) >= {sale(number, house) for number in (0, 1, 2, 9)}


def kept_bodies(house: House) -> set[bytes]:
    with house.store.read() as connection:
        return {bytes(body) for body in connection.execute(select(t.intake.c.body)).scalars()}


def test_two_planes_on_one_database_do_not_pass_the_limit_together(house: House) -> None:
    if house.store.is_sqlite:
        pytest.skip("one process owns the file")
    other = open_store(house.store.engine.url.render_as_string(hide_password=False))
    try:
        planes = [Acceptor(s, house.clock, house.registry, house.sync.keys, limit=LIMIT) for s in (house.store, other)]
        before = waiting(house)
        with ThreadPoolExecutor(2 * LIMIT) as pool:
            with house.store.write() as connection:
                connection.exec_driver_sql("LOCK TABLE message, intake IN SHARE MODE")
                told = [
                    pool.submit(plane.accept, sale(number + 50 * at, house), batch=False)
                    for at, plane in enumerate(planes)
                    for number in range(LIMIT)
                ]
                until(
                    lambda: all(one.group.requests for one in planes), "both have let in as much as there is room for"
                )
            errors = [one.exception(60) for one in told]
        taken = sum(error is None for error in errors)
        assert 0 < taken <= LIMIT
        assert all(isinstance(error, OverloadedError) for error in errors if error is not None)
        assert waiting(house) - before == taken
    finally:
        other.engine.dispose()
