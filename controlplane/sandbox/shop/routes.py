"""`/shop/admin/api/2026-04/graphql.json`: the token, the cost bucket, and GraphQL with its errors inside HTTP 200."""

from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from graphql import DocumentNode, GraphQLSchema, build_schema, execute_sync

from controlplane.sandbox.clock import Bucket
from controlplane.sandbox.gate import Gate, Vendor
from controlplane.sandbox.gql import Ask, read_ask, validator
from controlplane.sandbox.records import ShopOrder
from controlplane.sandbox.shop import bulk, cost, errors
from controlplane.sandbox.shop.bodies import LOCATION_ID, gid, number_of
from controlplane.sandbox.shop.bulk import Bulk
from controlplane.sandbox.shop.counter import Counter
from controlplane.sandbox.shop.fulfilment import CreateFulfilment
from controlplane.sandbox.shop.products import ProductSet
from controlplane.sandbox.shop.search import connection, matching
from controlplane.sandbox.shop.stock import SetQuantities
from controlplane.sandbox.shop.subscriptions import Subscriptions, versions
from controlplane.sandbox.shop.views import Views, moment
from controlplane.sandbox.world import World

PATH = "/shop/admin/api/2026-04/graphql.json"
BUDGET, RESTORE = 2000, 100


class Roots:
    """The schema's root fields. Called with the world locked."""

    def __init__(self, counter: Counter) -> None:
        self.world, self.views = counter.world, Views(counter.world)
        self._subscriptions, self.bulk = Subscriptions(counter.world), Bulk(counter.world)
        self._mutations = {
            "inventorySetQuantities": SetQuantities(counter, self.views),
            "fulfillmentCreate": CreateFulfilment(counter, self.views),
            "productSet": ProductSet(self.views),
            "stagedUploadsCreate": self.bulk.stage,
            "bulkOperationRunMutation": self.bulk.run,
            "bulkOperationRunQuery": self.bulk.query,
            "bulkOperationCancel": self.bulk.cancel,
            "webhookSubscriptionDelete": self._subscriptions.delete,
        }

    def schema(self) -> GraphQLSchema:
        """The executable schema."""
        schema = build_schema((Path(__file__).parent / "schema.graphql").read_text(encoding="utf-8"))
        found = {
            "shop": lambda **_: self.views.shop(),
            "node": self.node,
            "nodes": lambda **given: [self.node(id=name) for name in given["ids"]],
            "location": lambda **given: self._location(given.get("id")),
            "locations": lambda **page: self._locations(**page),
            "inventoryItem": lambda **given: self._item(given["id"]),
            "inventoryItems": self.items,
            "inventoryLevel": lambda **given: self._level(given["id"]),
            "productVariants": self.variants,
            "product": lambda **given: self._product(given["id"]),
            "products": self.products,
            "bulkOperation": lambda **given: self.bulk.operation(given["id"]),
            "bulkOperations": self.bulk.operations,
            "order": lambda **given: self._order(given["id"], "Order"),
            "orders": self.orders,
            "refund": lambda **given: self._refund(given["id"]),
            "shopifyPaymentsAccount": lambda **_: self.views.money.account(),
            "fulfillmentOrder": lambda **given: self._fulfilment_order(given["id"]),
            "fulfillment": lambda **given: self._fulfilment(given["id"]),
            "publicApiVersions": lambda **_: versions(),
            "webhookSubscriptions": self._subscriptions.page,
        }
        if schema.query_type and schema.mutation_type:
            for name, resolve in found.items():
                schema.query_type.fields[name].resolve = _without_info(resolve)
            for name, mutate in self._mutations.items():
                schema.mutation_type.fields[name].resolve = mutate
        return schema

    def node(self, **given: Any) -> dict[str, Any] | None:
        """Any object by its global id."""
        ways = {
            "Order": lambda name: self._order(name, "Order"),
            "FulfillmentOrder": self._fulfilment_order,
            "Fulfillment": self._fulfilment,
            "InventoryItem": self._item,
            "InventoryLevel": self._level,
            "Location": self._location,
            "Product": self._product,
            "Refund": self._refund,
            "BulkOperation": self.bulk.operation,
        }
        way = ways.get(given["id"].removeprefix("gid://shopify/").partition("/")[0])
        return way(given["id"]) if way else None

    def _location(self, name: str | None) -> dict[str, Any] | None:
        return self.views.location() if name in (None, gid("Location", LOCATION_ID)) else None

    def _locations(self, first: int | None = None, after: str | None = None, **_: object) -> dict[str, Any]:
        return connection([self.views.location()], lambda one: one["id"], first=first, after=after)

    def _item(self, name: str) -> dict[str, Any] | None:
        item = self.views.item_by_gid(name)
        return self.views.item(item) if item else None

    def _level(self, name: str) -> dict[str, Any] | None:
        head, _, number = name.partition("?inventory_item_id=")
        return (
            self.views.level_by_item(gid("InventoryItem", number))
            if head == gid("InventoryLevel", LOCATION_ID)
            else None
        )

    def _order(self, name: str, kind: str) -> dict[str, Any] | None:
        row = self.world.orders.get(str(number_of(name, kind)))
        return self.views.order(row) if row else None

    def _fulfilment_order(self, name: str) -> dict[str, Any] | None:
        row = self.world.orders.get(str(number_of(name, "FulfillmentOrder")))
        return self.views.fulfilment_order(row) if row else None

    def _fulfilment(self, name: str) -> dict[str, Any] | None:
        number = number_of(name, "Fulfillment")
        found = ((row, one) for row in self.world.orders for one in row.fulfilments if one.id == number)
        return next((self.views.fulfilment(row, one) for row, one in found), None)

    def _refund(self, name: str) -> dict[str, Any] | None:
        return self.views.money.find_refund(number_of(name, "Refund"))

    def items(
        self, first: int | None = None, after: str | None = None, reverse: bool = False, query: str | None = None
    ) -> dict[str, Any]:
        """Inventory items; `query` may filter by sku, id or updated_at (of the item, which stock does not move)."""
        opened = self.world.meta.started_at
        fields: dict[str, Any] = {
            "sku": lambda i: i.sku,
            "id": lambda i: i.shop_item_id,
            "updated_at": lambda _: opened,
        }
        rows = matching([*self.world.catalogue.items, *self.views.products.made()], query, fields)
        page = connection(rows, lambda item: item.shop_item_id, first=first, after=after, reverse=reverse)
        return _shown(page, self.views.item)

    def variants(
        self,
        first: int | None = None,
        after: str | None = None,
        reverse: bool = False,
        query: str | None = None,
        **_: object,
    ) -> dict[str, Any]:
        """Product variants; `query` may filter by sku, barcode, or the product's handle and status."""
        rows = self.views.products.found(query)
        page = connection(rows, lambda item: item.shop_variant_id, first=first, after=after, reverse=reverse)
        return _shown(page, self.views.variant)

    def products(
        self,
        first: int | None = None,
        after: str | None = None,
        reverse: bool = False,
        query: str | None = None,
        **_: object,
    ) -> dict[str, Any]:
        """Products; `query` may filter by handle, status, or the variant's sku and barcode."""
        rows = self.views.products.found(query)
        page = connection(rows, lambda item: item.shop_product_id, first=first, after=after, reverse=reverse)
        return _shown(page, self.views.product)

    def _product(self, name: str) -> dict[str, Any] | None:
        row = self.views.products.by_id(name)
        item = self.views.products.item(row.number) if row else None
        return self.views.product(item) if item else None

    def orders(self, *, query: str | None = None, reverse: bool = False, **page: Any) -> dict[str, Any]:
        """Orders; `query` may filter by name, id, created_at or updated_at; sorted by the time of the sort key."""
        fields: dict[str, Any] = {
            "name": lambda o: o.name,
            "id": lambda o: o.id,
            "created_at": lambda o: o.created_at,
            "processed_at": lambda o: o.created_at,
            "updated_at": lambda o: o.updated_at,
        }
        sort_key = page.pop("sortKey", "PROCESSED_AT")

        def key(row: ShopOrder) -> list[Any]:
            return [row.id] if sort_key in ("ID", "ORDER_NUMBER") else [moment(row, sort_key).timestamp(), row.id]

        rows = matching(self.world.orders, query, fields)
        shown = connection(rows, key, first=page.get("first"), after=page.get("after"), reverse=reverse)
        return _shown(shown, self.views.order)


