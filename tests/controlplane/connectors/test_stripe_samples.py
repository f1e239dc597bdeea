"""Stripe's own fixtures: of each object what comes of it, and of each file of Stripe's what it is."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from controlplane.connectors.builtin.stripe import events
from controlplane.connectors.builtin.stripe.money import kept_movement
from tests.controlplane.connectors.samples import alone, at_hand, files_of, outcome
from tests.controlplane.connectors.simulators import SPECS

pytestmark = at_hand("stripe")
TOPICS = {
    "balance_transaction": "balance_transactions", "payout": "payouts", "charge": "charge.succeeded", "refund": "refund.updated",
    "dispute": "charge.dispute.created",
}  # fmt: skip
"""Object that is taken -> the topic that it comes by: as a row, or as what an event is about."""


@cache
def fixtures() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SPECS / "stripe/fixtures3.json").read_bytes())["resources"]
    return found


def result_of(name: str) -> str:
    connector, told = alone("stripe", {}, {}), fixtures()[name]
    topic = TOPICS.get(name, f"{name}.updated")
    if topic in ("balance_transactions", "payouts"):
        return outcome(
            connector,
            topic,
            json.dumps(kept_movement(told, "order_ref") if name == "balance_transaction" else told).encode(),
        )
    event = told if name == "event" else {"id": "evt_1", "type": topic, "created": 1234567890, "data": {"object": told}}
    return outcome(connector, str(event["type"]), events.kept(event))


def taken() -> set[str]:
    return {*TOPICS, "event"}


TABLE: dict[str, str] = {
    "balance_transaction": "read: payment.recorded",
    "charge": "looked up",
    "dispute": "looked up",
    "event": "of no interest",
    "payout": "read: settlement.changed",
    "refund": "looked up",
}  # fmt: skip


def test_every_file_is_known() -> None:
    assert files_of("stripe") == {"fixtures3.json", "spec3-legacy.json"}
    described = json.loads((SPECS / "stripe/spec3-legacy.json").read_bytes())
    assert {"/v1/balance_transactions", "/v1/payouts", "/v1/refunds", "/v1/charges/{charge}"} <= described[
        "paths"
    ].keys()


@pytest.mark.parametrize("name", list(TABLE))
def test_every_fixture_that_is_taken_is_read_or_refused_with_its_reason(name: str) -> None:
    assert result_of(name) == TABLE[name]


def test_every_other_fixture_is_of_no_interest() -> None:
    others = fixtures().keys() - taken()
    assert len(others) == 170
    assert {name: result for name in sorted(others) if (result := result_of(name)) != "of no interest"} == {}
