"""Everything the sandbox remembers, as plain records. Quantities are pieces, times aware UTC, money exact decimals."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel


class Level(BaseModel):
    """One article at one location, in everybody's books. `on_hand` is the physical truth.

    `reserved`, a part of `allocated`, is promised to other channels. `erp_factor` and `erp_code`: what the ERP multiplies its
    balance by, and lists the article as, where somebody has set it up wrong.
    """

    sku: str
    location: str
    on_hand: int
    allocated: int = 0
    on_order: int = 0
    backorder: int = 0
    reserved: int = 0
    wms_updated_at: datetime
    open_units: int = 0
    ats: int = 0
    erp_on_hand: int = 0
    erp_committed: int = 0
    erp_factor: int = 1
    erp_code: str | None = None
    erp_updated_at: datetime
    shop_available: int = 0
    shop_committed: int = 0
    shop_updated_at: datetime

    @property
    def key(self) -> str:
        """`sku@location`."""
        return f"{self.sku}@{self.location}"

    @property
    def available(self) -> int:
        """What the warehouse could still promise."""
        return self.on_hand - self.allocated


class Event(BaseModel):
    """Something due: who acts (`kind`), when, with what."""

    id: int
    due: datetime
    kind: str
    data: dict[str, Any] = {}


class Unsubscribed(BaseModel):
    """A webhook that somebody took away at the vendor; all others are subscribed to."""

    system: str
    topic: str


class Numbers(BaseModel):
    """Counters for ids and stream positions."""

    values: dict[str, int] = {}


class Meta(BaseModel):
    """When this world began, and what was switched through the control API."""

    started_at: datetime
    seed: int
    running: bool = True
    rate: float = 1.0
    inactive: dict[str, datetime] = {}
    """Articles that the ERP does not sell any more, and since when."""


class ShopLine(BaseModel):
    """A line of a shop order; `id` is also the number of its fulfilment order line."""

    id: int
    sku: str
    quantity: int
    price: Decimal
    fulfilled: int = 0
    shipped: int = 0


class Fulfilment(BaseModel):
    """A fulfilment the shop was told of."""

    id: int
    created_at: datetime
    lines: dict[str, int]
    tracking_number: str | None
    tracking_company: str | None
    tracking_url: str | None


class Refund(BaseModel):
    """What a customer got back: pieces by line id, and money through a gateway."""

    id: int
    created_at: datetime
    lines: dict[str, int]
    restock_type: str
    amount: Decimal
    gateway: str
    status: str = "SUCCESS"


class ShopPayout(BaseModel):
    """Money on its way from the payments account to the bank: the movements that it is made up of."""

    id: int
    issued_at: datetime
    status: str
    net: Decimal
    movements: list[int]


class ShopOrder(BaseModel):
    """An order the shop accepted; `lines` keep their line ids. `store`: the one whose till took it; `ships`: it is sent to somebody."""

    id: int
    name: str
    created_at: datetime
    updated_at: datetime
    customer: dict[str, str]
    lines: list[ShopLine]
    fulfilments: list[Fulfilment] = []
    refunds: list[Refund] = []
    store: str | None = None
    ships: bool = True
    gateway: str = "shopify_payments"

    @property
    def refunded(self) -> Decimal:
        """What was given back of it."""
        return sum((refund.amount for refund in self.refunds), Decimal(0))

    @property
    def total(self) -> Decimal:
        """Price of all lines."""
        return sum((line.price * line.quantity for line in self.lines), Decimal(0))


class KeptAnswer(BaseModel):
    """The first answer to an idempotency key, with a digest of what was asked."""

    digest: str
    failed: bool
    payload: dict[str, Any]


class ShopProduct(BaseModel):
    """What the shop shows of an article since somebody changed it there, or made it there."""

    number: int
    sku: str
    title: str
    price: Decimal
    status: str = "ACTIVE"
    handle: str
    updated_at: datetime


class Upload(BaseModel):
    """A place for a file, and the file once it came."""

    signature: str
    content: str | None = None


class BulkOperation(BaseModel):
    """A mutation for each line of a file, or a query (`kind`) whose pages are walked: what came of it so far, as lines."""

    id: int
    token: str
    kind: str = "MUTATION"
    mutation: str
    """The text of the mutation, or of the query."""
    lines: list[str] = []
    after: str | None = None
    """Of a query: the cursor that it has come to."""
    roots: int = 0
    error_code: str | None = None
    results: list[str] = []
    status: str = "CREATED"
    created_at: datetime
    completed_at: datetime | None = None


class WmsLine(BaseModel):
    """A line of a warehouse order."""

    sku: str
    quantity: int
    partner_line_item_id: str | None = None
    allocated: int = 0
    shipped: int = 0


class WmsOrder(BaseModel):
    """An order the warehouse was given; `shop_order` is the shop's order id when the warehouse's papers name one."""

    id: str
    order_number: str
    partner_order_id: str | None
    shop_order: str | None
    ref: str
    created_at: datetime
    updated_at: datetime
    status: str = "pending"
    lines: list[WmsLine]


class Shipment(BaseModel):
    """Goods that left the warehouse."""

    id: str
    order_id: str
    order_number: str
    partner_order_id: str | None
    order_ref: str
    shipped_at: datetime
    carrier: str
    tracking: str
    lines: dict[str, int]
    fulfilled: bool = False


class Receipt(BaseModel):
    """Goods that arrived on a purchase order."""

    id: str
    received_at: datetime
    sku: str
    quantity: int


class PurchaseOrder(BaseModel):
    """A purchase order of one article, received in one or several receipts."""

    id: str
    number: str
    sku: str
    quantity: int
    created_at: datetime
    updated_at: datetime
    receipts: list[Receipt] = []

    @property
    def received(self) -> int:
        """Pieces received so far."""
        return sum(receipt.quantity for receipt in self.receipts)


class Return(BaseModel):
    """Goods that came back and were restocked."""

    id: str
    order_number: str
    order_ref: str
    shipment_id: str
    sku: str
    quantity: int
    received_at: datetime


class StockMove(BaseModel):
    """One line of the warehouse's own stock history."""

    id: str
    sku: str
    change: int
    on_hand: int
    reason: str
    created_at: datetime


