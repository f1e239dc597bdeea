"""The warehouse's answers: rows found by filter, paged by cursor, priced in credits."""

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, overload

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    IntValueNode,
    Node,
    VariableNode,
    Visitor,
    build_schema,
    visit,
)

from controlplane.sandbox.catalogue import WAREHOUSE
from controlplane.sandbox.clock import parse_iso
from controlplane.sandbox.gql import Ask
from controlplane.sandbox.wms import bodies
from controlplane.sandbox.wms.snapshots import Snapshots
from controlplane.sandbox.wms.warehouse import UnknownSkuError, Warehouse

PAGE = 100
Found = dict[str, Any]


def price(ask: Ask) -> int:
    """Credits an operation costs: 10 for a mutation, else 1 and 1 for every row its pages may hold."""
    pages: list[int] = []

    class Pages(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            if node.name.value == "data":
                pages.append(_asked_first(node, ask.variables))

    if ask.document is not None:
        visit(ask.document, Pages())
    return (10 if ask.writes else 1) + sum(pages)


def _asked_first(node: FieldNode, variables: dict[str, Any]) -> int:
    value: Node | None = next((a.value for a in node.arguments or () if a.name.value == "first"), None)
    if isinstance(value, IntValueNode):
        return int(value.value)
    given = variables.get(value.name.value) if isinstance(value, VariableNode) else None
    return given if isinstance(given, int) else PAGE


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_iso(text)
    except ValueError as error:
        raise GraphQLError(f"Invalid ISODateTime: {error}") from error


def _between(moment: datetime, since: str | None, until: str | None = None) -> bool:
    low, high = _moment(since), _moment(until)
    return (low is None or moment >= low) and (high is None or moment <= high)


class Rows(Sequence[Found]):
    """Records that are told of as they are looked at: of many only a page is."""

    def __init__(self, records: Sequence[Any], tell: Callable[[Any], Found]) -> None:
        self._records, self._tell = records, tell

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, at: int) -> Found: ...
    @overload
    def __getitem__(self, at: slice) -> list[Found]: ...
    def __getitem__(self, at: int | slice) -> Found | list[Found]:
        chosen = self._records[at]
        return [self._tell(one) for one in chosen] if isinstance(at, slice) else self._tell(chosen)


