"""A journal entry that failed in SAP's queue can be started again there: it is never sent a second time before that is settled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.sap_s4.connector import SapS4Connector
from controlplane.connectors.contract import Draft
from controlplane.sandbox.sap.app import PASSWORD, USER, create
from controlplane.sandbox.sap.books import Erp
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from tests.controlplane.connectors.conftest import START, Given
from tests.controlplane.connectors.simulators import hanging_up
from tests.controlplane.connectors.test_sap_s4 import OPTIONS
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import change

KEY = "shipped:S-1:revenue"


@dataclass
class Books:
    """A retailer whose journal entries go to a tenant, which does not know the company code yet."""

    house: House
    erp: Erp

    def post(self) -> None:
        """An entry is owed."""
        lines = [
            {"account": "1100", "debit": "25.00", "credit": "0", "memo": ""},
            {"account": "4000", "debit": "0", "credit": "25.00", "memo": ""},
        ]
        data: dict[str, Any] = {
            "posting_key": KEY, "document": "S-1", "business_date": "2026-03-02", "currency": "USD", "lines": lines,
            "rule_revision": "1",
        }  # fmt: skip
        self.house.sync.emit([Draft("posting.made", KEY, f"posting.made:{KEY}", self.house.clock.now(), data)])

    def mend(self) -> None:
        """Somebody sets up the company code."""
        self.erp.companies.add("1010")

    @property
    def posted(self) -> list[str]:
        return self.erp.effects["entries"]

    @property
    def queued(self) -> int:
        """How many messages SAP was ever sent of it, none having been posted."""
        return len(self.erp.failed) + len(self.erp.queue)

    def state(self) -> tuple[str, list[str]]:
        """Where the delivery stands, and the kinds of its tries."""
        d, a = t.delivery.c, t.attempt.c
        with self.house.store.read() as connection:
            row = connection.execute(select(d.id, d.state).where(d.entity == "journal_entry")).one()
            kinds = connection.execute(select(a.kind).where(a.delivery_id == row.id).order_by(a.finished_at, a.id))
            return row.state, list(kinds.scalars())

    def case(self) -> str:
        with self.house.store.read() as connection:
            return str(
                connection.execute(select(t.quarantine.c.id).where(t.quarantine.c.state == "waiting")).scalar_one()
            )


@pytest.fixture
def books(sqlite_store: Store) -> Iterator[Books]:
    clock = ManualClock(START, pace=0.001)
    house = House(sqlite_store, clock)
    change(house, "RetryPolicy", "postings", budget="2h")
    erp = Erp(clock.now, companies=set())
    with hanging_up(create(erp)) as port:
        given = Given(
            f"http://127.0.0.1:{port}", options=dict(OPTIONS), timeout=600, clock=clock,
            secrets={"user": USER, "password": PASSWORD},
        )  # fmt: skip
        house.erp = SapS4Connector(given.context())  # type: ignore[assignment]
        yield Books(house, erp)
        house.erp.close()


def test_an_entry_that_failed_in_the_queue_is_looked_for_and_not_sent_again(books: Books) -> None:
    books.post()
    books.house.run(minutes=60, step=60)
    state, kinds = books.state()
    assert (state, kinds[0], set(kinds[1:])) == ("unknown", "write", {"read-back"})
    assert books.queued == 1


def test_started_again_in_saps_monitor_it_is_posted_once_and_found(books: Books) -> None:
    books.post()
    books.house.run(minutes=60, step=60)
    books.mend()
    books.erp.restart()
    books.house.run(minutes=20, step=60)
    assert books.state()[0] == "delivered"
    assert books.posted == [KEY]


def test_after_its_budget_it_waits_and_a_replay_alone_does_not_send_it_again(books: Books) -> None:
    books.post()
    books.house.run(minutes=150, step=60)
    assert books.state()[0] == "quarantined"
    books.house.sync.replay(books.case(), "clerk")
    books.house.run(minutes=30, step=60)
    assert (books.posted, books.queued) == ([], 1)
    books.mend()
    books.erp.restart()
    books.house.run(minutes=30, step=60)
    assert books.posted == [KEY]


def test_once_a_person_has_discarded_it_there_and_says_so_a_replay_posts_it(books: Books) -> None:
    books.post()
    books.house.run(minutes=150, step=60)
    case = books.case()
    books.mend()
    books.erp.failed.clear()
    with books.house.store.write() as connection:
        quarantine.vouch(connection, books.house.clock, case, "controller", "discarded in the monitor")
    books.house.sync.replay(case, "clerk")
    books.house.run(minutes=20, step=60)
    assert books.state()[0] == "delivered"
    assert books.posted == [KEY]
