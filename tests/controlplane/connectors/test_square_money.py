"""Payments, refunds and payouts of Square against simulated tills, held against the vendor's description where it is at hand."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from controlplane.connectors.contract import Draft, Inbound
from controlplane.errors import BadInputError
from controlplane.sandbox.square.app import signed
from rules.model.messages import PaymentRecorded, SettlementChanged, parse
from tests.controlplane.connectors.test_square import HOOK, Bench, bench

__all__ = ["bench"]
Cursors = dict[str, dict[str, Any]]


def read(bench: Bench, cursors: Cursors, *entities: str) -> dict[str, Draft]:
    """What polls bring, by its key; the first that tells a fact counts, as in the ledger."""
    found: dict[str, Draft] = {}
    for entity in entities or ("payments", "refunds", "payouts"):
        for page in bench.connector.poll(entity, cursors.get(entity)):
            cursors[entity] = page.cursor or cursors.get(entity, {})
            for record in page.records:
                for draft in bench.connector.translate(record.topic, record.body):
                    found.setdefault(draft.dedupe_key, draft)
    return found


def moved(drafts: dict[str, Draft]) -> dict[str, tuple[str, str, str, str]]:
    parsed = [parse(draft.type, draft.data) for draft in drafts.values()]
    return {
        one.ref: (one.kind, str(one.amount), str(one.fee), str(one.net))
        for one in parsed
        if isinstance(one, PaymentRecorded)
    }


def states(drafts: dict[str, Draft]) -> list[tuple[str, str, str]]:
    parsed = [parse(draft.type, draft.data) for draft in drafts.values()]
    return [(one.ref, one.state, str(one.amount)) for one in parsed if isinstance(one, SettlementChanged)]


def told(bench: Bench, topic: str, name: str, about: dict[str, Any]) -> tuple[bytes, list[Draft]]:
    event = {"type": topic, "event_id": "e1", "created_at": "2026-11-27T06:00:00Z", "data": {"object": {name: about}}}
    body = json.dumps(event).encode()
    record = bench.connector.receive(Inbound({"x-square-hmacsha256-signature": signed("hush", HOOK, body)}, body))
    return record.body, bench.connector.translate(record.topic, record.body)


def test_payments_and_refunds_are_movements_to_the_cent_and_no_person_is_kept(bench: Bench) -> None:
    bench.seller.pay("P1", "L1", 1000, 59)
    bench.seller.pay("P2", "L2", 2500, 103)
    bench.seller.pay("P3", "L1", 700, source="CASH")
    bench.seller.refund("P1_R", "P1", 400)
    bench.seller.refund("P2_R", "P2", 100, status="PENDING")
    found = read(bench, {}, "payments", "refunds")
    assert moved(found) == {
        "P1": ("charge", "10.00", "0.59", "9.41"), "P2": ("charge", "25.00", "1.03", "23.97"), "P1_R": ("refund", "-4.00", "0.00", "-4.00"),
    }  # fmt: skip
    assert found["payment.recorded:P1_R"].data["about"] == "P1"
    assert found["payment.recorded:P1"].data["order_ref"] == "order-P1"
    bodies = b"".join(record.body for page in bench.connector.poll("payments", None) for record in page.records)
    assert b"omebody" not in bodies
    assert b"1111" not in bodies


def test_a_payment_whose_fee_is_not_known_yet_is_told_when_it_is(bench: Bench) -> None:
    bench.seller.pay("P1", "L1", 1000)
    cursors: Cursors = {}
    assert read(bench, cursors, "payments") == {}
    bench.given.clock.advance(30)
    bench.seller.charge("P1", 59)
    assert moved(read(bench, cursors, "payments")) == {"P1": ("charge", "10.00", "0.59", "9.41")}


def test_a_payout_is_made_up_of_its_entries_and_what_it_pays_leaves_the_balance(bench: Bench) -> None:
    for at in range(5):
        bench.seller.pay(f"P{at}", "L1", 1000 + at, 59)
    bench.seller.refund("R", "P0", 400)
    bench.seller.enter("D1", "L1", "DISPUTE", -1001)
    bench.seller.enter("F1", "L1", "SUBSCRIPTION_FEE", -60)
    bench.seller.enter("X1", "L1", "HOLD_ADJUSTMENT", 7)
    bench.seller.pay_out("po_1", "L1")
    cursors: Cursors = {}
    found = read(bench, cursors)
    assert len(moved(found)) == 5 + 1 + 3 + 1, "what is told by itself, and again as an entry, is one movement"
    assert (moved(found)["D1"][0], moved(found)["F1"][0], moved(found)["X1"][0]) == ("dispute", "fee", "other")
    assert sum(Decimal(net) for *_, net in moved(found).values()) == 0
    assert states(found) == [("po_1", "in_transit", "32.61")]
    bench.given.clock.advance(86400)
    bench.seller.arrive("po_1")
    bench.seller.pay("P9", "L1", 1000, 59)
    bench.seller.pay_out("po_2", "L1")
    assert states(read(bench, cursors)) == [("po_1", "paid", "32.61"), ("po_2", "in_transit", "9.41")]
    again = moved(read(bench, cursors, "payouts")).keys()
    assert again == {"P9", "po_1/payout", "po_2/payout"}, "a payout that is old is not taken apart again"


def test_entries_alone_tell_the_same_movements_as_payments_do(bench: Bench) -> None:
    bench.seller.pay("P1", "L1", 1000, 59)
    bench.seller.refund("P1_R", "P1", 400)
    bench.seller.pay_out("po_1", "L1")
    alone = moved(read(bench, {}, "payouts"))
    assert moved(read(bench, {}, "payments", "refunds")).items() <= alone.items()


def test_a_payout_that_its_entries_do_not_make_waits_and_they_go_on(bench: Bench) -> None:
    bench.seller.pay("P1", "L1", 1000, 59)
    bench.seller.pay_out("po_1", "L1")
    bench.seller.payouts["po_1"]["amount_money"]["amount"] = 940
    records = [record for page in bench.connector.poll("payouts", None) for record in page.records]
    assert [record.topic for record in records] == ["payout_entries", "payouts"]
    assert len(bench.connector.translate(records[0].topic, records[0].body)) == 1
    with pytest.raises(BadInputError, match=r"payout po_1 is of 940 USD .* its 1 entries make 941"):
        bench.connector.translate(records[1].topic, records[1].body)


def test_a_payout_that_failed_is_a_second_fact_and_what_came_back_an_entry(bench: Bench) -> None:
    bench.seller.pay("P1", "L1", 1000, 59)
    bench.seller.pay_out("po_1", "L1")
    bench.seller.arrive("po_1", "FAILED")
    bench.seller.enter("B1", "L1", "RETURNED_PAYOUT", 941)
    bench.seller.pay_out("po_2", "L1")
    found = read(bench, {})
    assert states(found) == [("po_1", "failed", "9.41"), ("po_2", "in_transit", "9.41")]
    assert moved(found)["B1"] == ("payout_failed", "9.41", "0.00", "9.41")
    assert sum(Decimal(net) for *_, net in moved(found).values()) == 0


def test_of_a_webhook_of_a_payment_or_refund_only_the_id_is_kept_and_it_is_looked_up(bench: Bench) -> None:
    bench.seller.pay("P1", "L1", 1000, 59)
    stale = {**bench.seller.payments["P1"], "status": "APPROVED"}
    kept, drafts = told(bench, "payment.updated", "payment", stale)
    assert [draft.data["net"] for draft in drafts] == ["9.41"]
    assert b"omebody" not in kept
    bench.seller.refund("P1_R", "P1", 400, status="PENDING")
    assert told(bench, "refund.created", "refund", bench.seller.refunds["P1_R"])[1] == []
    bench.seller.complete("P1_R")
    assert [
        draft.data["kind"] for draft in told(bench, "refund.updated", "refund", bench.seller.refunds["P1_R"])[1]
    ] == ["refund"]


def test_a_webhook_of_a_payout_is_the_fact_and_its_bank_account_is_not_kept(bench: Bench) -> None:
    bench.seller.pay("P1", "L1", 1000, 59)
    bench.seller.pay_out("po_1", "L1")
    bench.seller.arrive("po_1")
    kept, drafts = told(bench, "payout.paid", "payout", bench.seller.payouts["po_1"])
    assert b"bact" not in kept
    assert [draft.dedupe_key for draft in drafts] == ["settlement.changed:po_1:paid", "payment.recorded:po_1/payout"]


@pytest.mark.parametrize(
    ("topic", "body", "names"),
    [
        (
            "payments",
            {"status": "COMPLETED", "source_type": "CARD", "processing_fee": [{}]},
            "breaks Square's contract",
        ),
        (
            "payments",
            {"id": "P", "status": "COMPLETED", "processing_fee": [{"amount_money": {"amount": 1.5}}]},
            "breaks Square's contract",
        ),
        ("refunds", {"id": "R", "status": "COMPLETED"}, "breaks Square's contract"),
        (
            "payouts",
            {"id": "po", "status": "LOST", "amount_money": {"amount": 1, "currency": "USD"}},
            "no state that is known",
        ),
        ("payout_entries", {"id": "e", "type": "CHARGE"}, "breaks Square's contract"),
        ("payment.updated", {"about": {}}, "breaks Square's contract"),
    ],
)
def test_money_that_cannot_be_read_is_refused_by_name(
    bench: Bench, topic: str, body: dict[str, Any], names: str
) -> None:
    with pytest.raises(BadInputError, match=names):
        bench.connector.translate(topic, json.dumps(body).encode())
