"""Accounting: what a document posts, by rule, once. Kept apart from the operational record of the same event.

A shipment and a return are worth what their units were ordered at, a till's sale what it was sold at. Where a rule says that a tax engine
has to agree first, the engine is asked (`taxes`), and its answer posts. Tax that a marketplace remits itself is posted by no rule, and
asked of nobody. A rule posts the documents of its currency; one that no rule posts, though others of its kind are, waits for a person.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
from rules.model.messages import PostingMade, ReturnReceived, SaleRecorded, ShipmentShipped, TaxAgreed, subject_of
from rules.money import to_minor
from rules.policy.kinds import AccountingRule
from rules.tax import filled

Document = ShipmentShipped | ReturnReceived | SaleRecorded


def apply(work: Work, message: Message) -> list[Draft]:
    """Post what the rules say for this document, or ask for its tax first; each entry has one posting key, ever."""
    if isinstance(message.data, TaxAgreed):
        return _post_agreed(work, message, message.data)
    rules = [rule for rule in work.snapshot.accounting_rules.values() if rule.spec.on == message.type]
    if not rules:
        return []
    rules = _of_currency(rules, _currency(work, message.data), message.data)
    lines = _worth(work, message.data, rules)
    return [draft for rule in rules if (draft := _follow(work, message, rule, lines))]


def _of_currency(rules: list[AccountingRule], currency: str, document: Document) -> list[AccountingRule]:
    """Return the rules for a document: those that post at cost alone have the currency of the goods, the others that of the document."""
    sold = [rule for rule in rules if _amounts(rule) != {"cost"}]
    if sold and not any(rule.spec.currency == currency for rule in sold):
        told = ", ".join(f"{rule.name} posts in {rule.spec.currency}" for rule in sold)
        raise BusinessRuleError(
            "other_currency",
            f"{subject_of(document)} is in {currency}, and {told}",
            "give the documents of this currency an AccountingRule of their own, and replay",
            currency,
        )
    return [rule for rule in rules if rule not in sold or rule.spec.currency == currency]


def _amounts(rule: AccountingRule) -> set[str]:
    return {line.amount for line in rule.spec.lines}


def _currency(work: Work, document: Document) -> str:
    if isinstance(document, SaleRecorded):
        return document.currency
    query = select(t.order_state.c.currency).where(t.order_state.c.ref == document.order_ref)
    return str(work.connection.execute(query).scalar_one())


def _follow(work: Work, message: Message, rule: AccountingRule, lines: list[accounting.DocumentLine]) -> Draft | None:
    key, check = _key(message, rule), rule.spec.tax
    if check is None:
        return _post(work, message, rule, lines, key, _charged(message.data, rule))
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
    draft = _post(work, document, rule, _worth(work, document.data, [rule]), told.posting_key, taxed)
    return [draft] if draft else []


def _key(message: Message, rule: AccountingRule) -> str:
    return f"{message.type}:{message.subject}:{rule.spec.entry}"


def _date(work: Work, message: Message, rule: AccountingRule) -> str:
    calendar = work.snapshot.calendars[rule.spec.calendar].spec
    return accounting.business_date(message.occurred_at, calendar.zone, calendar.day_starts)


def _charged(document: Document, rule: AccountingRule) -> accounting.Taxed | None:
    """Return what a till charged, where the rule posts of it. Raises BusinessRuleError where the till does not tell."""
    if not isinstance(document, SaleRecorded) or not _amounts(rule) & {"net", "tax", "gross"}:
        return None
    told = document.tax
    if told is None:
        raise BusinessRuleError(
            "untold_tax",
            f"{document.ref} does not say what tax was charged on it, and {rule.name} posts of it",
            "have the till tell it; drop this record, and post it by hand",
            document.sku,
        )
    price = to_minor(document.unit_price * document.quantity, document.currency)
    return accounting.Taxed(price - told.amount if told.included else price, told.amount - told.withheld)


def _worth(work: Work, document: Document, rules: Sequence[AccountingRule]) -> list[accounting.DocumentLine]:
    """Return what the units of a document are worth. Raises BusinessRuleError for what has no price, or no cost that a rule posts."""
    if isinstance(document, SaleRecorded):
        units: Mapping[str, int] = {document.sku: document.quantity}
        costs = _costs(work, document, units, units, rules)
        return [accounting.DocumentLine(document.quantity, document.unit_price, costs[document.sku])]
    units, ordered = taxes.units_of(document), _ordered(work, document.order_ref)
    costs = _costs(work, document, units, {line.sku for line in ordered}, rules)
    shares = filled(ordered, taxes.before(work, document, units), units)
    return [
        accounting.DocumentLine(high - low, line.unit_price, costs[line.sku], before=low) for line, low, high in shares
    ]


def _ordered(work: Work, order_ref: str) -> Sequence[Any]:
    line = t.order_line.c
    query = select(line.sku, line.quantity, line.unit_price).where(line.order_ref == order_ref).order_by(line.line)
    return work.connection.execute(query).all()


def _costs(
    work: Work, document: Document, units: Collection[str], priced: Collection[str], rules: Sequence[AccountingRule]
) -> dict[str, Decimal]:
    """Return what one of each SKU costs; nothing where no rule posts it. Raises BusinessRuleError for what is not known."""
    posted = {rule.spec.currency for rule in rules if "cost" in _amounts(rule)}
    query = select(t.product.c.sku, t.product.c.unit_cost, t.product.c.currency).where(t.product.c.sku.in_(list(units)))
    known = {row.sku: row for row in work.connection.execute(query) if row.unit_cost is not None}
    missing = [sku for sku in units if (posted and sku not in known) or sku not in priced]
    if missing:
        raise BusinessRuleError(
            "missing_cost",
            f"{subject_of(document)} cannot be posted: no unit cost or order price for {', '.join(missing)}",
            "give the items a cost in the ERP, poll products, then replay",
            ", ".join(missing),
        )
    strange = [sku for sku in units if posted and {known[sku].currency} != posted]
    if strange:
        told = f"{strange[0]} costs {known[strange[0]].currency}, and is posted in {', '.join(sorted(posted))}"
        remedy = "have the rules that post `cost` in the currency of the goods, or correct the item, and replay"
        raise BusinessRuleError(
            "other_currency", f"{subject_of(document)} cannot be posted: {told}", remedy, strange[0]
        )
    return {sku: known[sku].unit_cost if posted else Decimal(0) for sku in units}


def _post(
    work: Work, message: Message, rule: AccountingRule, lines: list[accounting.DocumentLine], key: str,
    taxed: accounting.Taxed | None,
) -> Draft | None:  # fmt: skip
    revision = work.snapshot.revision("AccountingRule", rule.name)
    posting = PostingMade(
        posting_key=key,
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


process = Process(frozenset({"shipment.shipped", "return.received", "sale.recorded", "tax.agreed"}), apply, stage=90)
