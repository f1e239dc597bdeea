"""Tax that a document says against tax that an engine computes of the same document: where they differ, and how. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, TypeVar

from rules.money import MINOR_UNITS, to_minor


@dataclass(frozen=True, slots=True)
class Place:
    """Where goods leave or arrive, as far as tax depends on it. Nobody's street or name."""

    country: str
    """ISO 3166-1, two letters."""
    region: str = ""
    postal_code: str = ""


@dataclass(frozen=True, slots=True)
class TaxLine:
    """A line of a document, without its tax, and the tax that was put on it."""

    number: str
    """Unique within the document."""
    amount: Decimal
    tax: Decimal
    tax_code: str
    """Ours; a Mapping policy translates it."""
    quantity: Decimal = Decimal(1)
    sku: str = ""
    withheld: Decimal = Decimal(0)
    """How much of the tax a marketplace remits itself."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """A line of an order, and what was charged on all of it."""

    number: str
    sku: str
    quantity: int
    unit_price: Decimal
    tax: Decimal
    tax_code: str
    included: bool = False
    """The price has the tax in it."""
    withheld: Decimal = Decimal(0)
    """How much of the tax a marketplace remits itself."""


class OfOrder(Protocol):
    """What is known of a line of an order."""

    @property
    def sku(self) -> str:
        """What was ordered."""
        ...

    @property
    def quantity(self) -> int:
        """How many."""
        ...


T = TypeVar("T", bound=OfOrder)


def filled(ordered: Sequence[T], before: Mapping[str, int], units: Mapping[str, int]) -> Iterator[tuple[T, int, int]]:
    """Yield the lines that units of an order fill, in their order: line, how many of it were shipped before, and are now.

    `before`: SKU -> units that were shipped earlier.
    """
    passed = dict.fromkeys((line.sku for line in ordered), 0)
    for line in ordered:
        start = passed[line.sku]
        passed[line.sku] += line.quantity
        since = before.get(line.sku, 0)
        low = min(max(since - start, 0), line.quantity)
        high = min(max(since + units.get(line.sku, 0) - start, 0), line.quantity)
        if high > low:
            yield line, low, high


def of_shipment(
    ordered: Sequence[Ordered], before: Mapping[str, int], units: Mapping[str, int], currency: str
) -> list[TaxLine]:
    """Return what units of an order are worth without tax, and their part of its tax; see `filled`.

    However an order is split, what its parts are worth and their tax add up to the line's, to the cent.
    """
    found = []
    for line, low, high in filled(ordered, before, units):
        tax, withheld = (_part(whole, low, high, line.quantity, currency) for whole in (line.tax, line.withheld))
        price = worth(line.unit_price, low, high, currency)
        net = price - tax if line.included else price
        found.append(TaxLine(line.number, net, tax, line.tax_code, Decimal(high - low), line.sku, withheld))
    return found


def worth(unit_price: Decimal, low: int, high: int, currency: str) -> Decimal:
    """Return what units of a line are worth, from the one after `low` to `high`: all of them together what the line is, to the cent."""
    return to_minor(unit_price * high, currency) - to_minor(unit_price * low, currency)


def _part(whole: Decimal, low: int, high: int, of: int, currency: str) -> Decimal:
    return to_minor(whole * high / of, currency) - to_minor(whole * low / of, currency)


@dataclass(frozen=True, slots=True)
class TaxDocument:
    """What is about to be posted."""

    ref: str
    issued_on: date
    """The business date; it decides which rates are in force."""
    currency: str
    ship_from: Place
    ship_to: Place
    lines: tuple[TaxLine, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """What the engine says of one line."""

    tax: Decimal
    exempt: Decimal
    """How much of the line's amount it holds for exempt."""
    tax_code: str
    """The engine's, under which it was computed; empty where it does not say."""


