"""The data of each message type in its newest schema version (rules.model.upcast). A message is one event about one business key."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from rules.model import upcast
from rules.money import to_minor

Text = Annotated[str, Field(min_length=1, max_length=190)]
Units = Annotated[int, Field(strict=True, gt=0, le=10**9)]
"""How many, at least one: an integer; a text, true and 5.0 are none, for nobody knows what else their sender means by them."""
Count = Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31)]
"""How many, or a place in a row, below zero too: an integer, as `Units`."""
Price = Annotated[Decimal, Field(gt=-(10**12), lt=10**12, max_digits=24, decimal_places=12)]
"""Money for one of something: bounded, so that sums and products stay exact; no text of a number is longer than the number."""
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


def _whole(name: str, amount: Decimal | None, currency: str) -> None:
    if amount is not None and amount != to_minor(amount, currency):
        raise ValueError(f"{name} is no whole number of the minor units of {currency}")


class Data(BaseModel):
    """Base of all message data: frozen, and refusing what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StockLine(Data):
    """So many units of one SKU."""

    sku: Text
    quantity: Units


class StockLevel(Data):
    """`stock.level`: what a stock-keeping system holds of a SKU at a location; state-like."""

    sku: Text
    location: Text
    on_hand: Count
    allocated: Count
    available: Count
    in_transit: Count
    source_at: AwareDatetime


class ProductDescribed(Data):
    """`product.described`: what an item is called and costs, and whether it is sold; state-like. Version 2."""

    sku: Text
    title: str
    unit_cost: Price | None
    unit_price: Price | None
    currency: Currency
    active: bool = True
    """An order or a sale of an item that is not sold any more waits for somebody's look at it."""


class Tax(Data):
    """Tax that was charged on a line of an order, all kinds of it together, as the system that took the order tells it."""

    amount: Price
    """On all units of the line, to the minor unit."""
    code: Text | None = None
    """What sort of goods they are to the tax; ours. None: the system has no such code."""
    rate: Annotated[Decimal, Field(ge=0, le=10)] | None = None
    """The share that was charged, 0.0825 for 8.25 %; None where it does not say."""
    jurisdiction: Text | None = None
    """By whose law; None where it does not say."""
    included: bool = False
    """The line's price has it in it."""
    remitter: Literal["retailer", "marketplace", "both"] | None = None
    """Who owes it to the authority. A marketplace that collects and remits it leaves the retailer owing none of it, told or not; None:
    the system does not say, and the retailer owes it all."""
    withheld: Price = Decimal(0)
    """How much of `amount` the marketplace remits: all of it, some of `both`, none of the retailer's."""

    @model_validator(mode="after")
    def _shared(self) -> Self:
        low, high = sorted((Decimal(0), self.amount))
        right = {"marketplace": self.withheld == self.amount, "both": low <= self.withheld <= high}
        if not right.get(self.remitter or "", self.withheld == 0):
            raise ValueError(
                f"{self.withheld} of {self.amount} is no share of tax that the {self.remitter or 'retailer'} remits"
            )
        return self


def _whole_tax(name: str, tax: Tax | None, currency: str) -> None:
    if tax:
        _whole(name, tax.amount, currency)
        _whole(f"{name} that is withheld", tax.withheld, currency)