class Answers:
    """Resolvers over the warehouse. Called with the world locked."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse, self.world = warehouse, warehouse.world
        self.snapshots = Snapshots(warehouse.world)
        self.schema = self._schema()

    def _schema(self) -> GraphQLSchema:
        schema = build_schema((Path(__file__).parent / "schema.graphql").read_text(encoding="utf-8"))
        query, mutation = schema.query_type, schema.mutation_type
        for name in query.fields if query else ():
            if name not in ("account", "inventory_snapshot"):
                self._attach(schema, query, name)
        if query:
            query.fields["account"].resolve = self._account
            query.fields["inventory_snapshot"].resolve = lambda _source, info, snapshot_id: (
                self._stamp(info) | {"snapshot": self.snapshots.find(snapshot_id)}
            )
        if mutation:
            mutation.fields["order_create"].resolve = self._order_create
            mutation.fields["webhook_delete"].resolve = self._webhook_delete
            for name, deed in (
                ("inventory_generate_snapshot", self.snapshots.begin), ("inventory_abort_snapshot", self.snapshots.abort),
            ):  # fmt: skip
                mutation.fields[name].resolve = self._of_snapshot(deed)
        return schema

    def _attach(self, schema: GraphQLSchema, query: GraphQLObjectType | None, name: str) -> None:
        rows: Callable[..., Iterable[Found]] = getattr(self, name)
        if query is None:
            return

        def resolve(_: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Found:
            found = rows(**arguments)
            return self._stamp(info) | {"rows": found if isinstance(found, Rows) else list(found)}

        query.fields[name].resolve = resolve
        result = schema.get_type(str(query.fields[name].type))
        if isinstance(result, GraphQLObjectType):
            result.fields["data"].resolve = _page

    @staticmethod
    def _stamp(info: GraphQLResolveInfo[Any]) -> Found:
        return {"request_id": info.context["request_id"], "complexity": info.context["complexity"]}

    # --- one method per root field, named like it ---
    def warehouse_products(
        self, warehouse_id: str | None = None, sku: str | None = None, updated_from: str | None = None
    ) -> Iterable[Found]:
        """Stock by article."""
        if warehouse_id not in (None, WAREHOUSE):
            return []
        if sku is not None:
            known = self.world.levels.get(f"{sku}@{WAREHOUSE}")
            levels = [known] if known else []
        else:
            levels = [level for level in self.world.levels if level.location == WAREHOUSE]
        if updated_from is not None:
            levels = [level for level in levels if _between(level.wms_updated_at, updated_from)]
        return Rows(levels, bodies.product)

    def orders(
        self, order_number: str | None = None, partner_order_id: str | None = None, updated_from: str | None = None
    ) -> Iterable[Found]:
        """Orders taken."""
        rows = (row for row in self.world.wms_orders if order_number in (None, row.order_number))
        mine = (row for row in rows if partner_order_id in (None, row.partner_order_id))
        return [bodies.order(row) for row in mine if _between(row.updated_at, updated_from)]

    def shipments(
        self,
        date_from: str | None = None,
        date_to: str | None = None,
        order_number: str | None = None,
        partner_order_id: str | None = None,
    ) -> Iterable[Found]:
        """Goods that left."""
        rows = (row for row in self.world.shipments if order_number in (None, row.order_number))
        mine = (row for row in rows if partner_order_id in (None, row.partner_order_id))
        return [bodies.shipment(row) for row in mine if _between(row.shipped_at, date_from, date_to)]

    def purchase_orders(self, updated_from: str | None = None) -> Iterable[Found]:
        """Purchase orders with their receipts."""
        return [bodies.purchase(row) for row in self.world.purchases if _between(row.updated_at, updated_from)]

    def returns(self, date_from: str | None = None) -> Iterable[Found]:
        """Goods that came back."""
        return [bodies.returned(row) for row in self.world.returns if _between(row.received_at, date_from)]

    def inventory_changes(self, date_from: str | None = None, sku: str | None = None) -> Iterable[Found]:
        """The stock history."""
        rows = (row for row in self.world.moves if sku in (None, row.sku))
        return [bodies.change(row) for row in rows if _between(row.created_at, date_from)]

    def webhooks(self) -> Iterable[Found]:
        """What is told to whom."""
        found = self.world.outbox.subscriptions("wms")
        return [{"id": f"WBK-{number}", "name": topic, "url": url, "enabled": True} for number, topic, url in found]

    def _of_snapshot(self, deed: Callable[[Found], Found]) -> Any:
        return lambda _source, info, data: self._stamp(info) | {"snapshot": deed(data)}

    def _account(self, _: Any, info: GraphQLResolveInfo[Any]) -> Found:
        return self._stamp(info) | {"data": {"id": "ACC-1", "warehouses": [{"id": WAREHOUSE, "identifier": WAREHOUSE}]}}

    def _webhook_delete(self, _: Any, info: GraphQLResolveInfo[Any], data: Found) -> Found:
        if data["name"] not in (topic for _, topic, _ in self.world.outbox.subscriptions("wms")):
            raise GraphQLError(f"Not Found: no webhook {data['name']}", extensions={"code": 4})
        self.world.outbox.unsubscribe("wms", data["name"])
        return self._stamp(info)

    def _order_create(self, _: Any, info: GraphQLResolveInfo[Any], data: Found) -> Found:
        if not data["line_items"] or any(line["quantity"] < 1 for line in data["line_items"]):
            raise GraphQLError("An order needs line items with a quantity of at least 1", extensions={"code": 3})
        try:
            return self._stamp(info) | {"order": bodies.order(self.warehouse.accept(data))}
        except UnknownSkuError as error:
            raise GraphQLError(f"Not Found: no product with sku {error}", extensions={"code": 4}) from error


def _page(found: Found, _: GraphQLResolveInfo[Any], first: int | None = None, after: str | None = None) -> Found:
    begin = 0
    if after is not None:
        try:
            begin = int(base64.b64decode(after, validate=True).decode().removeprefix("row:")) + 1
        except ValueError as error:
            raise GraphQLError("Invalid cursor", extensions={"code": 3}) from error
    rows = found["rows"][begin : begin + (PAGE if first is None else max(first, 0))]
    edges = [
        {"node": row, "cursor": base64.b64encode(f"row:{begin + at}".encode()).decode()} for at, row in enumerate(rows)
    ]
    return {
        "edges": edges,
        "nodes": rows,
        "pageInfo": {
            "hasNextPage": begin + len(rows) < len(found["rows"]),
            "hasPreviousPage": begin > 0,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
    }
