"""What the shop shows of its articles, and `productSet`, which makes or changes them. Here a product has one variant."""

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from graphql import GraphQLResolveInfo

from controlplane.sandbox.catalogue import Item
from controlplane.sandbox.records import ShopProduct
from controlplane.sandbox.shop.bodies import gid, number_of
from controlplane.sandbox.shop.search import matching, named
from controlplane.sandbox.world import World

FIRST_MADE = 1_000_000
"""Articles that are made in the shop are numbered from here; nobody else knows them."""
OPTION, VALUE = "Title", "Default Title"


class Products:
    """The shop's products by number, SKU and handle. Those of the catalogue are there from the beginning."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._rows: dict[int, ShopProduct] = {}
        self._by: dict[str, dict[str, set[int]]] = {"sku": {}, "handle": {}}
        for item in world.catalogue.items:
            self._file(world.shop_products.get(str(item.number)) or self._begun(item))
        for row in world.shop_products:
            self._file(row)

    def _begun(self, item: Item) -> ShopProduct:
        return ShopProduct(
            number=item.number, sku=item.sku, title=item.title, price=item.price, handle=plain(item.sku),
            updated_at=self.world.meta.started_at,
        )  # fmt: skip

    def _file(self, row: ShopProduct) -> None:
        old = self._rows.get(row.number)
        for name, index in self._by.items():
            if old is not None:
                index.get(getattr(old, name).lower(), set()).discard(row.number)
            index.setdefault(getattr(row, name).lower(), set()).add(row.number)
        self._rows[row.number] = row

    def keep(self, row: ShopProduct) -> None:
        """Show this from now on."""
        self._file(row)
        self.world.shop_products.put(str(row.number), row)
        told = {"price": f"{row.price:.2f}", "title": row.title, "status": row.status}
        self.world.journal.write("product", system="shop", sku=row.sku, **told)

    def of(self, item: Item) -> ShopProduct:
        """What is shown of an article."""
        return self._rows[item.number]

    def item(self, number: int) -> Item | None:
        """The article with that number, of the catalogue or made here."""
        row = self._rows.get(number)
        known = self.world.catalogue.by_sku.get(row.sku) if row and number < FIRST_MADE else None
        return known or (Item(number, row.sku, "", row.title, row.price, Decimal(0)) if row else None)

    def made_item(self, inventory_item: int) -> Item | None:
        """The article that was made here, by its inventory item's number."""
        number = inventory_item - 45_000_000_000
        return self.item(number) if number >= FIRST_MADE else None

    def made(self) -> list[Item]:
        """The articles that were made here."""
        return [item for number in self._rows if number >= FIRST_MADE and (item := self.item(number))]

    def by_id(self, name: str | None) -> ShopProduct | None:
        """The product with that global id."""
        return self._rows.get((number_of(name or "", "Product") or 0) - 44_000_000_000)

    def by_handle(self, handle: str) -> ShopProduct | None:
        """The product with that handle."""
        return next((self._rows[number] for number in self._by["handle"].get(handle.lower(), ())), None)

    def found(self, query: str | None) -> list[Item]:
        """Articles by a search over sku, handle, barcode or status."""
        items = (self.item(row.number) for row in self._candidates(query))
        fields: dict[str, Any] = {
            "sku": lambda i: i.sku,
            "barcode": lambda i: i.plu,
            "handle": lambda i: self.of(i).handle,
            "status": lambda i: self.of(i).status,
        }
        return matching([item for item in items if item], query, fields)

    def _candidates(self, query: str | None) -> Iterable[ShopProduct]:
        for name, index in self._by.items():
            values = named(query, name)
            if values is not None:
                return [self._rows[number] for number in {n for v in values for n in index.get(v, ())}]
        return list(self._rows.values())


class Showing(Protocol):
    """What shows products."""

    products: Products
    world: World

    def product(self, item: Item) -> dict[str, Any]:
        """A product as the API shows it."""
        ...