class TaxPlace(Data):
    """Where goods leave or arrive, as far as tax depends on it. Nobody's street or name."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    region: Annotated[str, Field(max_length=20)] = ""
    postal_code: Annotated[str, Field(max_length=20)] = ""


class OrderLine(Data):
    """A line of an order."""

    line: Count
    native_id: Text
    sku: Text
    location: Text
    quantity: Units
    unit_price: Price
    tax: Tax | None = None
    """None: it is not known what was charged, which is never taken for nothing."""


class OrderPlaced(Data):
    """`order.placed`: a customer ordered; document-like. Of the customer it says nothing but `ship_to`. Version 4."""

    ref: Text
    native_id: Text
    placed_at: AwareDatetime
    currency: Currency
    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1)]
    store: Text | None = None
    """The store whose till took it, to be sent from there or elsewhere; None: it was ordered online."""
    tax: Price | None = None
    """All tax that was charged, that on shipping too; None where the system does not say."""
    ship_to: TaxPlace | None = None
    """None where the system does not say."""

    @model_validator(mode="after")
    def _exact(self) -> Self:
        _whole("tax", self.tax, self.currency)
        for one in self.lines:
            _whole_tax(f"the tax of line {one.line}", one.tax, self.currency)
        return self

    @property
    def value(self) -> Decimal:
        """Sum of the lines, without tax and shipping."""
        return sum((line.unit_price * line.quantity for line in self.lines), Decimal(0))


class ShipmentShipped(Data):
    """`shipment.shipped`: goods left a warehouse for an order; document-like."""

    shipment: Text
    order_ref: Text
    location: Text
    shipped_at: AwareDatetime
    carrier: str = ""
    tracking: str = ""
    lines: Annotated[tuple[StockLine, ...], Field(min_length=1)]


class ReceiptReceived(Data):
    """`receipt.received`: goods of a purchase order arrived; document-like."""

    receipt: Text
    purchase_order: Text
    location: Text
    received_at: AwareDatetime
    lines: Annotated[tuple[StockLine, ...], Field(min_length=1)]


class ReturnReceived(Data):
    """`return.received`: goods came back and were put on the shelf; document-like."""

    return_ref: Text
    order_ref: Text
    location: Text
    received_at: AwareDatetime
    lines: Annotated[tuple[StockLine, ...], Field(min_length=1)]


class SaleRecorded(Data):
    """`sale.recorded`: one line of a store's till; document-like. `quantity` is negative for goods handed back. Version 3."""

    ref: Text
    location: Text
    sku: Text
    quantity: Count
    unit_price: Price
    currency: Currency
    sold_at: AwareDatetime
    tax_code: Text | None = None
    """Ours; None where the till does not say."""
    tax: Tax | None = None
    """What was charged on it, given back where goods are: then below zero. None where the till does not say."""

    @model_validator(mode="after")
    def _exact(self) -> Self:
        _whole_tax("tax", self.tax, self.currency)
        return self


class StockOffer(Data):
    """`stock.offer`: what a channel ought to show as available to sell; state-like, made by the plane."""

    sku: Text
    location: Text
    channel: Text
    quantity: Annotated[Count, Field(ge=0)]
    expected: Count | None
    """What the ledger says the channel shows at this moment; the write is refused when it shows something else."""
    rule_revision: str


class PostingLine(Data):
    """One side of a posting; exactly one of debit and credit is not zero."""

    account: Text
    debit: Decimal
    credit: Decimal
    memo: str = ""


class PostingMade(Data):
    """`posting.made`: a balanced journal entry; document-like, made by the plane."""

    posting_key: Text
    document: Text
    business_date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    currency: Currency
    lines: Annotated[tuple[PostingLine, ...], Field(min_length=2)]
    rule_revision: str


class TaxedLine(Data):
    """A line of what is about to be posted, without its tax, and the tax that was put on it."""

    number: Text
    sku: Text
    quantity: Units
    amount: Price
    tax: Price
    tax_code: Text
    """Ours."""
    withheld: Price = Decimal(0)
    """How much of `tax` a marketplace remits itself."""


