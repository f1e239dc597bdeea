"""What the ledger says of the business: products, stock, orders, postings. Read models, written by the processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, select

from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from controlplane.views.narrowing import ALL, Narrow
from controlplane.views.paging import FIRST, Order, Part, Stretch, part

Row = Mapping[str, Any]
LIMIT = 100
"""Newest changes, and effects at targets, that are shown with a key."""
PRODUCTS = Order("products", (t.product.c.sku,), newest_first=False)
STOCK = Order("stock", (t.stock_position.c.sku, t.stock_position.c.location), newest_first=False)
CHANGES = Order("changes of stock", (t.stock_change.c.id,))
LEVELS = Order(
    "levels at targets",
    tuple(t.target_level.c[name] for name in ("sku", "location", "system", "field")),
    newest_first=False,
)
ORDERS = Order("orders", (t.order_state.c.placed_at, t.order_state.c.ref))
POSTINGS = Order("postings", (t.posting.c.posting_key,), newest_first=False)


def products(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return products by SKU. One query."""
    return part(conn, select(t.product).where(*narrow.of(t.product)), PRODUCTS, stretch, dict)


def product(conn: Connection, sku: str) -> Row:
    """Return one product. Raises NotFoundError."""
    return _one(conn, select(t.product).where(t.product.c.sku == sku), f"no product '{sku}'", "products")


def stock(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return positions of stock by SKU and location. One query."""
    return part(conn, select(t.stock_position).where(*narrow.of(t.stock_position)), STOCK, stretch, dict)


def position(conn: Connection, sku: str, location: str) -> Row:
    """Return the position of a key, what its targets show, and the newest changes of both. Four queries. Raises NotFoundError."""
    s, e, v = t.stock_position.c, t.target_effect.c, t.target_level.c
    mine = select(t.stock_position).where(s.sku == sku, s.location == location)
    found = _one(conn, mine, f"no stock of '{sku}' at '{location}'", "stock")
    here = Narrow({"sku": sku, "location": location})
    effects = select(t.target_effect).where(e.sku == sku, e.location == location).order_by(e.latest.desc(), e.id.desc())
    levels = select(t.target_level).where(v.sku == sku, v.location == location).order_by(v.system, v.field)
    return {
        "position": found, "changes": stock_changes(conn, here, Stretch(LIMIT)).rows,
        "levels": _all(conn, levels), "effects": _all(conn, effects.limit(LIMIT)),
    }  # fmt: skip


def stock_changes(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return how positions changed, the newest first. One query."""
    wanted = narrow.of(t.stock_change, t.stock_change.c.changed_at)
    return part(conn, select(t.stock_change).where(*wanted), CHANGES, stretch, dict)


def target_levels(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return what targets show as the ledger knows it, by key. One query."""
    return part(conn, select(t.target_level).where(*narrow.of(t.target_level)), LEVELS, stretch, dict)


def orders(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return orders by when they were placed, the newest first. One query."""
    wanted = narrow.of(t.order_state, t.order_state.c.placed_at)
    return part(conn, select(t.order_state).where(*wanted), ORDERS, stretch, dict)


def order(conn: Connection, ref: str) -> Row:
    """Return one order with its `lines`. Two queries. Raises NotFoundError."""
    found = _one(conn, select(t.order_state).where(t.order_state.c.ref == ref), f"no order '{ref}'", "orders")
    lines = select(t.order_line).where(t.order_line.c.order_ref == ref).order_by(t.order_line.c.line)
    return {**found, "lines": _all(conn, lines)}


def postings(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return postings by their key, which begins with the document. One query."""
    wanted = narrow.of(t.posting, t.posting.c.created_at)
    return part(conn, select(t.posting).where(*wanted), POSTINGS, stretch, dict)


def posting(conn: Connection, key: str) -> Row:
    """Return one posting. Raises NotFoundError."""
    return _one(conn, select(t.posting).where(t.posting.c.posting_key == key), f"no posting '{key}'", "postings")


def _one(conn: Connection, query: Select[Any], missing: str, listed: str) -> Row:
    row = conn.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"{missing}; list them with GET /api/v1/{listed}")
    return dict(row)


def _all(conn: Connection, query: Select[Any]) -> list[Row]:
    return [dict(row) for row in conn.execute(query).mappings()]
