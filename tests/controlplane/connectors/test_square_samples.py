"""Square's own examples, which stand in its description: of each event and each object that is taken, what comes of it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from controlplane.connectors.builtin.square.connector import SquareConnector
from controlplane.connectors.builtin.square.payments import kept, kept_event
from tests.controlplane.connectors.samples import alone, at_hand, files_of, outcome
from tests.controlplane.connectors.simulators import SPECS

pytestmark = at_hand("square")
OPTIONS = {"locations": ["YYQR03DGCTXA4"], "webhook_url": "https://plane.example/hooks/square"}
LISTS = {
    "ListPaymentsResponse": "payments", "ListPaymentRefundsResponse": "refunds", "ListPayoutsResponse": "payouts",
    "ListPayoutEntriesResponse": "payout_entries", "BatchRetrieveOrdersResponse": "orders",
}  # fmt: skip
"""Answers whose rows are records of ours -> the topic."""


@cache
def schemas() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SPECS / "square/api.json").read_bytes())["components"]["schemas"]
    return found


def taken() -> set[str]:
    """The examples that are of an event or a list which is taken."""
    events = {
        name
        for name, one in schemas().items()
        if name.endswith("Event") and (one.get("example") or {}).get("type") in SquareConnector.manifest.receives
    }
    return events | set(LISTS)


def result_of(name: str) -> str:
    connector, told = alone("square", OPTIONS, {}), schemas()[name]["example"]
    if name in LISTS:
        topic = LISTS[name]
        bodies = [one if topic == "orders" else kept(topic, one) for one in told[topic]]
        return " | ".join(outcome(connector, topic, json.dumps(one).encode()) for one in bodies)
    body = kept_event(told) if not told["type"].startswith(("order", "inventory")) else json.dumps(told).encode()
    return outcome(connector, told["type"], body)


TABLE: dict[str, str] = {
    "BatchRetrieveOrdersResponse": "of no interest",
    "InventoryCountUpdatedEvent": "looked up",
    "ListPaymentRefundsResponse": "read: payment.recorded",
    "ListPaymentsResponse": "read: payment.recorded",
    "ListPayoutEntriesResponse": "read: payment.recorded | read: payment.recorded",
    "ListPayoutsResponse": "read: settlement.changed payment.recorded | read: settlement.changed payment.recorded",
    "OrderCreatedEvent": "of no interest",
    "OrderUpdatedEvent": "of no interest",
    "PaymentCreatedEvent": "looked up",
    "PaymentUpdatedEvent": "looked up",
    "PayoutFailedEvent": "read: settlement.changed payment.recorded",
    "PayoutPaidEvent": "read: settlement.changed payment.recorded",
    "PayoutSentEvent": "read: settlement.changed payment.recorded",
    "RefundCreatedEvent": "looked up",
    "RefundUpdatedEvent": "looked up",
}  # fmt: skip


def test_every_file_is_known_and_every_example_that_is_taken_is_in_the_table() -> None:
    assert files_of("square") == {"api.json"}
    assert taken() == set(TABLE)


@pytest.mark.parametrize("name", list(TABLE))
def test_every_example_is_read_or_refused_with_its_reason(name: str) -> None:
    assert result_of(name) == TABLE[name]
