"""What a message has to pass before anything is made of it: known places, a source that is of record, items that are sold."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from controlplane.connectors.contract import Draft
from controlplane.errors import BadInputError
from controlplane.store import tables as t
from controlplane.sync.ledger import Message
from controlplane.sync.ledger.messages import refuse_ahead
from controlplane.sync.processes import ownership
from controlplane.sync.processes.contract import BusinessRuleError, Process, Work
from rules.model.messages import OrderPlaced, SaleRecorded, locations_of

INACTIVE = "inactive_sku"
"""The one rule that a person may let a record pass by: goods that were sold were sold."""
BETWEEN = ", "
WRONG = timedelta(days=1)
"""By so much may the clock of a system be ahead that tells of a document: it is done, whatever the hour."""


def apply(work: Work, message: Message) -> list[Draft]:
    """Change nothing; raise BusinessRuleError for what a person has to look at."""
    _instant(work, message)
    _places(work, message)
    ownership.refuse_foreign(work, message)
    if isinstance(message.data, OrderPlaced):
        _sold(work, message, {line.sku for line in message.data.lines})
    elif isinstance(message.data, SaleRecorded):
        _sold(work, message, {message.data.sku})
    return []


def _instant(work: Work, message: Message) -> None:
    try:
        refuse_ahead(message.data, work.clock.now(), WRONG)
    except BadInputError as error:
        remedy = f"set the clock of {message.source}; correct {error.field} and replay, or drop the record"
        raise BusinessRuleError("clock_ahead", str(error), remedy, error.field) from None


def _places(work: Work, message: Message) -> None:
    known = work.snapshot.places
    strange = sorted(name for name in locations_of(message.data) if not known.knows(name, message.source))
    if strange:
        names = BETWEEN.join(strange)
        raise BusinessRuleError(
            "unknown_location",
            f"{message.type} {message.subject} speaks of the location {names}, which no System, Mapping or AllocationRule knows",
            f"add {names} to the location mapping of {message.source} and replay, or correct the record",
            names,
        )


def _sold(work: Work, message: Message, skus: set[str]) -> None:
    p = t.product.c
    found = work.connection.execute(select(p.sku).where(p.sku.in_(sorted(skus)), p.active.is_(False))).scalars().all()
    gone = sorted(set(found) - _accepted(work, message)) if found else []
    if gone:
        names = BETWEEN.join(gone)
        raise BusinessRuleError(
            INACTIVE,
            f"{message.type} {message.subject} is about {names}, which is not sold any more",
            "accept it as it is and replay, correct the SKU, or have the item sold again, poll products and replay",
            names,
        )


def _accepted(work: Work, message: Message) -> set[str]:
    """Return the SKUs that a person let pass when this message was made of a record that waited."""
    q = t.quarantine.c
    mine = select(q.fault).where(q.replayed_as == message.id, q.reason_code == INACTIVE, q.accepted.is_not(None))
    return {sku for fault in work.connection.execute(mine).scalars() for sku in fault.split(BETWEEN)}


process = Process(
    frozenset(
        {
            "stock.level",
            "product.described",
            "order.placed",
            "shipment.shipped",
            "receipt.received",
            "return.received",
            "sale.recorded",
        }
    ),
    apply,
    stage=5,
)