class Fault(StrEnum):
    """How a document and the engine disagree."""

    UNKNOWN_CODE = "unknown_code"
    INACTIVE_CODE = "inactive_code"
    UNTOLD_CODE = "untold_code"
    """The code is known, and the engine does not say whether it is in use."""
    OTHER_CODE = "other_code"
    """It was computed under another code than was asked for."""
    NOT_TAXABLE = "not_taxable"
    """Tax was charged where none is due."""
    NOT_CHARGED = "not_charged"
    """None was charged where some is due."""
    WRONG_SIGN = "wrong_sign"
    """Charged where it is to be given back, or the other way round."""
    RATE = "rate"
    """More, or less, than is due."""
    ROUNDING = "rounding"
    """Every line is right to the minor unit, and their sum is not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement. `line` is empty where it is about the whole document."""

    fault: Fault
    line: str
    detail: str
    charged: Decimal | None = None
    due: Decimal | None = None


def unexact(document: TaxDocument) -> list[str]:
    """Return what of a document has no exact meaning: no lines, lines with one number, amounts finer than the minor unit."""
    numbers = [line.number for line in document.lines]
    told = [] if numbers else ["it has no lines"]
    told += [f"line {name} is there twice" for name in sorted({name for name in numbers if numbers.count(name) > 1})]
    for line in document.lines:
        for name, amount in (("amount", line.amount), ("tax", line.tax)):
            if not amount.is_finite() or amount != to_minor(amount, document.currency):
                told.append(
                    f"the {name} {amount} of line {line.number} is no whole number of the minor units of {document.currency}"
                )
    return told


def compare(
    document: TaxDocument, codes: Mapping[str, str], computed: Mapping[str, Computed], tolerance: Decimal | None = None
) -> list[Finding]:
    """Return where the engine differs by more than the tolerance, by default one minor unit.

    `codes`: ours -> the engine's; `computed`: by line number.
    """
    unit = Decimal(1).scaleb(-MINOR_UNITS.get(document.currency, 2)) if tolerance is None else tolerance
    found = [
        finding
        for line in document.lines
        for finding in _of_line(line, codes, computed[line.number], unit, document.currency)
    ]
    charged, due = sum_of(line.tax for line in document.lines), sum_of(one.tax for one in computed.values())
    if not found and abs(charged - due) > unit:
        detail = f"{charged} {document.currency} of tax was charged, {due} is due; every line is right to {unit}, their sum is not"
        found.append(Finding(Fault.ROUNDING, "", detail, charged, due))
    return found


def sum_of(amounts: Iterator[Decimal] | Sequence[Decimal]) -> Decimal:
    """Return the exact sum."""
    return sum(amounts, Decimal(0))


def _of_line(
    line: TaxLine, codes: Mapping[str, str], told: Computed, unit: Decimal, currency: str
) -> Iterator[Finding]:
    asked = codes[line.tax_code]
    if told.tax_code and told.tax_code.upper() != asked.upper():
        detail = f"line {line.number} was asked for under {asked} and computed under {told.tax_code}"
        yield Finding(Fault.OTHER_CODE, line.number, detail)
    if abs(line.tax - told.tax) > unit:
        fault, how = _how(line, told)
        detail = (
            f"line {line.number}: {line.tax} {currency} of tax was charged on {line.amount}, {told.tax} is due: {how}"
        )
        yield Finding(fault, line.number, detail, line.tax, told.tax)


def _how(line: TaxLine, told: Computed) -> tuple[Fault, str]:
    if not told.tax:
        exempt = f"{told.exempt} of it is exempt" if told.exempt else f"{line.tax_code} is not taxed there"
        return Fault.NOT_TAXABLE, exempt
    if not line.tax:
        return Fault.NOT_CHARGED, "none was charged"
    if (line.tax < 0) != (told.tax < 0):
        return Fault.WRONG_SIGN, "the sign is the other one"
    return Fault.RATE, f"{_rate(line.tax, line.amount)} instead of {_rate(told.tax, line.amount)}"


def _rate(tax: Decimal, amount: Decimal) -> str:
    return f"{(100 * tax / amount).quantize(Decimal('0.01'))} %" if amount else "something on nothing"
