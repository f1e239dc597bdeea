"""A running Vendure: found by TRUEUP_VENDURE_URL (user superadmin, TRUEUP_VENDURE_PASSWORD), or brought up by the script beside us."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.vendure.connector import VendureConnector
from tests.controlplane.connectors.conftest import Given

SHARED = Path(os.environ.get("TRUEUP_SHARED") or Path(__file__).parents[2].parent / "shared")
SCRIPT = SHARED / "real" / "vendure_up.sh"
ERROR = "... on ErrorResult { errorCode message }"


class Shop(NamedTuple):
    """Where a Vendure answers."""

    url: str
    password: str


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    given, password = os.environ.get("TRUEUP_VENDURE_URL"), os.environ.get("TRUEUP_VENDURE_PASSWORD", "vendure-demo")
    if given:
        yield Shop(given, password)
        return
    if not SCRIPT.exists():
        pytest.skip(f"no Vendure: set TRUEUP_VENDURE_URL to one, or TRUEUP_SHARED to the folder with {SCRIPT.name}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = tmp_path_factory.mktemp("vendure")
    environment = os.environ | {"VENDURE_PORT": str(port), "VENDURE_PASSWORD": password}
    up = subprocess.run(["bash", SCRIPT, "up", work], env=environment, capture_output=True, text=True, timeout=800)
    try:
        if up.returncode:
            pytest.skip(f"Vendure could not be brought up (are node and its registry there?): {up.stderr[-300:]}")
        yield Shop(f"http://127.0.0.1:{port}", password)
    finally:
        subprocess.run(["bash", SCRIPT, "down", work], env=environment, check=False, timeout=60)


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
