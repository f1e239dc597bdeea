"""Accounting: what a document posts, by rule, once. Kept apart from the operational record of the same event.

Where a rule says that a tax engine has to agree first, the engine is asked (`taxes`), and its answer posts. Tax that a marketplace remits
itself is posted by no rule, and asked of nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from controlplane.connectors.contract import Draft
from controlplane.store import tables as t
from controlplane.store.upsert import insert_new
from controlplane.sync.ledger import Message
from controlplane.sync.processes import taxes
from controlplane.sync.processes.contract import BusinessRuleError, Process, Work
from rules import accounting
from rules.model.messages import PostingMade, ShipmentShipped, TaxAgreed
from rules.policy.kinds import AccountingRule
from rules.tax import filled


def apply(work: Work, message: Message) -> list[Draft]:
    """Post what the rules say for this document, or ask for its tax first; each entry has one posting key, ever."""
    if isinstance(message.data, TaxAgreed):
        return _post_agreed(work, message, message.data)
    rules = [rule for rule in work.snapshot.accounting_rules.values() if rule.spec.on == message.type]
    if not rules:
        return []
    lines = _worth(work, message.data)
    return [draft for rule in rules if (draft := _follow(work, message, rule, lines))]


def _follow(work: Work, message: Message, rule: AccountingRule, lines: list[accounting.DocumentLine]) -> Draft | None:
    key, check = _key(message, rule), rule.spec.tax
    if check is None:
        return _post(work, message, rule, lines)
    if work.connection.execute(select(t.posting.c.posting_key).where(t.posting.c.posting_key == key)).first():
        return None
    told = taxes.question(work, message, rule, check, key, _date(work, message, rule))
    return _post(work, message, rule, lines, key, told) if isinstance(told, accounting.Taxed) else told


def _post_agreed(work: Work, message: Message, told: TaxAgreed) -> list[Draft]:
    rule, document = work.snapshot.accounting_rules.get(told.rule), taxes.document_of(work, message)
    if rule is None or told.currency != rule.spec.currency:
        raise BusinessRuleError(
            "unknown_rule",
            f"{told.posting_key} was to be posted in {told.currency} by the AccountingRule {told.rule}, which is not there any more",
            f"put {told.rule} in force again, and replay",
            told.rule,
        )
    taxed = accounting.Taxed(told.net, told.tax)
    draft = _post(work, document, rule, _worth(work, document.data), told.posting_key, taxed)
    return [draft] if draft else []


def _key(message: Message, rule: AccountingRule) -> str:
    return f"{message.type}:{message.subject}:{rule.spec.entry}"


def _date(work: Work, message: Message, rule: AccountingRule) -> str:
    calendar = work.snapshot.calendars[rule.spec.calendar].spec
    return accounting.business_date(message.occurred_at, calendar.zone, calendar.day_starts)


def _worth(work: Work, shipment: ShipmentShipped) -> list[accounting.DocumentLine]:
    units, ordered = taxes.units_of(shipment), _ordered(work, shipment.order_ref)
    costs, priced = _costs(work, list(units)), {line.sku for line in ordered}
    missing = [sku for sku in units if costs.get(sku) is None or sku not in priced]
    if missing:
        raise BusinessRuleError(
            "missing_cost",
            f"shipment {shipment.shipment} cannot be posted: no unit cost or order price for {', '.join(missing)}",
            "give the items a cost in the ERP, poll products, then replay",
            ", ".join(missing),
        )
    shares = filled(ordered, taxes.before(work, shipment.order_ref, units), units)
    return [
        accounting.DocumentLine(high - low, line.unit_price, costs[line.sku], before=low) for line, low, high in shares
    ]


def _ordered(work: Work, order_ref: str) -> Sequence[Any]:
    line = t.order_line.c
    query = select(line.sku, line.quantity, line.unit_price).where(line.order_ref == order_ref).order_by(line.line)
    return work.connection.execute(query).all()


def _costs(work: Work, skus: list[str]) -> dict[str, Decimal]:
    query = select(t.product.c.sku, t.product.c.unit_cost).where(t.product.c.sku.in_(skus))
    return {row.sku: row.unit_cost for row in work.connection.execute(query)}


def _post(
    work: Work, message: Message, rule: AccountingRule, lines: list[accounting.DocumentLine], key: str = "",
    taxed: accounting.Taxed | None = None,
) -> Draft | None:  # fmt: skip
    revision = work.snapshot.revision("AccountingRule", rule.name)
    posting = PostingMade(
        posting_key=key or _key(message, rule),
        document=message.subject,
        business_date=_date(work, message, rule),
        currency=rule.spec.currency,
        lines=accounting.entry(rule.spec, lines, taxed),
        rule_revision=revision,
    )
    data = posting.model_dump(mode="json")
    row = {name: data[name] for name in ("posting_key", "document", "business_date", "currency", "lines")}
    row |= {"rule_revision": revision, "created_at": work.clock.now(), "message_id": message.id}
    if not insert_new(work.connection, t.posting, [row]):
        return None
    return Draft("posting.made", posting.posting_key, f"posting.made:{posting.posting_key}", message.occurred_at, data)


process = Process(frozenset({"shipment.shipped", "tax.agreed"}), apply, stage=90)