def _without_info(resolve: Any) -> Any:
    return lambda _source, _info, **given: resolve(**given)


def _shown(page: dict[str, Any], show: Any) -> dict[str, Any]:
    edges = [{"cursor": edge["cursor"], "node": show(edge["node"])} for edge in page["edges"]]
    return {"edges": edges, "nodes": [edge["node"] for edge in edges], "pageInfo": page["pageInfo"]}


class Shop:
    """The HTTP face of the shop."""

    def __init__(self, world: World, gate: Gate, counter: Counter) -> None:
        self.world, self.gate = world, gate
        roots = Roots(counter)
        self.schema, self.bulk, self.money = roots.schema(), roots.bulk, roots.views.money
        self._problems = validator(self.schema)
        self.bucket = Bucket(
            world.clock, BUDGET * world.scenario.retailer.quota, RESTORE * world.scenario.retailer.quota
        )
        self.vendor = Vendor("shop", lambda: self._throttled(1), self._broken)

    def graphql(self) -> Response:
        """One GraphQL operation."""
        ask = read_ask()
        if ask is None:
            return _plain(400, "Required parameter missing or invalid: query")
        return self.gate.pass_through(self.vendor, ask.operations, lambda: self._run(ask))

    def _run(self, ask: Ask) -> Response:
        if request.headers.get("X-Shopify-Access-Token") != self.world.secrets.read("shop_access_token"):
            return _plain(401, "[API] Invalid API key or access token (unrecognized login or wrong password)")
        with self.world.transaction():
            self.bulk.step(self._line)
            asked = cost.requested(ask)
            if not self.bucket.take(asked):
                self.world.journal.write("throttled", system="shop", cause="cost")
                return self._throttled(asked)
            body = self._execute(ask)
            if "data" in body:
                paid = cost.actual(body["data"], ask.writes, asked)
                self.bucket.take(paid - asked)
                body["extensions"] = {"cost": self._cost(asked, paid)}
            answer = jsonify(body)
            answer.date = self.world.time_of("shop")  # by the clock that its data is dated by
            return answer

    def _execute(self, ask: Ask) -> dict[str, Any]:
        if ask.document is None:
            return {"errors": [errors.validation_error(ask.syntax_error)] if ask.syntax_error else []}
        if problems := self._problems(ask.text):
            return {"errors": [errors.validation_error(problem) for problem in problems]}
        if refused := errors.variable_errors(self.schema, ask):
            return {"errors": refused}
        result = execute_sync(
            self.schema, ask.document, variable_values=ask.variables, operation_name=ask.operation_name
        )
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [errors.execution_error(error) for error in result.errors]
        return body

    def _line(self, document: DocumentNode, variables: dict[str, Any]) -> dict[str, Any]:
        """What comes of one line of a bulk operation."""
        result = execute_sync(self.schema, document, variable_values=variables)
        failed = {"errors": [errors.execution_error(error) for error in result.errors]} if result.errors else {}
        return {"data": result.data, **failed}

    def _cost(self, asked: int, paid: int | None) -> dict[str, Any]:
        left = int(self.bucket.left())
        status = {"maximumAvailable": self.bucket.size, "currentlyAvailable": left, "restoreRate": self.bucket.rate}
        return {"requestedQueryCost": asked, "actualQueryCost": paid, "throttleStatus": status}

    def _throttled(self, asked: int) -> Response:
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return jsonify(errors=[error], extensions={"cost": self._cost(asked, None)})

    @staticmethod
    def _broken(status: int) -> Response:
        return _plain(status, "Internal Server Error")


def _plain(status: int, message: str) -> Response:
    answer = jsonify(errors=message)
    answer.status_code = status
    return answer


def routes(app: Flask, world: World, gate: Gate, counter: Counter) -> Shop:
    """Mount the shop."""
    shop = Shop(world, gate, counter)

    @app.post(PATH)
    def shop_graphql() -> Response:
        return shop.graphql()

    @app.post(bulk.UPLOADS)
    def shop_upload() -> Response:
        return shop.bulk.take()

    @app.get(f"{bulk.RESULTS}<token>.jsonl")
    def shop_results(token: str) -> Response:
        return shop.bulk.give(token)

    return shop
