"""Answers of a real shop that somebody recorded: every file, read by the client of ours, with what it refuses and where."""

# ruff: noqa: E501 - a row of the table is a line

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response

from controlplane.connectors.builtin.shopify.api import read_errors
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import HttpClient
from controlplane.connectors.redaction import Redactor
from controlplane.errors import ConnectorError
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.samples import at_hand, files_of
from tests.controlplane.connectors.simulators import SPECS, hanging_up

pytestmark = at_hand("shopify")
RECORDED = SPECS / "shopify/recorded-2026-04"


class Player:
    """A shop that answers what was recorded."""

    def __init__(self, client: GraphqlClient) -> None:
        self.client = client
        self.next = b""

    def result_of(self, name: str) -> str:
        answers = list(_answers(json.loads((RECORDED / name).read_bytes())))
        refused, wrong = list[str](), list[str]()
        for answer in answers:
            self.next = json.dumps(answer).encode()
            try:
                data, _ = self.client.ask("query { shop { id } }")
            except ConnectorError as error:
                refused.append(f"{type(error).__name__} at {_place(answer)}")
                continue
            wrong += _user_errors(data)
        told = [f"{len(answers)} answers"]
        told += [f"{len(refused)} refused, first {refused[0]}"] if refused else []
        told += [f"{len(wrong)} user errors, first at {wrong[0]}"] if wrong else []
        return ", ".join(told)


def _answers(told: Any) -> Iterator[dict[str, Any]]:
    """Whatever was answered, wherever in a recording it stands."""
    if isinstance(told, dict):
        if (isinstance(told.get("errors"), list) and told["errors"]) or (
            isinstance(told.get("data"), dict) and ("extensions" in told or len(told) == 1)
        ):
            yield told
            return
        for one in told.values():
            yield from _answers(one)
    elif isinstance(told, list):
        for one in told:
            yield from _answers(one)


def _place(answer: dict[str, Any]) -> str:
    first = answer["errors"][0]
    place = first.get("path") or [f"line {one['line']}, column {one['column']}" for one in first.get("locations") or ()]
    return ".".join(str(one) for one in place) or "no place"


