"""A vendor that nobody wrote a connector for: a small REST system on loopback, and a manifest of it."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from tests.controlplane.connectors.scripted import Asked, Reply

MANIFEST = """
title: Acme
access: {kind: bearer}
options: [currency]
optional: {currency: EUR}
ping: {path: /v1/me}
errors:
  - {when: "error.code == 'BUSY'", means: throttled, wait: error.wait, detail: error.message}
  - {when: error, detail: error.message}
reads:
  - entity: stock
    request: {path: /v1/stock, params: {limit: size, cursor: page, updated_since: since, kind: {value: sellable}}}
    records: data.rows
    paging: {kind: token, token: data.next, size: 2}
    identity: id
    since: {field: changed, overlap: 5m}
    messages:
      - type: stock.level
        version: changed
        fields:
          sku: {path: article, code: sku}
          location: {path: place, code: location}
          on_hand: {path: count, as: integer}
          allocated: {path: held, as: integer, default: 0}
          available: {path: free, as: integer}
          in_transit: 0
          source_at: {path: changed, as: instant}
    levels:
      sku: {path: article, code: sku}
      location: {path: place, code: location}
      on_hand: count
      available: free
      source_at: {path: changed, as: instant}
  - entity: orders
    request: {path: /v1/orders, params: {updated_since: since}}
    records: data
    identity: number
    since: {field: changed, form: unix}
    messages:
      - type: order.placed
        status: {path: state, told: [PAID], ignored: [CART, VOID]}
        occurred_at: {path: placed, as: unix}
        fields:
          ref: number
          native_id: {path: id, as: text}
          placed_at: {path: placed, as: unix}
          currency: {option: currency}
          lines:
            each: lines
            fields:
              line: item.no
              native_id: {path: item.id, as: text}
              sku: {path: item.article, code: sku}
              location: {value: WH1}
              quantity: item.pieces
              unit_price: {path: item.cents, as: decimal, scale: 2}
writes:
  - entity: shipment
    message_types: [shipment.shipped]
    guarantee: keyed
    late_effect: 20s
    request:
      method: POST
      path: /v1/orders/{payload.order_ref}/shipments
      headers: {Idempotency-Key: key}
      body:
        fields:
          number: ref
          carrier: {path: payload.carrier, map: {dhl: DHL_PARCEL, ups: UPS_GROUND}}
          lines:
            each: payload.lines
            fields: {article: {path: item.sku, code: sku}, pieces: item.quantity}
    answers: {409: already_delivered, 423: unavailable}
    native_id: id
    lookup:
      request: {path: "/v1/shipments/{ref}"}
      found: id
      id: id
      at: created
  - entity: available
    message_types: [stock.offer]
    guarantee: conditional
    request:
      method: PUT
      path: /v1/offers/{payload.sku}
      body: {fields: {free: payload.quantity}}
    answers: {412: stale}
    condition: {request: {path: "/v1/offers/{payload.sku}"}, current: free}
"""


def manifest(**changes: Any) -> dict[str, Any]:
    """The manifest, with parts of it changed by their dotted path."""
    found: dict[str, Any] = yaml.safe_load(MANIFEST)
    for path, value in changes.items():
        put(found, path.split("__"), value)
    return found


def put(within: Any, path: list[str], value: Any) -> None:
    """Change one part; None takes it out."""
    *before, last = [int(part) if part.isdigit() else part for part in path]
    for part in before:
        within = within[part]
    if value is None:
        within.pop(last)
    else:
        within[last] = copy.deepcopy(value)


def row(number: int, *, changed: str = "2026-11-27T05:00:00Z", **more: Any) -> dict[str, Any]:
    """A stock row."""
    return {
        "id": number,
        "article": f"A{number}",
        "place": "WH1",
        "count": 10 + number,
        "free": number,
        "changed": changed,
        **more,
    }


def order(number: str, state: str = "PAID", **more: Any) -> dict[str, Any]:
    """An order."""
    line = {"no": 1, "id": 71, "article": "A1", "pieces": 2, "cents": 1999}
    at = 1_795_755_600
    return {"number": number, "id": 7, "state": state, "placed": at, "changed": at, "lines": [line], **more}


class Acme:
    """Stock in pages of two, orders, shipments by idempotency key, offers by ETag."""

    def __init__(self) -> None:
        self.rows = [row(number) for number in range(1, 6)]
        self.orders = [order("O-1")]
        self.shipments: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.offers: dict[str, int] = {"A1": 5}
        self.version = 1
        self.instead: Reply | None = None

    def __call__(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != "Bearer the-token-of-acme":
            return Reply(401)
        if self.instead:
            return self.instead
        if asked.path == "/v1/me":
            return Reply(body={"name": "acme"})
        if asked.path == "/v1/stock":
            return self._stock(asked)
        if asked.path == "/v1/orders":
            since = int(asked.query.get("updated_since", 0))
            return Reply(body={"data": [one for one in self.orders if one["changed"] >= since]})
        if asked.path.startswith("/v1/offers/"):
            return self._offer(asked)
        return self._shipment(asked)

    def _stock(self, asked: Asked) -> Reply:
        since = asked.query.get("updated_since", "")
        rows = [one for one in self.rows if one["changed"] >= since]
        at, size = int(asked.query.get("cursor", 0)), int(asked.query["limit"])
        following = str(at + size) if at + size < len(rows) else None
        return Reply(body={"data": {"rows": rows[at : at + size], "next": following}})

    def _shipment(self, asked: Asked) -> Reply:
        name = asked.path.rpartition("/")[2]
        if asked.method == "GET":
            found = self.shipments.get(name)
            return Reply(body=found) if found else Reply(404)
        key, body = asked.headers["idempotency-key"], asked.json()
        if key not in self.keys:
            self.keys[key] = body["number"]
            self.shipments[body["number"]] = {"id": f"S{len(self.keys)}", "created": "2026-11-27T06:00:00Z", **body}
        return Reply(201, self.shipments[self.keys[key]])

    def _offer(self, asked: Asked) -> Reply:
        sku = asked.path.rpartition("/")[2]
        if asked.method == "GET":
            return Reply(body={"free": self.offers[sku]}, headers={"ETag": f'"{self.version}"'})
        if asked.headers.get("if-match") != f'"{self.version}"':
            return Reply(412)
        self.offers[sku] = asked.json()["free"]
        self.version += 1
        return Reply(204, b"")
