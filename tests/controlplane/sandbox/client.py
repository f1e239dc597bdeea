"""A small client of the sandbox for its own tests, and a plane that only listens."""

import secrets as tokens
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from flask import Flask, Response, request

from controlplane.api.serving import serving
from controlplane.sandbox.erp.oauth import base_string, signature

SHOP = "/shop/admin/api/2026-04/graphql.json"
REST = "/erp/services/rest"


class Client:
    """Speaks every protocol of one sandbox. `home` is where its secrets lie."""

    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home = url, home
        self.http = httpx.Client(base_url=url, timeout=10, trust_env=False)
        self._token = ""

    def secret(self, name: str) -> str:
        return (self.home / "secrets" / name).read_text()

    # --- control ---
    def control(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.http.request(method, f"/control{path}", json=body, headers={"X-Sandbox": "control"})

    def advance(self, to: str) -> dict[str, Any]:
        answer = self.control("POST", "/advance", {"to": to})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def journal(self, *kinds: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        after = 0
        while True:
            page = self.control("GET", f"/journal?after={after}&limit=5000").json()
            if not page["events"]:
                return [event for event in events if not kinds or event["kind"] in kinds]
            events += page["events"]
            after = page["next"]

    def truth(self, sku: str, location: str = "WH1") -> dict[str, Any]:
        rows = self.control("GET", "/truth").json()
        return next(row for row in rows if row["sku"] == sku and row["location"] == location)

    def order(self, *lines: tuple[str, int]) -> str:
        answer = self.control("POST", "/order", {"lines": [{"sku": sku, "quantity": n} for sku, n in lines]})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["order"])

    def fault(self, **spec: Any) -> str:
        answer = self.control("POST", "/faults", spec)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    # --- erp ---
    def erp_header(self, method: str, path: str, **changed: str) -> str:
        oauth = {
            "realm": "SANDBOX_SB1",
            "oauth_consumer_key": self.secret("erp_consumer_key"),
            "oauth_token": self.secret("erp_token_id"),
            "oauth_signature_method": "HMAC-SHA256",
            "oauth_timestamp": str(int(time.time())),
            "oauth_nonce": tokens.token_hex(8),
            "oauth_version": "1.0",
        } | changed
        text = base_string(method, self.url + path, oauth)
        oauth["oauth_signature"] = signature(text, self.secret("erp_consumer_secret"), self.secret("erp_token_secret"))
        return "OAuth " + ", ".join(f'{name}="{quote(value, safe="")}"' for name, value in oauth.items())

    def erp(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        full = REST + path
        signed = {"Authorization": self.erp_header(method, full), "Prefer": "transient"} | headers
        return self.http.request(method, full, json=body, headers=signed)

    def put(self, kind: str, external_id: str, body: Any) -> httpx.Response:
        return self.erp("PUT", f"/record/v1/{kind}/eid:{quote(external_id, safe='')}", body)

    def suiteql(self, text: str, limit: int = 1000, offset: int = 0) -> dict[str, Any]:
        answer = self.erp("POST", f"/query/v1/suiteql?limit={limit}&offset={offset}", {"q": text})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    # --- wms ---
    def wms(self, query: str, **variables: Any) -> dict[str, Any]:
        if not self._token:
            given = {"refresh_token": self.secret("wms_refresh_token")}
            self._token = self.http.post("/wms/auth/refresh", json=given).json()["access_token"]
        head = {"Authorization": f"Bearer {self._token}"}
        return dict(self.http.post("/wms/graphql", json={"query": query, "variables": variables}, headers=head).json())

    def bring_to_warehouse(self, name: str, *lines: tuple[str, int]) -> dict[str, Any]:
        goods = [{"sku": sku, "quantity": n, "partner_line_item_id": f"L{at}"} for at, (sku, n) in enumerate(lines)]
        query = """mutation ($data: CreateOrderInput!) { order_create(data: $data) { request_id complexity order {
          id order_number partner_order_id created_at fulfillment_status line_items { sku quantity_allocated } } } }"""
        return self.wms(query, data={"order_number": name, "partner_order_id": None, "line_items": goods})

    # --- shop ---
    def shop(self, query: str, /, **variables: Any) -> dict[str, Any]:
        head = {"X-Shopify-Access-Token": self.secret("shop_access_token")}
        return dict(self.http.post(SHOP, json={"query": query, "variables": variables}, headers=head).json())

    def start_bulk(self, lines: list[str], mutation: str) -> dict[str, Any]:
        """Upload the lines and start a bulk operation; answers what the shop said to it."""
        given = {
            "resource": "BULK_MUTATION_VARIABLES",
            "filename": "l.jsonl",
            "mimeType": "text/jsonl",
            "httpMethod": "POST",
        }
        stage = (
            "mutation ($i: [StagedUploadInput!]!) { stagedUploadsCreate(input: $i) "
            "{ stagedTargets { url parameters { name value } } userErrors { field message } } }"
        )
        [target] = self.shop(stage, i=[given])["data"]["stagedUploadsCreate"]["stagedTargets"]
        fields = {one["name"]: one["value"] for one in target["parameters"]}
        sent = self.http.post(target["url"], data=fields, files={"file": ("l.jsonl", "\n".join(lines).encode())})
        assert sent.status_code == 201, sent.text
        run = (
            "mutation ($m: String!, $p: String!) { bulkOperationRunMutation(mutation: $m, stagedUploadPath: $p) "
            "{ bulkOperation { id status url } userErrors { field message code } } }"
        )
        return dict(self.shop(run, m=mutation, p=fields["key"])["data"]["bulkOperationRunMutation"])

    def item_id(self, sku: str) -> str:
        found = self.shop("query ($q: String) { inventoryItems(first: 1, query: $q) { nodes { id } } }", q=f"sku:{sku}")
        return str(found["data"]["inventoryItems"]["nodes"][0]["id"])

    def location_id(self) -> str:
        return str(self.shop("{ locations(first: 5) { nodes { id name } } }")["data"]["locations"]["nodes"][0]["id"])

    def set_stock(self, sku: str, quantity: int, expected: int | None, key: str, **more: Any) -> dict[str, Any]:
        line = {
            "inventoryItemId": self.item_id(sku),
            "locationId": self.location_id(),
            "quantity": quantity,
            "changeFromQuantity": expected,
        }
        given = {"name": "available", "reason": "correction", "quantities": [line]} | more
        return self.shop(SET, input=given, key=key)


SET = """mutation ($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id createdAt reason referenceDocumentUri
      changes { name delta quantityAfterChange item { id } location { id name } } }
    userErrors { field message code } } }"""


@dataclass
class Listener:
    """A plane that takes webhooks and remembers them; `answer` decides the status by attempt number."""

    url: str = ""
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[int], int] = lambda _: 200

    def topics(self) -> list[str]:
        return [head.get("X-Shopify-Topic") or request_topic(body) for _, head, body in self.got]

    @contextmanager
    def listening(self) -> Iterator[None]:
        app = Flask("listener")

        @app.post("/hooks/<system>")
        def hook(system: str) -> Response:
            self.got.append((system, dict(request.headers), request.get_data()))
            return Response(status=self.answer(len(self.got)))

        with serving(app, "listener", host="127.0.0.1", port=0, threads=4) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield


def request_topic(body: bytes) -> str:
    """The warehouse names the topic in the body."""
    text = body.decode()
    return text.split('"webhook_type":"')[1].split('"')[0] if "webhook_type" in text else ""
