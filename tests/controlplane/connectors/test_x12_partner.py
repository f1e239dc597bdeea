"""The connector and the sandbox's provider over one folder: orders out, shipments back, and the provider's bad habits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.builtin.edi_x12.reader import read
from controlplane.connectors.builtin.edi_x12.syntax import faults
from controlplane.connectors.contract import Draft
from controlplane.errors import BadInputError
from controlplane.sandbox.edi.partner import Habits, Partner
from controlplane.store import Store
from rules.outcomes import Result
from tests.controlplane.connectors.x12_kit import Bench, order, pages


class Trade:
    """A retailer and its provider, each taking a turn."""

    def __init__(self, root: Path, store: Store, **habits: Any) -> None:
        self.bench = Bench(root, store)
        self.partner = Partner(root, {"SKU-1": 40, "SKU-2": 7}, Habits(**habits))
        self.connector = self.bench.connector()
        self.cursor: dict[str, Any] | None = None
        self.known: dict[str, Draft] = {}
        """By dedupe key, as the ledger knows them."""
        self.refused: list[str] = []
        self._events: set[str] = set()

    def partner_turn(self) -> None:
        self.bench.clock.advance(60)
        self.partner.step(self.bench.clock.now())

    def poll(self) -> None:
        for page in pages(self.connector, self.cursor):
            self.cursor = page.cursor
            for record in page.records:
                if record.event_key in self._events:
                    continue
                self._events.add(record.event_key)
                try:
                    found = self.connector.translate(record.topic, record.body)
                except BadInputError as error:
                    self.refused.append(str(error))
                else:
                    self.known.update({draft.dedupe_key: draft for draft in found})

    def round(self) -> None:
        self.partner_turn()
        self.poll()

    def shipped(self) -> dict[str, int]:
        """What the messages say was shipped, by SKU."""
        sums: dict[str, int] = {}
        for draft in self.known.values():
            for line in draft.data.get("lines", ()) if draft.type == "shipment.shipped" else ():
                sums[line["sku"]] = sums.get(line["sku"], 0) + line["quantity"]
        return sums

    def truth(self) -> dict[str, int]:
        sums: dict[str, int] = {}
        for one in self.partner.journal("shipped"):
            sums[one["sku"]] = sums.get(one["sku"], 0) + one["quantity"]
        return sums


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "partner"


def test_an_order_is_accepted_shipped_and_told_of(root: Path, sqlite_store: Store) -> None:
    trade = Trade(root, sqlite_store)
    assert trade.connector.write(order()).result is Result.UNKNOWN
    trade.round()
    assert trade.connector.read_back(order()).result is Result.ALREADY_DELIVERED
    trade.round()
    assert trade.shipped() == trade.truth() == {"SKU-1": 3}
    assert trade.refused == []
    trade.partner_turn()
    assert trade.partner.journal("acknowledged")[0]["text"].count("AK5*A~") == 1


def test_what_arrives_and_lies_there_is_told_of(root: Path, sqlite_store: Store) -> None:
    trade = Trade(root, sqlite_store)
    trade.partner.receive("R-1", "PO-1", {"SKU-1": 5}, trade.bench.clock.now())
    trade.partner.tell_stock(trade.bench.clock.now())
    trade.poll()
    levels = {draft.data["sku"]: draft.data["on_hand"] for draft in trade.known.values() if draft.type == "stock.level"}
    assert levels == trade.partner.stock == {"SKU-1": 45, "SKU-2": 7}
    assert [draft.subject for draft in trade.known.values() if draft.type == "receipt.received"] == ["R-1"]


@pytest.mark.parametrize("habit", ["repeats", "halves", "ships_first", "silent"])
def test_a_bad_habit_changes_nothing_of_what_was_shipped(root: Path, sqlite_store: Store, habit: str) -> None:
    trade = Trade(root, sqlite_store, **{habit: True})
    for number in range(3):
        trade.connector.write(order(f"delivery-{number}", f"#{number}"))
    for _ in range(4):
        trade.round()
    assert trade.shipped() == trade.truth() == {"SKU-1": 9}
    assert len(trade.partner.journal("effect")) == 3
    assert trade.refused == []


def test_a_short_shipment_is_told_short(root: Path, sqlite_store: Store) -> None:
    trade = Trade(root, sqlite_store, short_by=1)
    trade.connector.write(order())
    trade.round()
    trade.round()
    assert trade.shipped() == {"SKU-1": 2}


def test_a_partner_who_says_nothing_leaves_the_order_awaited(root: Path, sqlite_store: Store) -> None:
    trade = Trade(root, sqlite_store, silent=True)
    trade.connector.write(order())
    for _ in range(5):
        trade.round()
        assert trade.connector.read_back(order()).result is Result.UNKNOWN
    assert len(trade.partner.journal("effect")) == 1


def test_a_number_that_is_used_twice_is_an_alarm(root: Path, sqlite_store: Store) -> None:
    trade = Trade(root, sqlite_store, reuses_number=True)
    trade.connector.write(order())
    for _ in range(3):
        trade.round()
    assert any("came before with another content" in told for told in trade.refused)


@pytest.mark.parametrize(
    ("habit", "told"), [("miscounts", "SE01 counts"), ("unnumbered", "the number of the shipment is missing")]
)
def test_a_wrong_945_waits_for_a_person_with_its_place(root: Path, sqlite_store: Store, habit: str, told: str) -> None:
    trade = Trade(root, sqlite_store, **{habit: True})
    trade.connector.write(order())
    for _ in range(3):
        trade.round()
    (refused,) = trade.refused
    assert told in refused
    assert refused.startswith("segment ")
    assert trade.shipped() == {}


def test_an_item_that_the_partner_does_not_stock_is_refused_with_its_place(root: Path, sqlite_store: Store) -> None:
    trade = Trade(root, sqlite_store)
    line = {"line": 1, "sku": "SKU-9", "location": "DC3", "quantity": 1}
    trade.connector.write(order(lines=[line]))
    trade.partner_turn()
    outcome = trade.connector.read_back(order(lines=[line]))
    assert outcome.result is Result.REJECTED
    assert "segment 8 (W01), element 5: invalid code (7)" in outcome.detail
    assert trade.partner.journal("effect") == []


def test_the_partner_knows_a_control_number_again_and_does_nothing(root: Path, sqlite_store: Store) -> None:
    trade = Trade(root, sqlite_store)
    trade.connector.write(order())
    text = (root / "out" / "940_000000001.x12").read_text()
    trade.partner_turn()
    (root / "out" / "sent_again.x12").write_text(text)
    trade.partner_turn()
    assert len(trade.partner.journal("effect")) == 1
    assert len(trade.partner.journal("duplicate")) == 1


def test_every_file_of_the_partner_obeys_the_schemas(root: Path, sqlite_store: Store) -> None:
    trade = Trade(root, sqlite_store)
    trade.connector.write(order())
    trade.partner.receive("R-1", "PO-1", {"SKU-1": 5}, trade.bench.clock.now())
    trade.partner.tell_stock(trade.bench.clock.now())
    for _ in range(3):
        trade.round()
    files = sorted((root / "in").iterdir())
    assert {path.name[:3] for path in files} == {"997", "945", "944", "846"}
    for path in files:
        (one,) = read(path.read_bytes())
        assert [*one.flaws, *(flaw for group in one.groups for flaw in group.flaws)] == []
        assert [fault for group in one.groups for told in group.sets for fault in faults(told, group.gs.at(1))] == []