class TaxAsked(Data):
    """`tax.asked`: a posting waits for a tax engine to agree with the tax on its document; document-like, made by the plane. Version 2.

    Lines whose tax a marketplace remits are not asked about; of them it says what they are worth.
    """

    posting_key: Text
    document: Text
    cause: Text
    """Id of the message that the posting is of."""
    engine: Text
    """The System that is asked."""
    rule: Text
    """The AccountingRule that makes the posting."""
    rule_revision: str
    """Under which it was asked."""
    issued_on: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    """The business date."""
    currency: Currency
    ship_from: TaxPlace
    ship_to: TaxPlace
    lines: Annotated[tuple[TaxedLine, ...], Field(min_length=1)]
    tolerance: Annotated[Price, Field(ge=0)]
    """By how much a line, and all of them, may differ from what is due."""

    unasked: Price = Decimal(0)
    """What the lines are worth without tax that a marketplace remits the tax of."""

    @property
    def net(self) -> Decimal:
        """Sum of all lines without tax."""
        return sum((line.amount for line in self.lines), self.unasked)

    @property
    def tax(self) -> Decimal:
        """How much of the lines' tax the retailer owes."""
        return sum((line.tax - line.withheld for line in self.lines), Decimal(0))


class TaxAgreed(Data):
    """`tax.agreed`: the engine agreed with the tax on a document, so that its posting is owed; document-like, made by the plane."""

    posting_key: Text
    document: Text
    cause: Text
    engine: Text
    rule: Text
    net: Price
    """The lines without their tax."""
    tax: Price
    """What the retailer owes."""
    currency: Currency


PaymentKind = Literal[
    "charge", "refund", "refund_failed", "dispute", "dispute_won", "fee", "payout", "payout_failed", "other",
]  # fmt: skip


class PaymentRecorded(Data):
    """`payment.recorded`: money moved on the balance at a payment provider; document-like. No personal data in it."""

    ref: Text
    """The provider's id of the movement."""
    kind: PaymentKind
    native_kind: Text
    """What the provider calls it."""
    about: str = ""
    """The provider's id of the payment, refund, dispute or payout that it is of; empty where there is none."""
    order_ref: str = ""
    """The order that was paid for, where the provider was told."""
    amount: Price
    fee: Price
    net: Price
    """amount less fee; negative: it left the balance."""
    currency: Currency
    recorded_at: AwareDatetime
    available_at: AwareDatetime

    @model_validator(mode="after")
    def _exact(self) -> Self:
        for name in ("amount", "fee", "net"):
            if getattr(self, name) != to_minor(getattr(self, name), self.currency):
                raise ValueError(f"{name} is no whole number of the minor units of {self.currency}")
        if self.amount - self.fee != self.net:
            raise ValueError(f"the amount {self.amount} less the fee {self.fee} is not the net {self.net}")
        return self


class SettlementChanged(Data):
    """`settlement.changed`: where a payout to the bank stands; document-like, each state a fact of its own: paid, then failed, are two."""

    ref: Text
    """The provider's id of the payout."""
    state: Literal["pending", "in_transit", "paid", "failed", "canceled"]
    amount: Price
    currency: Currency
    arrives_on: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    reason: str = ""
    """Why it failed, in the provider's words."""
    changed_at: AwareDatetime


class RefundRequested(Data):
    """`refund.requested`: a customer is owed money back by the payment provider; document-like. No personal data in it."""

    ref: Text
    """Ours; one refund, however often it is told."""
    payment: Text
    """The provider's id of the payment."""
    order_ref: str = ""
    amount: Annotated[Price, Field(gt=0)]
    currency: Currency
    reason: Literal["", "duplicate", "fraudulent", "requested_by_customer"] = ""
    requested_at: AwareDatetime

    @model_validator(mode="after")
    def _exact(self) -> Self:
        if self.amount != to_minor(self.amount, self.currency):
            raise ValueError(f"amount is no whole number of the minor units of {self.currency}")
        return self


class IncidentNotified(Data):
    """`incident.notified`: what an incident tool is told; document-like, made by the plane."""

    incident: Text
    fingerprint: Text
    action: Literal["trigger", "resolve"]
    sequence: Count
    severity: Literal["page", "ticket"]
    title: str
    owner: Text
    cause: str
    money_at_risk: Decimal | None
    currency: str | None
    opened_at: datetime
    url: str


