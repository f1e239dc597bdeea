"""Stripe's events, which come twice, late, stale and in any order; and the vendor's own samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from controlplane.connectors.contract import Inbound
from controlplane.errors import BadInputError, RejectedError, ThrottledError
from controlplane.sandbox.stripe.account import signed
from rules.model.messages import PaymentRecorded, parse
from tests.controlplane.connectors.simulators import SPECS
from tests.controlplane.connectors.stripe_kit import Bench, an_account

FIXTURES = SPECS / "stripe/fixtures3.json"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with an_account() as found:
        yield found


def kinds(bench: Bench, event: dict[str, Any]) -> list[str]:
    found = [parse(one.type, one.data) for one in bench.told(event)]
    return [one.kind for one in found if isinstance(one, PaymentRecorded)]


def test_an_event_of_a_payment_tells_the_same_facts_as_the_poll(bench: Bench) -> None:
    charge = bench.account.charge(1099, 62, order="#1001")
    bench.account.refund(charge, None, 500)
    dispute = bench.account.dispute(charge, 1500)
    told = {}
    for kind, about in (
        ("charge.refunded", bench.account.charges[charge]),
        ("charge.dispute.created", bench.account.disputes[dispute]),
    ):
        told |= {one.dedupe_key: one for one in bench.told(bench.account.event(kind, about))}
    polled = {one.dedupe_key: one for one in bench.read("balance_transactions")}
    assert told == polled
    assert {one.data["order_ref"] for one in told.values()} == {"#1001"}
    assert sorted(one.data["kind"] for one in told.values()) == ["charge", "dispute", "refund"]


def test_a_stale_event_tells_what_is_so_by_now(bench: Bench) -> None:
    charge = bench.account.charge(1099, 62)
    paid = bench.account.event("charge.succeeded", bench.account.charges[charge])
    dispute = bench.account.dispute(charge, 1500)
    opened = bench.account.event("charge.dispute.created", bench.account.disputes[dispute])
    won = bench.account.dispute_won(dispute)
    assert kinds(bench, won) == kinds(bench, opened) == ["dispute", "dispute_won"]
    bench.account.refund(charge, None, 500)
    assert kinds(bench, paid) == ["charge", "refund"]


def test_an_event_is_known_by_its_id_over_stripes_retries(bench: Bench) -> None:
    event = bench.account.event("charge.succeeded", bench.account.charges[bench.account.charge(1099, 62)])
    keys = set()
    for late in (0, 200):
        body, mark = signed("whsec", bench.given.clock.now(), event)
        bench.given.clock.advance(late)
        keys.add(bench.connector.receive(Inbound({"stripe-signature": mark}, body)).event_key)
    assert keys == {f"charge.succeeded:{event['id']}"}


def test_all_refunds_of_a_payment_are_told_however_many(bench: Bench) -> None:
    charge = bench.account.charge(100_000, 62)
    for _ in range(120):
        bench.account.refund(charge, None, 1)
    found = kinds(bench, bench.account.event("charge.refunded", bench.account.charges[charge]))
    assert (found.count("charge"), found.count("refund")) == (1, 120)


def test_no_person_is_kept_with_an_event(bench: Bench) -> None:
    event = bench.account.event("charge.succeeded", bench.account.charges[bench.account.charge(1099, 62)])
    assert "Some Body" in json.dumps(event)
    body, mark = signed("whsec", bench.given.clock.now(), event)
    kept = bench.connector.receive(Inbound({"stripe-signature": mark}, body)).body
    assert b"ome" not in kept, "neither somebody's address nor Some Body"


def test_an_event_waits_while_stripe_does_not_answer_and_is_refused_when_it_knows_nothing_of_it(bench: Bench) -> None:
    event = bench.account.event("charge.succeeded", bench.account.charges[bench.account.charge(1099, 62)])
    bench.account.throttled = 1
    with pytest.raises(ThrottledError):
        bench.told(event)
    event["data"]["object"]["id"] = "ch_404"
    with pytest.raises(RejectedError, match="resource_missing"):
        bench.told(event)


@pytest.mark.parametrize(
    "about", [None, [], {}, {"object": "charge"}, {"object": "plan", "id": "p1"}, {"object": "charge", "id": "../x"}]
)
def test_an_event_that_breaks_the_contract_is_refused_by_name(bench: Bench, about: Any) -> None:
    with pytest.raises(BadInputError, match="breaks Stripe's contract"):
        bench.told({"id": "evt_1", "type": "charge.succeeded", "created": 1, "data": {"object": about}})


# --- the vendor's own samples ---
@cache
def samples() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(FIXTURES.read_text(encoding="utf-8"))["resources"]
    return found


READ = {
    "balance_transaction": ("balance_transactions", "payment.recorded"),
    "payout": ("payouts", "settlement.changed"),
}
ABOUT = {"charge": "charge.succeeded", "refund": "charge.refund.updated", "dispute": "charge.dispute.created"}
REFUSED = "no object of this account"
"""What becomes of a sample as a record or in an event; every other one is of no interest, and makes no message."""


@pytest.mark.skipif(not FIXTURES.is_file(), reason="the vendor's fixtures are not at hand (TRUEUP_SHARED)")
def test_each_of_the_vendors_samples_is_read_or_refused_or_of_no_interest(bench: Bench) -> None:
    table = {name: _result(bench, name, sample) for name, sample in samples().items()}
    assert len(table) > 150
    wanted = dict.fromkeys(samples(), "of no interest")
    wanted |= {name: message for name, (_, message) in READ.items()} | dict.fromkeys(ABOUT, REFUSED)
    assert table == wanted


def _result(bench: Bench, name: str, sample: dict[str, Any]) -> str:
    if name in READ:
        record = bench.connector._record(READ[name][0], sample)
        [draft] = bench.connector.translate(record.topic, record.body)
        told = parse(draft.type, draft.data)
        assert getattr(told, "amount") == Decimal(sample["amount"]) / 100  # noqa: B009 - of either message
        return draft.type
    event = sample if name == "event" else {"id": "evt_1", "type": ABOUT.get(name, f"{name}.updated"), "created": 1}
    if name != "event":
        event["data"] = {"object": sample}
    if name in ABOUT:
        with pytest.raises(RejectedError, match=f"No such object: '{sample['id']}'"):
            bench.told(event)
        return REFUSED
    return "of no interest" if bench.told(event) == [] else "something"