class TillLine(BaseModel):
    """A sold line waiting for the next till file."""

    store: str
    receipt: str
    line: int
    plu: str
    quantity: int
    unit_price: Decimal
    sold_at: datetime


class ErpRecord(BaseModel):
    """A document in the ERP under its external id. `lines`: pieces by sku@location; `effect`: what it did to stock."""

    id: int
    type: str
    external_id: str
    tran_id: str
    doc: str
    ref: str
    created_from: str | None
    created_at: datetime
    updated_at: datetime
    lines: dict[str, int]
    effect: dict[str, int]
    digest: str
    body: dict[str, Any]


class WmsSnapshot(BaseModel):
    """An export of stock: what was asked, how it stands, and the file once there is one."""

    id: str
    token: str
    warehouse_id: str | None
    has_inventory: bool = False
    status: str = "enqueued"
    error: str | None = None
    created_at: datetime
    updated_at: datetime
    content: str | None = None


class ErpJob(BaseModel):
    """A record that is put later: what was asked, under which key, and what came of it."""

    id: int
    key: str | None
    kind: str
    external_id: str
    body: dict[str, Any]
    progress: str = "pending"
    began_at: datetime
    ended_at: datetime | None = None
    native_id: int | None = None
    problem: list[Any] | None = None
    """Status, code, detail and place of the refusal."""


class Outgoing(BaseModel):
    """A webhook on its way: body as first written, attempts made, what fate a fault gave it."""

    id: str
    system: str
    topic: str
    path: str
    headers: dict[str, str]
    body: str
    keys: list[str]
    created_at: datetime
    due: datetime
    attempt: int = 0
    fate: str = "sent"
    order: int


class Fault(BaseModel):
    """A fault in force or to come. `seen` counts the occasions it could have struck, `hits` those it did."""

    id: str
    spec: dict[str, Any]
    on_at: datetime
    off_at: datetime | None
    active: bool = False
    seen: int = 0
    hits: int = 0


class PagerEvent(BaseModel):
    """What the incident tool was told."""

    received_at: datetime
    dedup_key: str
    event_action: str
    body: dict[str, Any]
