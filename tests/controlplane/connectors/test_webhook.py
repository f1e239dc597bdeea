"""The incident tool's inlet against the sandbox's pager."""

from __future__ import annotations

from typing import Any

from controlplane.connectors.builtin.webhook.connector import WebhookConnector
from controlplane.connectors.contract import Write
from rules.outcomes import Result
from tests.controlplane.connectors.bad_server import BadServer
from tests.controlplane.connectors.conftest import Given, Retailer


def notified(action: str = "trigger", sequence: int = 1) -> Write:
    payload: dict[str, Any] = {
        "incident": "INC-1", "fingerprint": "stock-drift:shop", "action": action, "sequence": sequence,
        "severity": "page", "title": "Stock drifts", "owner": "ecommerce", "cause": "changed at the target",
        "money_at_risk": "12.50", "currency": "USD", "opened_at": "2026-11-27T06:00:00Z", "url": "http://127.0.0.1/i/1",
    }  # fmt: skip
    return Write("incident", "INC-1", f"delivery-{sequence}", payload, "INC-1")


def test_a_notification_is_taken_by_the_incident_tool(retailer: Retailer) -> None:
    connector = retailer.connector("pager")
    assert connector.write(notified()).result is Result.DELIVERED
    assert connector.write(notified("resolve", 2)).result is Result.DELIVERED
    told = retailer.sandbox.control("GET", "/pager").json()
    events = told["events"] if isinstance(told, dict) else told
    assert [(e["dedup_key"], e["event_action"]) for e in events] == [
        ("stock-drift:shop", "trigger"),
        ("stock-drift:shop", "resolve"),
    ]


def test_each_notification_has_an_idempotency_key_of_its_own(bad_server: BadServer) -> None:
    connector = WebhookConnector(Given(bad_server.url, secrets={"token": "s3cret-token"}).context())
    for request in (notified(), notified(), notified("resolve", 2)):
        connector.write(request)
    keys = [headers["idempotency-key"] for _, _, headers, _ in bad_server.asked]
    assert keys == ["stock-drift:shop:trigger:1", "stock-drift:shop:trigger:1", "stock-drift:shop:resolve:2"]
    connector.close()


def test_an_unanswered_notification_may_be_sent_again(retailer: Retailer) -> None:
    retailer.sandbox.fault(kind="lost_response", target="pager")
    connector = retailer.connector("pager")
    assert connector.write(notified()).result is Result.UNKNOWN
    assert connector.read_back(notified()).result is Result.UNSEEN
