"""The vendor's own schema and recorded answers, read from beside the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import refusal
from controlplane.connectors.builtin.shopify.stock import delivered
from controlplane.connectors.http import Answer
from tests.controlplane.connectors.conftest import START

SHARED = Path(os.environ.get("TRUEUP_SHARED") or Path(__file__).parents[3].parent / "shared")
SPECS = SHARED / "specs" / "shopify"
pytestmark = pytest.mark.skipif(
    not SPECS.is_dir(), reason=f"no vendor contracts at {SPECS}: set TRUEUP_SHARED to the folder that holds specs/"
)


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    text = (SPECS / "admin-graphql-2026-04.schema.graphql").read_text(encoding="utf-8")
    # the vendor deprecates fields of types whose interfaces keep them, which graphql-core would refuse
    return build_schema(text, assume_valid=True)


@pytest.mark.parametrize("document", documents.ALL, ids=lambda text: text.split("(")[0].split()[1])
def test_every_document_is_valid_against_the_vendor_s_schema(schema: GraphQLSchema, document: str) -> None:
    assert validate(schema, parse(document)) == []


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SPECS / "recorded-2026-04" / name).read_text(encoding="utf-8"))
    return found


def answer(body: dict[str, Any]) -> Answer:
    return Answer(200, {}, json.dumps(body).encode(), START, START, wrote=True)


def test_a_recorded_success_is_read_with_the_vendor_s_time() -> None:
    body = recorded("products/inventory-quantity-contracts-2026-04.json")["inventorySetQuantities"]["response"]
    group = body["data"]["inventorySetQuantities"]["inventoryAdjustmentGroup"]
    outcome = delivered(group, 0, 5, answer(body))
    assert outcome.target_at is not None
    assert outcome.target_at.isoformat() == "2026-06-25T01:33:55+00:00"
    assert (outcome.native_id, outcome.evidence["to"]) == ("gid://shopify/InventoryAdjustmentGroup/54640716251442", 5)


def test_a_recorded_refusal_is_shown_with_code_and_place() -> None:
    cases = recorded("products/inventorySetQuantities-quantity-bounds.json")["cases"]
    errors = cases["onHandNegative"]["response"]["data"]["inventorySetQuantities"]["userErrors"]
    assert "INVALID_QUANTITY_NEGATIVE" in refusal(errors)
    assert "quantities" in refusal(errors)


def test_the_fields_we_send_are_those_the_vendor_lists() -> None:
    listed = recorded("products/inventory-quantity-contracts-2026-04.json")["schema"]["data"]
    names = {field["name"] for field in listed["inventorySetQuantityInput"]["inputFields"]}
    assert names == {"inventoryItemId", "locationId", "quantity", "changeFromQuantity"}
