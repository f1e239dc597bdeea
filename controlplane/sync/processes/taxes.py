"""What a tax engine is asked of a document before it is posted: asked as a message, so that the question is a delivery like any other.

An engine that does not answer is asked again by the retry policy of the flow; what it does not agree with waits in quarantine; and
nothing is posted but what it agreed with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from controlplane.connectors.contract import Draft
from controlplane.store import tables as t
from controlplane.sync.ledger import Message
from controlplane.sync.processes.contract import BusinessRuleError, Work
from rules import tax
from rules.accounting import Taxed
from rules.model.messages import (
    OrderLine,
    OrderPlaced,
    ReturnReceived,
    ShipmentShipped,
    TaxAgreed,
    TaxAsked,
    TaxedLine,
    TaxPlace,
)
from rules.policy.kinds import AccountingRule, TaxCheck


def question(work: Work, message: Message, rule: AccountingRule, check: TaxCheck, key: str, on: str) -> Draft | Taxed:
    """Return the `tax.asked` of a shipment; what it is worth where a marketplace remits all of its tax, so that nobody is asked.

    Raises BusinessRuleError where something is not known that tax depends on.
    """
    shipment: ShipmentShipped = message.data
    order = order_of(work, shipment)
    lines, unasked = _lines(work, shipment, order, check)
    if not lines:
        return Taxed(unasked, Decimal(0))
    _refuse_unasked(work, rule, check)
    asked = TaxAsked(
        posting_key=key, document=shipment.shipment, cause=message.id, engine=check.system, rule=rule.name,
        rule_revision=work.snapshot.revision("AccountingRule", rule.name), issued_on=on, currency=order.currency,
        ship_from=_leaves(check, shipment, rule), ship_to=_arrives(order), lines=lines, unasked=unasked,
        tolerance=check.tolerance,
    )  # fmt: skip
    return Draft("tax.asked", key, f"tax.asked:{key}", message.occurred_at, asked.model_dump(mode="json"))


def agreed(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of the `tax.agreed` that follows from an answer to a question, as the question stood when it was asked."""
    asked = TaxAsked.model_validate(payload)
    found = TaxAgreed(
        posting_key=asked.posting_key, document=asked.document, cause=asked.cause, engine=asked.engine, rule=asked.rule,
        net=asked.net, tax=asked.tax, currency=asked.currency,
    )  # fmt: skip
    return found.model_dump(mode="json")


def document_of(work: Work, message: Message) -> Message:
    """Return the message whose posting waited for this `tax.agreed`. Raises BusinessRuleError where it is not kept any more."""
    row = work.connection.execute(select(t.message).where(t.message.c.id == message.data.cause)).one_or_none()
    if row is None:
        raise BusinessRuleError(
            "unknown_document",
            f"{message.data.document} is not in the ledger any more, and {message.subject} would post it",
            "restore it from the archive, and replay",
            message.data.document,
        )
    return Message.of(row)


def _refuse_unasked(work: Work, rule: AccountingRule, check: TaxCheck) -> None:
    flows = work.snapshot.flows_from.get(("plane", "tax.asked"), ())
    if not any(target.system == check.system for flow in flows for target in flow.spec.targets):
        raise BusinessRuleError(
            "tax_unasked",
            f"{rule.name} posts what {check.system} agreed with, and no flow takes tax.asked there",
            f"add a Flow from the plane with tax.asked and the target {check.system}, and replay",
            check.system,
        )


def order_of(work: Work, shipment: ShipmentShipped) -> OrderPlaced:
    """Return the order that a shipment is of. Raises BusinessRuleError where it is not kept any more."""
    m, o = t.message.c, t.order_state.c
    placed = select(o.message_id).where(o.ref == shipment.order_ref).scalar_subquery()
    row = work.connection.execute(select(t.message).where(m.id == placed)).one_or_none()
    if row is None:
        raise BusinessRuleError(
            "unknown_order",
            f"the order {shipment.order_ref} of shipment {shipment.shipment} is not in the ledger any more",
            "restore it from the archive, and replay",
            shipment.order_ref,
        )
    return Message.of(row).data  # type: ignore[no-any-return]


def _leaves(check: TaxCheck, shipment: ShipmentShipped, rule: AccountingRule) -> TaxPlace:
    place = check.ship_from.get(shipment.location)
    if place is None:
        raise BusinessRuleError(
            "unknown_origin",
            f"shipment {shipment.shipment} left {shipment.location}, and {rule.name} does not say where that is",
            f"add {shipment.location} to spec.tax.ship_from of the AccountingRule {rule.name}, and replay",
            shipment.location,
        )
    return TaxPlace(country=place.country, region=place.region, postal_code=place.postal_code)


def _arrives(order: OrderPlaced) -> TaxPlace:
    if order.ship_to is None:
        raise BusinessRuleError(
            "untold_place",
            f"{order.ref} does not say where its goods go, and their tax cannot be checked",
            "have the source of the order tell it; drop this record, and post it by hand",
            order.ref,
        )
    return order.ship_to


def _lines(
    work: Work, shipment: ShipmentShipped, order: OrderPlaced, check: TaxCheck
) -> tuple[tuple[TaxedLine, ...], Decimal]:
    """Return the lines that the engine is asked about, and what the others are worth without tax."""
    units = units_of(shipment)
    ordered = [_ordered(line, order, check) for line in order.lines if line.sku in units]
    shares = tax.of_shipment(ordered, before(work, shipment, units), units, order.currency)
    elsewhere = {str(line.line) for line in order.lines if line.tax and line.tax.remitter == "marketplace"}
    asked = tuple(
        TaxedLine(
            number=one.number, sku=one.sku, quantity=int(one.quantity), amount=one.amount, tax=one.tax,
            tax_code=one.tax_code, withheld=one.withheld,
        )
        for one in shares if one.number not in elsewhere
    )  # fmt: skip
    return asked, tax.sum_of([one.amount for one in shares if one.number in elsewhere])


def units_of(document: ShipmentShipped | ReturnReceived) -> Counter[str]:
    """Return how many of each SKU a document has."""
    units: Counter[str] = Counter()
    for line in document.lines:
        units[line.sku] += line.quantity
    return units


def before(work: Work, document: ShipmentShipped | ReturnReceived, units: Mapping[str, int]) -> dict[str, int]:
    """Return what was shipped, or came back, earlier: the picture has the units of this document in it already."""
    line = t.order_line.c
    moved = line.returned if isinstance(document, ReturnReceived) else line.shipped
    query = select(line.sku, func.sum(moved)).where(line.order_ref == document.order_ref).group_by(line.sku)
    known = {sku: int(count) for sku, count in work.connection.execute(query)}
    return {sku: known[sku] - count for sku, count in units.items()}


def _ordered(line: OrderLine, order: OrderPlaced, check: TaxCheck) -> tax.Ordered:
    told = line.tax
    if told is None:
        raise BusinessRuleError(
            "untold_tax",
            f"{order.ref} does not say what tax was charged on line {line.line} ({line.sku})",
            "have the source of the order tell it; drop this record, and post it by hand",
            line.sku,
        )
    code = told.code or check.code
    if not code and told.remitter != "marketplace":
        raise BusinessRuleError(
            "untold_tax_code",
            f"line {line.line} ({line.sku}) of {order.ref} has no tax code",
            "name the usual one in spec.tax.code of the AccountingRule, and replay",
            line.sku,
        )
    return tax.Ordered(
        str(line.line), line.sku, line.quantity, line.unit_price, told.amount, code, told.included, told.withheld
    )