def _user_errors(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        for name, one in told.items():
            if name.endswith("serErrors") and isinstance(one, list):
                yield from (".".join(str(part) for part in error.get("field") or ()) or "no field" for error in one)
            else:
                yield from _user_errors(one)
    elif isinstance(told, list):
        for one in told:
            yield from _user_errors(one)


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    app = Flask("recorded")
    with hanging_up(app) as port:
        http = HttpClient(Given(f"http://127.0.0.1:{port}", timeout=10).context(), Redactor())
        played = Player(GraphqlClient(http, "/graphql.json", read_errors))
        app.add_url_rule(
            "/graphql.json", "play", lambda: Response(played.next, content_type="application/json"), methods=["POST"]
        )
        yield played
        http.close()


TABLE: dict[str, str] = {
    "bulk-operations/bulk-operation-cancel-preserves-fields.json": "25 answers",
    "bulk-operations/bulk-operation-run-mutation-created-status.json": "9 answers, 1 user errors, first at no field",
    "bulk-operations/bulk-operation-run-query-concurrency-limit.json": "16 answers, 1 user errors, first at no field",
    "bulk-operations/bulk-operation-run-query-user-error-codes.json": "2 answers, 2 user errors, first at query",
    "bulk-operations/bulk-operation-run-query-validators.json": "8 answers, 9 user errors, first at query",
    "orders/fulfillment-create-multi-group.json": "51 answers, 11 user errors, first at fulfillment",
    "orders/fulfillment-create-preconditions.json": "49 answers, 15 user errors, first at fulfillment",
    "orders/fulfillment-state-preconditions.json": "12 answers",
    "orders/order-catalog-count-read.json": "4 answers",
    "orders/order-return-status-lifecycle.json": "47 answers",
    "orders/orderCancel-error-messages.json": "9 answers, 8 user errors, first at staffNote",
    "orders/orderCancel-parity.json": "3 answers",
    "orders/orderCancel-restock-refundMethod-parity.json": "3 answers",
    "orders/refund-create-attribution-validation.json": "6 answers, 2 refused, first RejectedError at line 2, column 44",
    "orders/refund-create-transactions-validation.json": "8 answers, 2 user errors, first at no field",
    "orders/return-quantity-validation.json": "21 answers, 10 user errors, first at input.returnLineItems.0.quantity",
    "orders/return-query-roots-recorded.json": "9 answers",
    "orders/return-reverse-logistics-recorded.json": "45 answers, 7 refused, first RejectedError at reverseDeliveryCreateWithShipping, 9 user errors, first at reverseFulfillmentOrderId",
    "products/inventory-activate-on-hand.json": "14 answers, 4 user errors, first at available",
    "products/inventory-adjust-ledger-document-validation.json": "13 answers, 4 user errors, first at input.changes.0.ledgerDocumentUri",
    "products/inventory-adjust-name-allowlist.json": "12 answers, 4 user errors, first at input.name",
    "products/inventory-adjust-on-hand-name-mirrors.json": "14 answers",
    "products/inventory-adjust-zero-delta-noop.json": "10 answers",
    "products/inventory-deactivate-validation-2026-04.json": "41 answers, 2 refused, first RejectedError at mutation InventoryDeactivateValidationActivateCodeSelection.inventoryActivate.userErrors.code, 4 user errors, first at no field",
    "products/inventory-existence-validation.json": "1 answers, 2 user errors, first at input.changes.0.inventoryItemId",
    "products/inventory-inactive-level-lifecycle-2026-04.json": "12 answers",
    "products/inventory-item-levels-connection-windowing-2026-04.json": "15 answers",
    "products/inventory-live-hybrid-cold-authoritative-reads.json": "4 answers",
    "products/inventory-move-adjustment-group-shape.json": "5 answers",
    "products/inventory-quantity-contracts-2026-04.json": "29 answers, 7 refused, first RejectedError at inventorySetQuantities, 12 user errors, first at input.quantities.0.inventoryItemId",
    "products/inventory-reason-validation.json": "25 answers, 5 user errors, first at input.reason",
    "products/inventorySetQuantities-name-validation.json": "25 answers, 5 user errors, first at input.name",
    "products/inventorySetQuantities-quantity-bounds.json": "15 answers, 2 user errors, first at input.quantities.0.quantity",
    "shipping-fulfillments/fulfillment-detail-events-lifecycle.json": "9 answers",
    "shipping-fulfillments/fulfillment-event-create-validation.json": "16 answers, 2 refused, first RejectedError at mutation FulfillmentEventCreateCodeSelection.fulfillmentEventCreate.userErrors.code, 1 user errors, first at fulfillmentEvent.fulfillmentId",
    "shipping-fulfillments/fulfillment-order-batch-atomicity.json": "26 answers, 2 user errors, first at no field",
    "shipping-fulfillments/fulfillment-order-close-state.json": "9 answers",
    "shipping-fulfillments/fulfillment-order-hold-multi-line.json": "6 answers, 1 refused, first RejectedError at fulfillmentOrderHold.fulfillmentOrder.fulfillmentHolds.0.heldByApp",
    "shipping-fulfillments/fulfillment-order-lifecycle.json": "68 answers, 13 refused, first RejectedError at fulfillmentOrderHold, 7 user errors, first at no field",
    "shipping-fulfillments/fulfillment-order-move-multi-line.json": "7 answers",
    "shipping-fulfillments/fulfillment-order-release-hold-selective.json": "9 answers",
    "shipping-fulfillments/fulfillment-order-request-lifecycle.json": "11 answers",
    "shipping-fulfillments/fulfillment-order-split-multi.json": "11 answers, 3 user errors, first at fulfillmentOrderSplits.0.fulfillmentOrderLineItems",
    "shipping-fulfillments/fulfillment-top-level-reads.json": "8 answers, 1 refused, first RejectedError at assignedFulfillmentOrders",
    "webhooks/webhook-subscription-api-version-projection.json": "8 answers",
    "webhooks/webhook-subscription-conformance.json": "33 answers, 2 refused, first RejectedError at mutation MissingCreateWebhookTopic.webhookSubscriptionCreate, 9 user errors, first at webhookSubscription",
    "webhooks/webhook-subscription-list-connection.json": "14 answers, 1 refused, first RejectedError at query InvalidWebhookSubscriptionSortKey.webhookSubscriptions.sortKey",
    "webhooks/webhook-subscription-uri-validation.json": "4 answers, 4 user errors, first at webhookSubscription.callbackUrl",
}  # fmt: skip


def test_every_recording_is_in_the_table() -> None:
    assert {f"recorded-2026-04/{name}" for name in TABLE} | {"admin-graphql-2026-04.schema.graphql"} == files_of(
        "shopify"
    )


@pytest.mark.parametrize("name", list(TABLE))
def test_every_recording_is_read_or_refused_with_its_place(player: Player, name: str) -> None:
    assert player.result_of(name) == TABLE[name]
