"""A manifest on trial: a shop that we have a connector for too, so that both stand before the same system."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import yaml

from controlplane.connectors.builtin.adobe_commerce.bench import PAGE, SOURCE, AdobeCommerceBench
from controlplane.connectors.conformance.bench import Place
from controlplane.connectors.contract import Connector
from controlplane.connectors.declared.connector import DeclaredConnector

MANIFEST = """
title: A shop by its manifest
access: {kind: bearer}
ping: {path: /rest/default/V1/store/storeConfigs}
reads:
  - entity: source_items
    request:
      path: /rest/default/V1/inventory/source-items
      params: {"searchCriteria[pageSize]": size, "searchCriteria[currentPage]": page}
    records: items
    paging: {kind: numbered, first: 1, size: SIZE, total: total_count}
    identity: sku
    levels: {sku: {path: sku, code: sku}, location: {path: source_code, code: location}, on_hand: {path: quantity, as: integer}}
  - entity: orders
    request:
      path: /rest/default/V1/orders
      params: {"searchCriteria[pageSize]": size, "searchCriteria[currentPage]": page}
    records: items
    paging: {kind: numbered, first: 1, size: SIZE, total: total_count}
    identity: increment_id
    messages:
      - type: order.placed
        status: {path: state, told: [processing, complete], ignored: [new, canceled]}
        occurred_at: {path: created_at, as: instant, zone: UTC}
        fields:
          ref: increment_id
          native_id: {path: entity_id, as: text}
          placed_at: {path: created_at, as: instant, zone: UTC}
          currency: order_currency_code
          lines:
            each: items
            fields:
              line: {path: "item.item_id", as: integer}
              native_id: {path: item.item_id, as: text}
              sku: {path: item.sku, code: sku}
              location: {value: SOURCE}
              quantity: {path: item.qty_ordered, as: integer}
              unit_price: {path: item.row_total, as: decimal}
writes:
  - entity: source_item
    message_types: [stock.level]
    guarantee: readable
    request:
      method: POST
      path: /rest/default/V1/inventory/source-items
      body:
        fields:
          sourceItems:
            each: "[payload]"
            fields:
              sku: {path: item.sku, code: sku}
              source_code: {path: item.location, code: location}
              quantity: item.on_hand
              status: 1
    lookup:
      request:
        path: /rest/default/V1/inventory/source-items
        params:
          "searchCriteria[filterGroups][0][filters][0][field]": {value: sku}
          "searchCriteria[filterGroups][0][filters][0][value]": {path: payload.sku, code: sku}
          "searchCriteria[filterGroups][0][filters][0][conditionType]": {value: eq}
      found: "items[?quantity == `91`]"
"""


class DeclaredBench(AdobeCommerceBench):
    """The same shop as the connector's own bench has, read and written by a manifest alone."""

    connector: ClassVar[type[Connector]] = DeclaredConnector
    against = "a simulated store, by a manifest"
    enums: ClassVar = {"orders": ("state",)}

    def start(self, folder: Path) -> Place:
        """Start an empty store."""
        place = super().start(folder)
        manifest = yaml.safe_load(MANIFEST.replace("SIZE", str(PAGE)).replace("SOURCE", SOURCE))
        return Place(place.endpoint, {"token": "integration"}, {"manifest": manifest})
