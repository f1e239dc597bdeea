"""/api/v1: what the ledger says of the business: products, stock, orders, postings."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from pydantic import Field

from controlplane.api.answers import plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import Flag, Text
from controlplane.api.pages import Narrowed, Timed, listed
from controlplane.api.schemas import NEXT, row
from controlplane.store import tables as t
from controlplane.views import business as view

business = Blueprint("business", __name__, url_prefix="/api/v1")
POSITION, CHANGE, LEVEL = row(t.stock_position), row(t.stock_change), row(t.target_level)
DATE = Field(default=None, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="YYYY-MM-DD")
ITS_KEY = {"sku": "/stock/0/sku", "location": "/stock/0/location"}


class ProductsQuery(Narrowed):
    """Which products."""

    active: Flag | None = Field(default=None, description="those that are sold, or are not")


@business.get("/products")
@contract(
    {"products": [row(t.product)], "next": NEXT},
    query=ProductsQuery,
    links=(Link("business.get_product", {"sku": "/products/0/sku"}),),
)
def list_products(query: ProductsQuery) -> Response:
    """Products by SKU."""
    return listed("products", view.products, query)


@business.get("/products/<path:sku>")
@contract(row(t.product))
def get_product(sku: str) -> Response:
    """One product."""
    with plane().store.read() as conn:
        return jsonify(view.product(conn, sku))


class StockQuery(Narrowed):
    """Which positions."""

    sku: Text | None = None
    location: Text | None = None


@business.get("/stock")
@contract({"stock": [POSITION], "next": NEXT}, query=StockQuery, links=(Link("business.get_position", ITS_KEY),))
def list_stock(query: StockQuery) -> Response:
    """Positions of stock, by SKU and location."""
    return listed("stock", view.stock, query)


@business.get("/stock/<sku>/<location>")
@contract({"position": POSITION, "changes": [CHANGE], "levels": [LEVEL], "effects": [row(t.target_effect)]})
def get_position(sku: str, location: str) -> Response:
    """The stock of a SKU at a location, what its targets show, and the newest hundred changes of both."""
    with plane().store.read() as conn:
        return jsonify(view.position(conn, sku, location))


class ChangesQuery(Timed):
    """Which changes."""

    sku: Text | None = None
    location: Text | None = None
    message_id: Text | None = None


@business.get("/stock-changes")
@contract({"stock_changes": [CHANGE], "next": NEXT}, query=ChangesQuery)
def list_stock_changes(query: ChangesQuery) -> Response:
    """How positions of stock changed, the newest first."""
    return listed("stock_changes", view.stock_changes, query)


class LevelsQuery(Narrowed):
    """Which levels."""

    system: Text | None = None
    field: Text | None = Field(default=None, description="available or on_hand")
    sku: Text | None = None
    location: Text | None = None


@business.get("/target-levels")
@contract({"target_levels": [LEVEL], "next": NEXT}, query=LevelsQuery)
def list_target_levels(query: LevelsQuery) -> Response:
    """What targets show of stock, as the ledger knows it; by SKU and location."""
    return listed("target_levels", view.target_levels, query)


class OrdersQuery(Timed):
    """Which orders; the stretch of time is that of `placed_at`."""

    state: Text | None = None
    source: Text | None = Field(default=None, description="the system that it was placed at")
    location: Text | None = None


@business.get("/orders")
@contract(
    {"orders": [row(t.order_state)], "next": NEXT},
    query=OrdersQuery,
    links=(Link("business.get_order", {"ref": "/orders/0/ref"}),),
)
def list_orders(query: OrdersQuery) -> Response:
    """Orders by when they were placed, the newest first."""
    return listed("orders", view.orders, query)


@business.get("/orders/<path:ref>")
@contract(row(t.order_state, lines=[row(t.order_line)]))
def get_order(ref: str) -> Response:
    """One order with its lines."""
    with plane().store.read() as conn:
        return jsonify(view.order(conn, ref))


class PostingsQuery(Timed):
    """Which postings; the stretch of time is that of `created_at`."""

    document: Text | None = None
    business_date: str | None = DATE
    currency: Text | None = None


@business.get("/postings")
@contract(
    {"postings": [row(t.posting)], "next": NEXT},
    query=PostingsQuery,
    links=(Link("business.get_posting", {"key": "/postings/0/posting_key"}),),
)
def list_postings(query: PostingsQuery) -> Response:
    """Postings with their lines, by their key."""
    return listed("postings", view.postings, query)


@business.get("/postings/<path:key>")
@contract(row(t.posting))
def get_posting(key: str) -> Response:
    """One posting; its key has slashes: document/event/rule."""
    with plane().store.read() as conn:
        return jsonify(view.posting(conn, key))
