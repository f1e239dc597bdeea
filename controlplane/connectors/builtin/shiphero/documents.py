"""The GraphQL documents. Field names after the vendor's prose; there is no published schema to check them against."""

from __future__ import annotations

PING = "query Ping { warehouse_products { request_id complexity data(first: 1) { edges { node { sku } } } } }"

INVENTORY = """
query Inventory($first: Int, $after: String, $warehouse: String, $sku: String, $since: ISODateTime) {
  warehouse_products(warehouse_id: $warehouse, sku: $sku, updated_from: $since) {
    request_id
    complexity
    data(first: $first, after: $after) {
      edges { node { sku warehouse_id on_hand allocated available backorder on_order updated_at } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

SHIPMENTS = """
query Shipments($first: Int, $after: String, $since: ISODateTime) {
  shipments(date_from: $since) {
    request_id
    complexity
    data(first: $first, after: $after) {
      edges {
        node { id order_number partner_order_id warehouse_id carrier tracking_number shipped_at line_items { sku quantity } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

PURCHASE_ORDERS = """
query PurchaseOrders($first: Int, $after: String, $since: ISODateTime) {
  purchase_orders(updated_from: $since) {
    request_id
    complexity
    data(first: $first, after: $after) {
      edges { node { id po_number warehouse_id updated_at receipts { id received_at sku quantity } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

RETURNS = """
query Returns($first: Int, $after: String, $since: ISODateTime) {
  returns(date_from: $since) {
    request_id
    complexity
    data(first: $first, after: $after) {
      edges { node { id order_number warehouse_id status received_at line_items { sku quantity restocked } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

ORDERS = """
query Orders($first: Int, $after: String, $partner: String) {
  orders(partner_order_id: $partner) {
    request_id
    complexity
    data(first: $first, after: $after) {
      edges { node { id order_number partner_order_id created_at fulfillment_status } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

ORDERS_SHOWN = """
query OrdersShown($first: Int, $after: String, $number: String, $since: ISODateTime) {
  orders(order_number: $number, updated_from: $since) {
    request_id
    complexity
    data(first: $first, after: $after) {
      edges { node { id order_number created_at fulfillment_status line_items { quantity quantity_shipped } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

ORDER_CREATE = """
mutation OrderCreate($data: CreateOrderInput!) {
  order_create(data: $data) {
    request_id
    complexity
    order { id order_number partner_order_id created_at fulfillment_status }
  }
}"""

WAREHOUSES = "query Warehouses { account { request_id complexity data { warehouses { id identifier } } } }"

WEBHOOKS = """
query Webhooks($first: Int, $after: String) {
  webhooks {
    request_id
    complexity
    data(first: $first, after: $after) {
      edges { node { name url enabled } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

_SNAPSHOT = "snapshot { snapshot_id status error snapshot_url snapshot_expiration }"

GENERATE_SNAPSHOT = f"""
mutation GenerateSnapshot($data: InventoryGenerateSnapshotInput!) {{
  inventory_generate_snapshot(data: $data) {{ request_id complexity {_SNAPSHOT} }}
}}"""

ABORT_SNAPSHOT = f"""
mutation AbortSnapshot($data: InventoryAbortSnapshotInput!) {{
  inventory_abort_snapshot(data: $data) {{ request_id complexity {_SNAPSHOT} }}
}}"""

SNAPSHOT = f"""
query Snapshot($id: String!) {{
  inventory_snapshot(snapshot_id: $id) {{ request_id complexity {_SNAPSHOT} }}
}}"""

ALL = (
    PING, WAREHOUSES, WEBHOOKS, INVENTORY, SHIPMENTS, PURCHASE_ORDERS, RETURNS, ORDERS, ORDERS_SHOWN, ORDER_CREATE, GENERATE_SNAPSHOT,
    ABORT_SNAPSHOT, SNAPSHOT,
)  # fmt: skip
