"""Vendure on trial, against a running shop that TRUEUP_VENDURE_URL names (user superadmin, the demo's variants)."""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx

from controlplane.connectors.builtin.vendure.connector import VendureConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.contract import Connector, Record, Write

PLACES = ("1", "2")
"""Ids of the demo's two stock locations."""
OFFERED, SOLD = "SKU-0021", "SKU-0022"
MOST = 1000
ERROR = "... on ErrorResult { errorCode message }"
VARIANTS = """
query($p: String!) { productVariants(options: {take: 1000, filter: {sku: {contains: $p}}}) { items {
  id sku stockLevels { stockLocationId } } } }"""
LEVELS = "query($id: ID!) { productVariant(id: $id) { stockLevels { stockLocationId stockOnHand stockAllocated } } }"
MOVED = "query($id: ID!) { productVariant(id: $id) { stockMovements(options: {take: 1000}) { items { ... on StockMovement { type } } } } }"
ORDERS = "query { orders(options: {take: 1000, filter: {active: {eq: false}}}) { items { code state } } }"
FULFILLED = "query($c: String!) { orders(options: {filter: {code: {eq: $c}}}) { items { fulfillments { state trackingCode } } } }"
ADD = f"mutation($v: ID!, $n: Int!) {{ addItemToOrder(productVariantId: $v, quantity: $n) {{ ... on Order {{ code }} {ERROR} }} }}"
WHO = f"mutation($i: CreateCustomerInput!) {{ setCustomerForOrder(input: $i) {{ ... on Order {{ code }} {ERROR} }} }}"
WHERE = (
    f"mutation($i: CreateAddressInput!) {{ setOrderShippingAddress(input: $i) {{ ... on Order {{ code }} {ERROR} }} }}"
)
HOW = f"mutation($m: [ID!]!) {{ setOrderShippingMethod(shippingMethodId: $m) {{ ... on Order {{ code }} {ERROR} }} }}"
READY = """
mutation { transitionOrderToState(state: "ArrangingPayment") {
  ... on Order { code } ... on OrderStateTransitionError { errorCode } } }"""
PAY = f"mutation($i: PaymentInput!) {{ addPaymentToOrder(input: $i) {{ ... on Order {{ code state }} {ERROR} }} }}"