class RefusedError(Exception):
    """A business error: its code, and where it lies."""

    def __init__(self, code: str, message: str, *path: str) -> None:
        super().__init__(message)
        self.told = {"code": code, "field": ["input", *path], "message": message}


class ProductSet:
    """The mutation. What the input leaves out is left as it is; variants that it leaves out would be deleted."""

    def __init__(self, views: Showing) -> None:
        self.views, self.products, self.world = views, views.products, views.world

    def __call__(self, _: object, _info: GraphQLResolveInfo[Any], **arguments: Any) -> dict[str, Any]:
        given, wanted = arguments["input"], arguments.get("identifier") or {}
        try:
            row = self._set(given, wanted)
        except RefusedError as refusal:
            return {"product": None, "userErrors": [refusal.told]}
        self.products.keep(row)
        item = self.products.item(row.number)
        return {"product": self.views.product(item) if item else None, "userErrors": []}

    def _set(self, given: dict[str, Any], wanted: dict[str, Any]) -> ShopProduct:
        held = self._held(wanted)
        title = given.get("title", held.title if held else "")
        if not (title or "").strip():
            raise RefusedError("INVALID_PRODUCT", "Title can't be blank", "title")
        if len(title) > 255:
            raise RefusedError("INVALID_PRODUCT", "Title is too long (maximum is 255 characters)", "title")
        variant = self._variant(given, held)
        base = held or self._new(given, wanted, title)
        return base.model_copy(
            update={
                "title": title,
                "status": given.get("status") or base.status,
                "sku": variant.get("sku") or base.sku,
                "price": _price(variant["price"]) if "price" in variant else base.price,
                "updated_at": self.world.time_of("shop"),
            }
        )

    def _held(self, wanted: dict[str, Any]) -> ShopProduct | None:
        if "id" in wanted:
            row = self.products.by_id(wanted["id"])
            if row is None:
                raise RefusedError("PRODUCT_DOES_NOT_EXIST", "Product does not exist")
            return row
        return self.products.by_handle(wanted["handle"]) if wanted.get("handle") else None

    def _new(self, given: dict[str, Any], wanted: dict[str, Any], title: str) -> ShopProduct:
        handle = wanted.get("handle") or given.get("handle") or plain(title)
        if self.products.by_handle(handle):
            raise RefusedError("HANDLE_NOT_UNIQUE", f"Handle '{handle}' already in use", "handle")
        number = FIRST_MADE + self.world.counters.next("product")
        return ShopProduct(
            number=number, sku="", title=title, price=Decimal(0), handle=handle, updated_at=self.world.time_of("shop")
        )

    def _variant(self, given: dict[str, Any], held: ShopProduct | None) -> dict[str, Any]:
        variants = given.get("variants")
        if variants is None:
            return {}
        if not given.get("productOptions"):
            text = "Product options input is required when updating variants"
            raise RefusedError("PRODUCT_OPTIONS_INPUT_MISSING", text, "productOptions")
        if len(variants) != 1 or [v.get("name") for v in variants[0]["optionValues"]] != [VALUE]:
            raise RefusedError("INVALID_VARIANT", "The sandbox keeps products of one variant", "variants")
        name = variants[0].get("id")
        if name and (held is None or name != gid("ProductVariant", 46_000_000_000 + held.number)):
            raise RefusedError(
                "PRODUCT_VARIANT_DOES_NOT_EXIST", "Product variant does not exist", "variants", "0", "id"
            )
        return dict(variants[0])


def _price(text: str) -> Decimal:
    """A price as the shop keeps it: to the cent, as the vendor rounds."""
    try:
        price = Decimal(str(text))
    except InvalidOperation:
        raise RefusedError("INVALID_VARIANT", "Price is not a number", "variants", "0", "price") from None
    if price < 0:
        raise RefusedError("INVALID_VARIANT", "Price must be greater than or equal to 0", "variants", "0", "price")
    return price.quantize(Decimal("0.01"))


def plain(text: str) -> str:
    """The handle of a text."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
