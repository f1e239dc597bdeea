"""What the retailer sells. The list depends only on its length, never on the seed, so mappings can be written down."""

from decimal import Decimal
from typing import NamedTuple

WAREHOUSE = "WH1"
CURRENCY = "USD"
_COLOURS = ("NVY", "WHT", "BLK", "RED", "GRN")
_SIZES = ("S", "L", "XL", "M")
_GARMENTS = ("Shirt", "Jacket", "Scarf", "Trousers", "Jumper", "Cap", "Coat")

ACCOUNTS = {
    "1000": "Cash at bank",
    "1050": "Till cash",
    "1100": "Accounts receivable",
    "1150": "Processor clearing",
    "1160": "Marketplace clearing",
    "1200": "Inventory",
    "1210": "Inventory in transit",
    "1250": "Right of return asset",
    "2000": "Accounts payable",
    "2050": "Goods received not invoiced",
    "2100": "Deferred revenue",
    "2150": "Refund liability",
    "2160": "Refunds payable",
    "2200": "Sales tax payable",
    "2300": "Gift card liability",
    "4000": "Product revenue",
    "4010": "Shipping revenue",
    "4050": "Discounts",
    "4090": "Returns and allowances",
    "5000": "Cost of goods sold",
    "5100": "Inventory shrink",
    "5200": "Processing fees",
    "7000": "Foreign exchange",
}


class Item(NamedTuple):
    """One article under its names in every system. `number` counts from 1."""

    number: int
    sku: str
    plu: str
    title: str
    price: Decimal
    cost: Decimal

    @property
    def erp_id(self) -> int:
        """The ERP's internal id."""
        return 1000 + self.number

    @property
    def shop_item_id(self) -> int:
        """The shop's inventory item number."""
        return 45_000_000_000 + self.number

    @property
    def shop_product_id(self) -> int:
        """The shop's product number."""
        return 44_000_000_000 + self.number

    @property
    def shop_variant_id(self) -> int:
        """The shop's product variant number."""
        return 46_000_000_000 + self.number


def make_item(number: int) -> Item:
    """The article with that number: 7 is SKU `0007-BLK-M`, PLU `900007`."""
    colour, size = _COLOURS[number % len(_COLOURS)], _SIZES[number % len(_SIZES)]
    price = Decimal(9 + number * 7 % 90) + Decimal("0.90")
    cost = (price * Decimal("0.42")).quantize(Decimal("0.01"))
    title = f"{_GARMENTS[number % len(_GARMENTS)]} {colour} {size}"
    return Item(number, f"{number:04d}-{colour}-{size}", str(900_000 + number), title, price, cost)


class Catalogue:
    """All articles, found by any of their names, and all locations."""

    def __init__(self, size: int, stores: list[str]) -> None:
        self.items = [make_item(number) for number in range(1, size + 1)]
        self.locations = [WAREHOUSE, *stores]
        self.by_sku = {item.sku: item for item in self.items}
        self.by_erp_id = {str(item.erp_id): item for item in self.items}
        self.by_shop_item = {item.shop_item_id: item for item in self.items}

    def erp_location_id(self, location: str) -> int:
        """The ERP's internal id of a location: 1 is the warehouse."""
        return self.locations.index(location) + 1

    def location_of(self, text: str) -> str | None:
        """The location behind an ERP internal id or a name, or None."""
        if text in self.locations:
            return text
        known = text.isdigit() and 1 <= int(text) <= len(self.locations)
        return self.locations[int(text) - 1] if known else None

    def item_of(self, text: str) -> Item | None:
        """The article behind an ERP internal id or a SKU, or None."""
        return self.by_sku.get(text) or self.by_erp_id.get(text)
