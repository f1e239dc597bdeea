"""What the warehouse tells of its records, in its API and in its webhooks alike."""

from typing import Any

from controlplane.sandbox.clock import iso_ms
from controlplane.sandbox.records import Level, PurchaseOrder, Return, Shipment, StockMove, WmsOrder

CARRIER = "UPS"


def product(level: Level) -> dict[str, Any]:
    """Stock of one article: `available` = on_hand - allocated."""
    return {
        "sku": level.sku,
        "warehouse_id": level.location,
        "on_hand": level.on_hand,
        "allocated": level.allocated,
        "available": level.available,
        "backorder": level.backorder,
        "on_order": level.on_order,
        "updated_at": iso_ms(level.wms_updated_at),
    }


def order(row: WmsOrder) -> dict[str, Any]:
    """An order as the warehouse sees it."""
    return {
        "id": row.id,
        "order_number": row.order_number,
        "partner_order_id": row.partner_order_id,
        "fulfillment_status": row.status,
        "created_at": iso_ms(row.created_at),
        "updated_at": iso_ms(row.updated_at),
        "line_items": [
            {
                "sku": line.sku,
                "partner_line_item_id": line.partner_line_item_id,
                "quantity": line.quantity,
                "quantity_allocated": line.allocated,
                "quantity_shipped": line.shipped,
                "backorder_quantity": line.quantity - line.shipped - line.allocated,
            }
            for line in row.lines
        ],
    }


def shipment(row: Shipment) -> dict[str, Any]:
    """Goods that left."""
    return {
        "id": row.id,
        "order_id": row.order_id,
        "order_number": row.order_number,
        "partner_order_id": row.partner_order_id,
        "warehouse_id": "WH1",
        "carrier": row.carrier,
        "tracking_number": row.tracking,
        "shipped_at": iso_ms(row.shipped_at),
        "line_items": [{"sku": sku, "quantity": quantity} for sku, quantity in row.lines.items()],
    }


def purchase(row: PurchaseOrder) -> dict[str, Any]:
    """A purchase order with its receipts."""
    return {
        "id": row.id,
        "po_number": row.number,
        "warehouse_id": "WH1",
        "fulfillment_status": "closed" if row.received >= row.quantity else "pending",
        "created_at": iso_ms(row.created_at),
        "updated_at": iso_ms(row.updated_at),
        "line_items": [{"sku": row.sku, "quantity": row.quantity, "quantity_received": row.received}],
        "receipts": [
            {"id": r.id, "received_at": iso_ms(r.received_at), "sku": r.sku, "quantity": r.quantity}
            for r in row.receipts
        ],
    }


def returned(row: Return) -> dict[str, Any]:
    """Goods that came back."""
    return {
        "id": row.id,
        "order_number": row.order_number,
        "shipment_id": row.shipment_id,
        "warehouse_id": "WH1",
        "status": "complete",
        "received_at": iso_ms(row.received_at),
        "line_items": [{"sku": row.sku, "quantity": row.quantity, "restocked": True}],
    }


def change(row: StockMove) -> dict[str, Any]:
    """One line of the stock history."""
    return {
        "id": row.id,
        "sku": row.sku,
        "warehouse_id": "WH1",
        "change_in_on_hand": row.change,
        "on_hand": row.on_hand,
        "reason": row.reason,
        "created_at": iso_ms(row.created_at),
    }