class VendureBench(Bench):
    """The shop's own lists tell what is there; somebody buys in it as a visitor does."""

    connector: ClassVar[type[Connector]] = VendureConnector
    against = "a running Vendure"
    enums: ClassVar = {"orders": ("state",)}

    def start(self, folder: Path) -> Place:
        """Sign in at the shop."""
        url, password = os.environ.get("TRUEUP_VENDURE_URL"), os.environ.get("TRUEUP_VENDURE_PASSWORD", "vendure-demo")
        if not url:
            raise NotApplicable("no Vendure: set TRUEUP_VENDURE_URL to a test shop, and TRUEUP_VENDURE_PASSWORD")
        self._url, self._admin = url, httpx.Client(base_url=url, trust_env=False, timeout=60)
        login = "mutation($u: String!, $p: String!) { login(username: $u, password: $p) { __typename } }"
        self._ask(self._admin, "/admin-api", login, u="superadmin", p=password)
        self._before: dict[str, int] = {}
        return Place(url, {"user": "superadmin", "password": password}, {"locations": list(PLACES)})

    def stop(self) -> None:
        """Leave the shop running; it is somebody else's."""
        if hasattr(self, "_admin"):
            self._admin.close()

    def _ask(self, http: httpx.Client, path: str, document: str, **variables: Any) -> Any:
        answer = http.post(path, json={"query": document, "variables": variables})
        if token := answer.headers.get("vendure-auth-token"):
            http.headers["Authorization"] = f"Bearer {token}"
        told = answer.json()
        found = next(iter((told.get("data") or {}).values()), None)
        if told.get("errors") or (isinstance(found, dict) and found.get("errorCode")):
            raise RuntimeError(f"{document[:60]}: {told}")
        return found

    def _variants(self, part: str) -> list[dict[str, Any]]:
        return list(self._ask(self._admin, "/admin-api", VARIANTS, p=part)["items"])

    def _variant(self, sku: str) -> str:
        return next(str(one["id"]) for one in self._variants(sku) if one["sku"] == sku)

    # --- reading ---
    def things(self, entity: str, at_least: int) -> set[str]:
        """Return what the shop has; orders are placed until there are enough."""
        if entity == "levels":
            rows = [(one["sku"], kept["stockLocationId"]) for one in self._variants("") for kept in one["stockLevels"]]
            return {f"{sku}@{place}" for sku, place in rows if place in PLACES}
        found = self._orders()
        for _ in range(at_least - len(found)):
            self._buy()
        return self._orders()

    def _orders(self) -> set[str]:
        rows = self._ask(self._admin, "/admin-api", ORDERS)["items"]
        return {
            str(one["code"])
            for one in rows
            if one["state"] not in ("Cancelled", "Draft", "AddingItems", "ArrangingPayment")
        }

    def _buy(self) -> str:
        """Order one piece as a visitor, and pay; return the order's code."""
        with httpx.Client(base_url=self._url, trust_env=False, timeout=60) as visitor:

            def ask(document: str, **variables: Any) -> Any:
                return self._ask(visitor, "/shop-api", document, **variables)

            ask(ADD, v=self._variant(SOLD), n=1)
            ask(WHO, i={"firstName": "Test", "lastName": "Buyer", "emailAddress": f"{uuid.uuid4().hex}@example.test"})
            ask(WHERE, i={"streetLine1": "1 Test Street", "city": "Berlin", "postalCode": "10115", "countryCode": "DE"})
            ask(HOW, m=[ask("{ eligibleShippingMethods { id } }")[0]["id"]])
            ask(READY)
            method = ask("{ eligiblePaymentMethods { code } }")[0]["code"]
            return str(ask(PAY, i={"method": method, "metadata": {}})["code"])

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the order's code."""
        return {str(json.loads(record.body)["code"])}

    def stir(self, entity: str) -> None:
        """Somebody buys; a level is left as it is, for what is sold moves one that is read."""
        if entity == "orders":
            self._buy()

    # --- writing ---
    def write(self, entity: str) -> Write:
        """Return an offer of one piece more, a shipment of a new order, or an item that is not there."""
        made = uuid.uuid4().hex[:8]
        if entity == "available":
            return self._offer(made)
        if entity == "product":
            sku = f"CONF-{made}"
            item = {
                "sku": sku, "title": f"Article {made}", "unit_cost": None, "unit_price": "12.34", "currency": "USD", "active": True,
            }  # fmt: skip
            return Write(entity, sku, f"delivery-{made}", item, sku)
        payload: dict[str, Any] = {
            "shipment": f"S-{made}", "order_ref": self._buy(), "location": PLACES[0], "shipped_at": datetime.now(UTC).isoformat(),
            "carrier": "DHL", "tracking": "", "lines": [{"sku": SOLD, "quantity": 1}],
        }  # fmt: skip
        return Write(entity, f"S-{made}", f"delivery-{made}", payload, f"S-{made}")

    def _offer(self, made: str) -> Write:
        identity = self._variant(OFFERED)
        levels = self._ask(self._admin, "/admin-api", LEVELS, id=identity)["stockLevels"]
        held = next(one for one in levels if one["stockLocationId"] == PLACES[0])
        shown = int(held["stockOnHand"]) - int(held["stockAllocated"])
        self._before[made] = self._movements()
        payload = {
            "sku": OFFERED, "location": PLACES[0], "channel": "vendure", "quantity": shown + 1, "expected": shown,
        }  # fmt: skip
        return Write("available", f"{OFFERED}@{PLACES[0]}", made, payload, f"{OFFERED}@{PLACES[0]}")

    def _movements(self) -> int:
        rows = self._ask(self._admin, "/admin-api", MOVED, id=self._variant(OFFERED))["stockMovements"]["items"]
        return sum(one.get("type") == "ADJUSTMENT" for one in rows)

    def effects(self, request: Write) -> int:
        """Count the shop's own movements of the level, the shipped fulfilments with our mark, or the variants with the SKU."""
        if request.entity == "available":
            return self._movements() - self._before.get(request.idempotency_key, 0)
        if request.entity == "product":
            return sum(one["sku"] == request.payload["sku"] for one in self._variants(str(request.payload["sku"])))
        [order] = self._ask(self._admin, "/admin-api", FULFILLED, c=request.payload["order_ref"])["items"]
        marks = [one["trackingCode"] for one in order["fulfillments"] or () if one["state"] == "Shipped"]
        return marks.count(request.payload["shipment"])

    def refused(self, entity: str) -> Write:
        """Return what the shop does not have, or does not take."""
        good = self.write(entity)
        wrong: dict[str, dict[str, Any]] = {
            "available": {"sku": "NONE"}, "fulfillment": {"lines": [{"sku": "NONE", "quantity": 1}]}, "product": {"currency": "XXX"},
        }  # fmt: skip
        return Write(entity, good.subject, good.idempotency_key, {**good.payload, **wrong[entity]}, good.business_ref)

    def is_write(self, asked: Asked) -> bool:
        """Everything is posted to one address; a login is no write."""
        return b"mutation" in asked.body and b"login(" not in asked.body

    def is_read(self, asked: Asked) -> bool:
        """A login is none."""
        return b"mutation" not in asked.body
