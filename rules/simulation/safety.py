"""What other safety stock would have done to a channel's sales: units oversold that it would have kept from sale, and sales missed.

The channel showed what it was offered last, less what it sold since. Under another safety stock it would have shown more or less by
the difference, and what would not have been shown would not have been sold; units that were not sold for that stayed in stock.
What customers would have bought beyond what was shown is in no history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal

from rules.availability import available_to_sell


@dataclass(frozen=True, slots=True)
class Safety:
    """What is kept back, by SKU where it differs."""

    units: int
    per_sku: Mapping[str, int] = field(default_factory=dict)
    share: float = 0.0

    def of(self, sku: str) -> int:
        """Units of a SKU that are kept back."""
        return self.per_sku.get(sku, self.units)

    def behind(self, sku: str, offered: int) -> int:
        """Return the units that were there where so many were offered; none where none were: how few there were is not told."""
        return int(offered / (1 - self.share)) + self.of(sku) if offered > 0 else 0

    def offered(self, sku: str, there: int) -> int:
        """Return the units that are offered of those that are there."""
        return available_to_sell(there, 0, self.of(sku), self.share)


@dataclass(frozen=True, slots=True)
class Offer:
    """The channel took it: from then on it shows so many. `under`: what was kept back when it was made."""

    at: datetime
    sku: str
    location: str
    quantity: int
    under: Safety


@dataclass(frozen=True, slots=True)
class Sale:
    """An order line. `sellable`: units that were free when it was taken, as was known then; None: that was not known."""

    at: datetime
    sku: str
    location: str
    quantity: int
    price: Decimal
    currency: str
    sellable: int | None

    @property
    def oversold(self) -> int:
        """Units of it that there were not."""
        return 0 if self.sellable is None else min(self.quantity, max(0, self.quantity - max(0, self.sellable)))


@dataclass(slots=True)
class Effect:
    """What would have been different. Units, and their price in one currency."""

    oversold: int = 0
    oversold_money: Decimal = Decimal(0)
    avoided: int = 0
    avoided_money: Decimal = Decimal(0)
    missed: int = 0
    missed_money: Decimal = Decimal(0)
    unknown: int = 0
    """Sales before the first offer of the stretch: what the channel showed then is not known, so nothing is said of them."""

    @property
    def left(self) -> int:
        """Units that would have been oversold."""
        return self.oversold - self.avoided

    @property
    def left_money(self) -> Decimal:
        """Their worth."""
        return self.oversold_money - self.avoided_money

    def add(self, sale: Sale, refused: bool, known: bool = True) -> None:
        """Count a sale in. `known`: whether it is known what the channel showed."""
        over = sale.oversold
        self.unknown += not known
        self.oversold += over
        self.oversold_money += over * sale.price
        if refused:
            self.avoided += over
            self.avoided_money += over * sale.price
            self.missed += sale.quantity - over
            self.missed_money += (sale.quantity - over) * sale.price

    def join(self, other: Effect) -> None:
        """Count another one in, of the same currency."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class _Shelf:
    """One SKU at one place, as the channel shows it."""

    shown: int
    would_show: int
    kept: int = 0
    """Units that would not have been sold, and so are there still."""


Effects = dict[tuple[str, str], Effect]
"""By SKU and currency."""


def replay(offers: Iterable[Offer], sales: Iterable[Sale], after: Safety) -> Effects:
    """Let what was offered and sold happen again; return what this safety stock would have done in place of what governed then."""
    found: Effects = {}
    shelves: dict[tuple[str, str], _Shelf] = {}
    happened: list[Offer | Sale] = sorted([*offers, *sales], key=lambda one: (one.at, isinstance(one, Sale)))
    for one in happened:
        key = (one.sku, one.location)
        if isinstance(one, Offer):
            kept = shelves[key].kept if key in shelves else 0
            would = after.offered(one.sku, one.under.behind(one.sku, one.quantity) + kept)
            shelves[key] = _Shelf(one.quantity, would, kept)
            continue
        refused = _sell(shelves.get(key), one)
        found.setdefault((one.sku, one.currency), Effect()).add(one, refused, key in shelves)
    return found


def _sell(shelf: _Shelf | None, sale: Sale) -> bool:
    """Take a sale off the shelf; say whether it would have been refused, and was not."""
    if shelf is None:
        return False  # what the channel showed then is not known
    refused = shelf.would_show < sale.quantity and shelf.would_show < shelf.shown
    shelf.shown -= sale.quantity
    if refused:
        shelf.kept += sale.quantity - sale.oversold
    else:
        shelf.would_show -= sale.quantity
    return refused