TYPES: dict[str, type[Data]] = {
    "stock.level": StockLevel,
    "product.described": ProductDescribed,
    "order.placed": OrderPlaced,
    "shipment.shipped": ShipmentShipped,
    "receipt.received": ReceiptReceived,
    "return.received": ReturnReceived,
    "sale.recorded": SaleRecorded,
    "stock.offer": StockOffer,
    "tax.asked": TaxAsked,
    "tax.agreed": TaxAgreed,
    "posting.made": PostingMade,
    "payment.recorded": PaymentRecorded,
    "settlement.changed": SettlementChanged,
    "refund.requested": RefundRequested,
    "incident.notified": IncidentNotified,
}
"""Message type to the model of its data."""

STATE_LIKE = frozenset({"stock.level", "product.described", "stock.offer"})
"""Types of which only the last message of a subject matters; all others are documents."""

STATE_OF = {"stock.offer": "channel"}
"""State-like types of which there is one state per source, subject and this field of the data; of others per source and subject."""


def version_of(message_type: str) -> int:
    """Return the schema version that messages of a type are written in now."""
    return upcast.newest(message_type)


def parse(message_type: str, data: dict[str, Any], version: int | None = None) -> Data:
    """Return the typed data of a message; data of an older schema `version` is brought forward first.

    Raises KeyError for an unknown type, ValueError for a version that is not known, pydantic's ValidationError for bad data.
    """
    model = TYPES[message_type]
    if version is not None and version != upcast.newest(message_type):
        data = upcast.forward(message_type, data, version)
    return model.__pydantic_validator__.validate_python(data)  # type: ignore[no-any-return]  # model_validate, quicker


def as_json(data: Data) -> str:
    """Return data as the JSON that the ledger keeps."""
    return data.__pydantic_serializer__.to_json(data).decode()


def subject_of(data: Data) -> str:
    """Return the business key that data speaks of."""
    match data:
        case StockLevel() | StockOffer():
            return stock_key(data.sku, data.location)
        case ProductDescribed():
            return data.sku
        case ShipmentShipped():
            return data.shipment
        case ReceiptReceived():
            return data.receipt
        case ReturnReceived():
            return data.return_ref
        case PostingMade() | TaxAsked() | TaxAgreed():
            return data.posting_key
        case IncidentNotified():
            return data.incident
    return str(said(data, "ref") or "")


HAPPENED = (
    "source_at", "placed_at", "shipped_at", "received_at", "sold_at", "recorded_at", "changed_at", "requested_at", "opened_at",
)  # fmt: skip
"""Fields that say when it happened, of which a type of message has one at most."""


def said(data: Data, name: str) -> Any:
    """Return a field of data, None where this type of message has none (pydantic's own look for a missing attribute is dear)."""
    return vars(data).get(name)


def happened(data: Data) -> tuple[str, datetime] | None:
    """Return the field that says when it happened, and the instant; None where this message does not say."""
    name = _happened(type(data))
    at = vars(data)[name] if name else None
    return None if name is None or at is None else (name, at)


@cache
def _happened(kind: type[Data]) -> str | None:
    return next((name for name in HAPPENED if name in kind.model_fields), None)


def worth_of(data: Data) -> tuple[Decimal, str] | None:
    """Return what a document is worth by itself, and its currency; None where it does not say."""
    match data:
        case OrderPlaced():
            return data.value, data.currency
        case SaleRecorded():
            return to_minor(data.unit_price * data.quantity, data.currency), data.currency
        case TaxAsked():
            return abs(data.net + data.tax), data.currency
        case PostingMade():
            return sum((line.debit for line in data.lines), Decimal(0)), data.currency
        case PaymentRecorded() | SettlementChanged() | RefundRequested():
            return abs(data.amount), data.currency
    return None


def locations_of(data: Data) -> frozenset[str]:
    """Return the locations that data speaks of."""
    if isinstance(data, OrderPlaced):
        return frozenset(line.location for line in data.lines)
    location = said(data, "location")
    return frozenset() if location is None else frozenset({str(location)})


def stock_key(sku: str, location: str) -> str:
    """Return the subject of stock messages: SKU@LOCATION."""
    return f"{sku}@{location}"
