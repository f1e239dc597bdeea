"""A connector to a running Vendure, and somebody who buys there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.vendure.connector import VendureConnector
from tests.controlplane.connectors.conftest import Given
from tests.integration.real.systems import Shop

ERROR = "... on ErrorResult { errorCode message }"


def connector_of(shop: Shop, channel: str = "", **given: object) -> VendureConnector:
    """Return a connector to the shop; its two stock locations are called as their ids are."""
    made = Given(
        shop.url,
        secrets={"user": "superadmin", "password": shop.password},
        options={"locations": ["1", "2"], "channel": channel},
        timeout=60,
        clock=ManualClock(datetime.now(UTC), pace=1.0),
        **given,
    )
    return VendureConnector(made.context())


class Customer:
    """Somebody who buys in the shop."""

    def __init__(self, shop: Shop) -> None:
        self._http = httpx.Client(base_url=shop.url, trust_env=False, timeout=60)
        self._headers: dict[str, str] = {}

    def ask(self, query: str, **variables: Any) -> Any:
        """Send one operation to the Shop API; return what its one field holds."""
        answer = self._http.post("/shop-api", json={"query": query, "variables": variables}, headers=self._headers)
        if "vendure-auth-token" in answer.headers:
            self._headers = {"Authorization": f"Bearer {answer.headers['vendure-auth-token']}"}
        told = answer.json()
        assert "errors" not in told, told
        found = next(iter(told["data"].values()))
        assert not (isinstance(found, dict) and found.get("errorCode")), found
        return found

    def buy(self, *lines: tuple[str, int]) -> str:
        """Order so many of each variant (id), and pay; return the order's code."""
        for variant, quantity in lines:
            add = (
                "mutation($v: ID!, $q: Int!) { addItemToOrder(productVariantId: $v, quantity: $q) "
                f"{{ ... on Order {{ code }} {ERROR} }} }}"
            )
            self.ask(add, v=variant, q=quantity)
        who = {"firstName": "Test", "lastName": "Buyer", "emailAddress": f"{id(self)}@example.test"}
        self.ask(
            f"mutation($i: CreateCustomerInput!) {{ setCustomerForOrder(input: $i) {{ ... on Order {{ code }} {ERROR} }} }}",
            i=who,
        )
        where = {
            "fullName": "Test Buyer",
            "streetLine1": "1 Test Street",
            "city": "Berlin",
            "postalCode": "10115",
            "countryCode": "DE",
        }
        self.ask(
            f"mutation($i: CreateAddressInput!) {{ setOrderShippingAddress(input: $i) {{ ... on Order {{ code }} {ERROR} }} }}",
            i=where,
        )
        method = self.ask("{ eligibleShippingMethods { id } }")[0]["id"]
        self.ask(
            f"mutation($m: [ID!]!) {{ setOrderShippingMethod(shippingMethodId: $m) {{ ... on Order {{ code }} {ERROR} }} }}",
            m=[method],
        )
        self.ask(
            'mutation { transitionOrderToState(state: "ArrangingPayment") { ... on Order { code } '
            "... on OrderStateTransitionError { errorCode message } } }"
        )
        pay = self.ask("{ eligiblePaymentMethods { code } }")[0]["code"]
        paid = self.ask(
            f"mutation($i: PaymentInput!) {{ addPaymentToOrder(input: $i) {{ ... on Order {{ code state }} {ERROR} }} }}",
            i={"method": pay, "metadata": {}},
        )
        return str(paid["code"])
