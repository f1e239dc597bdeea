"""What one tenant knows, and what its documents do to it. Refusals are SAP's: a message class, a number, words."""

import threading
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import count
from typing import Any

Row = dict[str, Any]
Place = tuple[str, str, str, str]
"""Material, plant, storage location, stock type."""
MOVEMENTS = {
    "501": ("05", 1),
    "502": ("05", -1),
    "561": ("05", 1),
    "251": ("03", -1),
    "252": ("03", 1),
    "601": ("03", -1),
}
"""Movement type -> code of its transaction, and whether stock grows by it."""
UNRESTRICTED = "01"


class Refusal(Exception):  # noqa: N818  # it is one
    """What SAP says instead of doing something."""

    def __init__(self, code: str, words: str, status: int = 400, *details: str) -> None:
        super().__init__(words)
        self.status, self.code, self.words, self.details = status, code, words, details


@dataclass
class Books:
    """What a changeset that fails is rolled back to."""

    products: dict[str, Row] = field(default_factory=dict)
    stock: dict[Place, Decimal] = field(default_factory=dict)
    orders: dict[str, Row] = field(default_factory=dict)
    deliveries: dict[str, Row] = field(default_factory=dict)
    documents: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)


@dataclass
class Erp:
    """A tenant. `now` is the clock of both sides."""

    now: Callable[[], datetime]
    books: Books = field(default_factory=Books)
    places: set[str] = field(default_factory=lambda: {"1010/101A", "1010/101B"})
    parties: set[str] = field(default_factory=lambda: {"10100001"})
    companies: set[str] = field(default_factory=lambda: {"1010"})
    locks: dict[str, str] = field(default_factory=dict)
    """Material or number of a document -> the user who works on it."""
    padded: bool = False
    """Material numbers of digits are told with their zeros, 40 digits in all."""
    most: int = 0
    """Rows that a gateway gives at once, whatever is asked for; 0: as many as are asked for."""
    busy: int = 0
    """For so many requests a journal entry waits before it is posted."""
    queue: list[tuple[int, str, Row]] = field(default_factory=list)
    """How many requests are yet to come, message id, entry."""
    failed: list[Row] = field(default_factory=list)
    """What the monitor shows: message id, reason, entry."""
    throttled: int = 0
    """How many of the next requests are told to slow down."""
    lost: int = 0
    """How many of the next changes take effect and are not answered."""
    sessions: dict[str, str] = field(default_factory=dict)
    """Cookie -> CSRF token."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: Any = field(default_factory=lambda: count(1))

    # --- what happens there ---
    def keep(self, material: str, place: str, quantity: float, kind: str = UNRESTRICTED, cost: str = "10.00") -> None:
        """So much of a material is there."""
        plant, _, storage = place.partition("/")
        if material not in self.books.products:
            self.describe(material, f"Article {material}", cost)
        self.books.stock[material, plant, storage, kind] = Decimal(str(quantity))

    def describe(self, material: str, title: str, cost: str, *, sold: bool = True) -> None:
        """Somebody maintains a product."""
        self.books.products[material] = {
            "title": title, "cost": Decimal(cost), "sold": sold, "at": self.now().replace(microsecond=0),
        }  # fmt: skip

    def limit(self, most: int) -> None:
        """Give fewer rows at once."""
        self.most = most

    def lock_up(self, what: str, user: str = "JDOE") -> None:
        """Somebody begins to work on a material or a document."""
        self.locks[what] = user

    def let_go(self) -> None:
        """Nobody works on anything."""
        self.locks.clear()

    def forget(self) -> None:
        """All sessions end."""
        self.sessions.clear()

    # --- documents ---
    def free(self, what: str, code: str, words: str) -> None:
        """See that nobody works on it. Raises Refusal."""
        if what in self.locks:
            raise Refusal(code, words.format(what, self.locks[what]))

    def order(self, told: Row) -> Row:
        """Book a sales order. Raises Refusal."""
        if told.get("SoldToParty") not in self.parties:
            raise Refusal("V1/156", f"Sold-to party {told.get('SoldToParty')} not maintained for sales area")
        for name in ("SalesOrderType", "SalesOrganization", "DistributionChannel", "OrganizationDivision"):
            if not told.get(name):
                raise Refusal("V1/384", f"Sales area is not complete: {name}")
        items = [self._order_item(at, one) for at, one in enumerate(inner(told, "to_Item"), 1)]
        if not items:
            raise Refusal("V4/219", "Sales document was not changed: it has no items")
        number = f"{next(self.numbers):d}"
        now = self.now()
        row = {**told, "SalesOrder": number, "LastChangeDateTime": now, "CreationDate": day(now), "to_Item": items}
        row["TotalNetAmount"] = sum((one["NetAmount"] for one in items), Decimal(0))
        self.books.orders[number] = row
        return row

    def _order_item(self, at: int, told: Row) -> Row:
        material = self.known(str(told.get("Material", "")), "V1/382", "Material {} is not defined for sales org. 1010")
        self.free(material, "M3/897", "The plant data of material {} is locked by user {}")
        quantity = amount(told, "RequestedQuantity")
        if quantity <= 0:
            raise Refusal("V1/251", f"Enter an order quantity for item {told.get('SalesOrderItem')}")
        self.there(told.get("ProductionPlant"), told.get("StorageLocation"))
        prices = inner(told, "to_PricingElement")
        rate = amount(prices[0], "ConditionRateValue") if prices else Decimal(0)
        number = str(told.get("SalesOrderItem") or at * 10)
        return {
            **told,
            "SalesOrderItem": number,
            "Material": material,
            "RequestedQuantity": quantity,
            "NetAmount": rate * quantity,
        }

    def known(self, material: str, code: str, words: str) -> str:
        """Return the material as it is kept; zeros before digits do not count. Raises Refusal."""
        bare = material.lstrip("0") if material.isdigit() else material
        if bare not in self.books.products:
            raise Refusal(code, words.format(material))
        return bare

    def there(self, plant: Any, storage: Any) -> None:
        """See that there is such a place. Raises Refusal."""
        if f"{plant}/{storage}" not in self.places:
            raise Refusal("M7/020", f"Storage location {storage} does not exist in plant {plant}")

    def deliver(self, told: Row) -> Row:
        """Make an outbound delivery of a sales order. Raises Refusal."""
        number, items = f"8{next(self.numbers):07d}", []
        for at, one in enumerate(inner(told, "to_DeliveryDocumentItem"), 1):
            items.append({**self._delivery_item(one), "DeliveryDocument": number, "DeliveryDocumentItem": str(at * 10)})
        if not items:
            raise Refusal("VL/559", "No delivery was created: there are no items")
        row = {
            "DeliveryDocument": number, "BillOfLading": "", "OverallPickingStatus": "A", "OverallGoodsMovementStatus": "A",
            "ActualGoodsMovementDate": None, "LastChangeDate": day(self.now()), "version": 1, "to_DeliveryDocumentItem": items,
        }  # fmt: skip
        self.books.deliveries[number] = row
        return row

    def _delivery_item(self, told: Row) -> Row:
        order = self.books.orders.get(str(told.get("ReferenceSDDocument")))
        number = str(int(str(told.get("ReferenceSDDocumentItem") or 0)))
        if order is None:
            raise Refusal("VL/001", f"Sales document {told.get('ReferenceSDDocument')} does not exist")
        self.free(str(order["SalesOrder"]), "V1/042", "Sales document {} is currently being processed by user {}")
        item = next((one for one in order["to_Item"] if one["SalesOrderItem"] == number), None)
        quantity = amount(told, "ActualDeliveryQuantity")
        if item is None or quantity > item["RequestedQuantity"] - self._delivered(order["SalesOrder"], number):
            raise Refusal("VL/367", "An item with no outstanding quantity cannot be delivered")
        return {
            "ReferenceSDDocument": order["SalesOrder"], "ReferenceSDDocumentItem": number.zfill(6), "Material": item["Material"],
            "Plant": item["ProductionPlant"], "StorageLocation": item["StorageLocation"], "ActualDeliveryQuantity": quantity,
            "DeliveryQuantityUnit": told.get("DeliveryQuantityUnit", "PC"),
        }  # fmt: skip

    def _delivered(self, order: str, item: str) -> Decimal:
        items = (one for row in self.books.deliveries.values() for one in row["to_DeliveryDocumentItem"])
        ours = (
            one
            for one in items
            if (one["ReferenceSDDocument"], one["ReferenceSDDocumentItem"]) == (order, item.zfill(6))
        )
        return sum((one["ActualDeliveryQuantity"] for one in ours), Decimal(0))

    def pick(self, row: Row) -> None:
        """Pick all items of a delivery."""
        row["OverallPickingStatus"] = "C"
        row["version"] += 1

    def issue(self, row: Row) -> None:
        """Post the goods issue of a delivery. Raises Refusal."""
        number = row["DeliveryDocument"]
        self.free(number, "VL/046", "Delivery {} is currently being processed by user {}")
        if row["OverallGoodsMovementStatus"] == "C":
            raise Refusal("VL/602", f"Goods issue has already been posted for delivery {number}")
        if row["OverallPickingStatus"] != "C":
            raise Refusal("VL/609", f"Delivery {number} has not yet been completely picked")
        items = [
            {"GoodsMovementType": "601", "QuantityInEntryUnit": one["ActualDeliveryQuantity"], "EntryUnit": "PC", **one}
            for one in row["to_DeliveryDocumentItem"]
        ]
        self.move(
            {"GoodsMovementCode": "03", "ReferenceDocument": number, "to_MaterialDocumentItem": {"results": items}}
        )
        row |= {
            "OverallGoodsMovementStatus": "C",
            "ActualGoodsMovementDate": day(self.now()),
            "version": row["version"] + 1,
        }

    def move(self, told: Row) -> Row:
        """Post a material document: all of its items, or none. Raises Refusal."""
        stock, items = dict(self.books.stock), []
        for at, one in enumerate(inner(told, "to_MaterialDocumentItem"), 1):
            items.append({**self._moved(told.get("GoodsMovementCode"), one, stock), "MaterialDocumentItem": str(at)})
        if not items:
            raise Refusal("M7/022", "Document does not contain any items")
        now = self.now()
        about = {"MaterialDocumentYear": str(now.year), "MaterialDocument": f"49{next(self.numbers):08d}"}
        reference = str(told.get("ReferenceDocument") or "").upper()
        row = {**told, **about, "ReferenceDocument": reference, "CreationDate": day(now)}
        row["to_MaterialDocumentItem"] = [{**one, **about} for one in items]
        self.books.stock = stock
        self.books.documents.append(row)
        return row

    def _moved(self, code: Any, told: Row, stock: dict[Place, Decimal]) -> Row:
        movement = str(told.get("GoodsMovementType"))
        if MOVEMENTS.get(movement, ("", 0))[0] != code:
            raise Refusal("M7/130", f"Movement type {movement} is not allowed for goods movement code {code}")
        material = self.known(
            str(told.get("Material", "")), "M3/305", "The material {} does not exist or is not activated"
        )
        self.free(material, "M3/897", "The plant data of material {} is locked by user {}")
        plant, storage = told.get("Plant"), told.get("StorageLocation")
        self.there(plant, storage)
        key, quantity = (material, str(plant), str(storage), UNRESTRICTED), amount(told, "QuantityInEntryUnit")
        left = stock.get(key, Decimal(0)) + MOVEMENTS[movement][1] * quantity
        if left < 0:
            raise Refusal("M7/021", f"Deficit of SL Unrestricted-use {-left} PC : {material} {plant} {storage}")
        stock[key] = left
        return {
            **told,
            "Material": material,
            "QuantityInEntryUnit": quantity,
            "QuantityInBaseUnit": quantity,
            "MaterialBaseUnit": "PC",
        }

    # --- journal entries ---
    def enqueue(self, message: str, told: Row) -> None:
        """Take an entry on; it is posted, or fails, by itself."""
        self.queue.append((self.busy, message, told))

    def settle(self) -> None:
        """Post what is due of the queue."""
        due = [one for one in self.queue if one[0] <= 0]
        self.queue = [(left - 1, message, told) for left, message, told in self.queue if left > 0]
        for _, message, told in due:
            try:
                self._post(told)
            except Refusal as refusal:
                self.failed.append({"message": message, "reason": f"{refusal.code} {refusal.words}", "entry": told})

    def restart(self) -> None:
        """Somebody starts what failed again, in the monitor: it is posted once what was wrong is put right, however long that took."""
        failed, self.failed = self.failed, []
        for one in failed:
            self.enqueue(one["message"], one["entry"])
        self.settle()

    def _post(self, told: Row) -> None:
        if told["CompanyCode"] not in self.companies:
            raise Refusal("F5/165", f"Company code {told['CompanyCode']} does not exist")
        if sum((one["AmountInTransactionCurrency"] for one in told["items"]), Decimal(0)):
            raise Refusal("RW/022", "Balance in transaction currency")
        about = {
            "FiscalYear": told["PostingDate"][:4],
            "AccountingDocument": f"1{next(self.numbers):09d}",
            "Ledger": "0L",
        }
        shared = {name: told[name] for name in ("CompanyCode", "DocumentReferenceID", "DocumentHeaderText")}
        for at, one in enumerate(told["items"], 1):
            self.books.entries.append({**about, **shared, **one, "LedgerGLLineItem": f"{at:06d}"})

    # --- what is looked into from outside ---
    @property
    def effects(self) -> dict[str, list[str]]:
        """References of what was booked, by kind of document; one for each time."""
        gone = [
            one["BillOfLading"] for one in self.books.deliveries.values() if one["OverallGoodsMovementStatus"] == "C"
        ]
        posted = {
            (one["FiscalYear"], one["AccountingDocument"]): one["DocumentHeaderText"] for one in self.books.entries
        }
        return {
            "orders": [str(one.get("PurchaseOrderByCustomer")) for one in self.books.orders.values()],
            "deliveries": gone,
            "documents": [str(one.get("MaterialDocumentHeaderText") or "") for one in self.books.documents],
            "entries": list(posted.values()),
        }  # fmt: skip

    def together(self, work: Callable[[], Any]) -> Any:
        """Do all of something or nothing. Raises what it raises."""
        before = deepcopy(self.books)
        try:
            return work()
        except Refusal:
            self.books = before
            raise


def inner(told: Mapping[str, Any], name: str) -> list[Row]:
    """Return what stands under a navigation: `{"results": […]}`, or a list. Raises Refusal."""
    held = told.get(name) or []
    rows = held.get("results", []) if isinstance(held, Mapping) else held
    if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
        raise Refusal("/IWBEP/CM_MGW/096", f"Malformed payload: {name}")
    return rows


def amount(told: Mapping[str, Any], name: str) -> Decimal:
    """Return a decimal, which has to be told as text. Raises Refusal."""
    value = told.get(name)
    if isinstance(value, Decimal):
        return value
    try:
        if not isinstance(value, str):
            raise InvalidOperation
        return Decimal(value)
    except InvalidOperation:
        raise Refusal("/IWBEP/CM_MGW/096", f"Property '{name}' at offset '1' has invalid value '{value}'") from None


def day(at: datetime) -> datetime:
    """Return the first instant of a day."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
