"""The SAP connector against mock-sap, a stand-in of S/4HANA that somebody else wrote, as far as its surface goes.

What goes: sales orders (read, looked up by their reference, made with a CSRF token, in pages, with `$batch`), and SAP's errors. What does
not is a table below: each is refused with its reason, and none of it is taken for done. TRUEUP_SAP_URL names a running one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.sap_s4.connector import SapS4Connector
from controlplane.connectors.contract import Write
from controlplane.connectors.odata_batch import Asked
from controlplane.errors import ConnectorError, RejectedError
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.test_sap_s4 import order, posting, receipt
from tests.integration.real.systems import Mocks

pytestmark = pytest.mark.timeout(300)
PARTY, MATERIAL, HERE = "1000006", "MZ-FG-C100", "1710/171A"
OPTIONS = {
    "sales_organization": "1710", "distribution_channel": "10", "division": "00", "sold_to_party": PARTY,
    "company_code": "1710", "locations": [HERE],
}  # fmt: skip


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("TRUEUP_SAP_URL")
    if given:
        return given
    mocks: Mocks = request.getfixturevalue("mocks")
    return mocks.sap


@pytest.fixture
def connector(url: str) -> Iterator[SapS4Connector]:
    clock = ManualClock(datetime.now(UTC), pace=1.0)
    given = Given(url, options=OPTIONS, secrets={"user": "user", "password": "password"}, timeout=30, clock=clock)
    made = SapS4Connector(given.context())
    yield made
    made.close()


def ordered(ref: str) -> Write:
    made = order(ref, MATERIAL, 2)
    [line] = made.payload["lines"]
    return replace(made, payload={**made.payload, "lines": [{**line, "location": HERE}]})


def book(connector: SapS4Connector, ref: str) -> str:
    """Somebody books an order there, without what this stand-in has no word for."""
    items = [{"Material": MATERIAL, "RequestedQuantity": "2"}]
    body: dict[str, Any] = {
        "SalesOrderType": "OR", "SalesOrganization": "1710", "DistributionChannel": "10", "OrganizationDivision": "00",
        "SoldToParty": PARTY, "PurchaseOrderByCustomer": ref, "to_Item": {"results": items},
    }  # fmt: skip
    made, _ = connector._api.orders.create("/A_SalesOrder", body)
    return str(made["SalesOrder"])


def test_an_order_is_found_by_its_reference_and_is_not_written_again(connector: SapS4Connector) -> None:
    ref = f"TU-{uuid4().hex[:8]}"
    assert connector.read_back(ordered(ref)).result is Result.ABSENT
    number = book(connector, ref)
    found = connector.read_back(ordered(ref))
    assert (found.result, found.native_id) == (Result.ALREADY_DELIVERED, number)
    assert connector.write(ordered(ref)).result is Result.ALREADY_DELIVERED
    [one, other] = connector.write_many([ordered(ref), ordered(f"{ref}-B")])
    assert one.result is Result.ALREADY_DELIVERED
    assert other.result is Result.REJECTED


def test_a_batch_answers_each_of_its_parts(connector: SapS4Connector) -> None:
    asked = [Asked("GET", "A_SalesOrder?$top=1"), Asked("GET", "A_SalesOrder('99999')")]
    replies, _ = connector._api.orders.batch(asked, write=False)
    assert [reply.status for reply in replies] == [200, 404]


def test_a_refusal_is_told_in_its_words(connector: SapS4Connector) -> None:
    with pytest.raises(RejectedError, match=r"Property 'Nonsense' does not exist .*\[/IWBEP/CX_MGW_BUSI_EXCEPTION\]"):
        connector._api.orders.create("/A_SalesOrder", {"SalesOrderType": "OR", "Nonsense": "1"})


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda one: one.ping(), "A_MaterialStock"),
        (lambda one: list(one.snapshot("inventory_balance")), "A_MaterialStock"),
        (lambda one: list(one.poll("items", None)), "to_Valuation"),
    ],
    ids=["stock is not served, which the ping reads", "stock is not served", "products without their valuation"],
)
def test_what_it_cannot_be_read_for_is_refused_and_is_never_nothing(
    connector: SapS4Connector, ask: Callable[[SapS4Connector], object], told: str
) -> None:
    with pytest.raises(ConnectorError, match=told):
        ask(connector)


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (ordered("TU-NEW"), "ProductionPlant"),
        (receipt("R-1"), "GoodsMovementCode"),
        (posting("order/1/revenue"), "A_JournalEntryItemBasic"),
    ],
    ids=["an order's plant", "goods movements", "journal entries, whose ledger is not served"],
)
def test_what_it_cannot_be_written_is_refused_with_its_reason(
    connector: SapS4Connector, write: Write, told: str
) -> None:
    known = replace(
        write, payload={**write.payload, "location": HERE} if "location" in write.payload else write.payload
    )
    outcome = connector.write(known)
    assert outcome.result is Result.REJECTED
    assert told in outcome.detail
