"""Warehouse sets read into canonical messages. Syntax is checked before; here it is the business that is missed, with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from controlplane.connectors.builtin.edi_x12.partner import COUNTS, Profile
from controlplane.connectors.builtin.edi_x12.reader import EdiError, Place, Segment
from controlplane.connectors.contract import Codes, Draft, UnmappedError
from rules.model.messages import stock_key
from rules.units import pieces_in

UPC = frozenset({"UP", "UK", "UA", "EN"})
"""Qualifiers of a code that stands in an element of its own: W0703, W1206."""
ITEM_PAIRS = range(2, 31, 2)
"""Elements of a LIN that hold a qualifier, each with the code behind it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a set is read with."""

    segments: Sequence[Segment]
    codes: Codes
    profile: Profile
    system: str

    def all(self, *ids: str) -> list[Segment]:
        """Return the segments with one of the ids."""
        return [segment for segment in self.segments if segment.id in ids]

    def first(self, name: str, qualifier: str = "") -> Segment | None:
        """Return the first segment with an id, and with a first element where one is asked for."""
        found = (one for one in self.segments if one.id == name and (not qualifier or one.at(1) == qualifier))
        return next(found, None)

    def needed(self, name: str) -> Segment:
        """Return the first segment with an id. Raises EdiError."""
        found = self.first(name)
        if found is None:
            last = self.segments[-1].place if self.segments else Place(1)
            raise EdiError(f"the set has no {name}", Place(last.segment, 0, last.offset, name))
        return found

    def location(self, *qualifiers: str) -> str:
        """Return our location: of the party that the set names, else the one of the partner's profile."""
        for qualifier in qualifiers:
            party = self.first("N1", qualifier)
            if party is not None and party.at(4):
                return self.codes.ours("location", party.at(4))
        if self.profile.location:
            return self.profile.location
        where = self.segments[0].place if self.segments else Place(1)
        told = f"no N1 with {' or '.join(qualifiers)} names the warehouse; name it there, or in options.location"
        raise EdiError(told, Place(where.segment, 0, where.offset, "N1"))

    def pieces(self, segment: Segment, number: int, unit: str) -> int:
        """Return a quantity in pieces. Raises EdiError for one that is none, UnmappedError for its unit."""
        quantity = _number(segment, number)
        ours = self.codes.ours("unit", unit) if unit else "EA"
        try:
            found = quantity * pieces_in(ours)
        except ValueError:  # the mapping lets codes pass, and this one means nothing to us
            raise UnmappedError("unit", unit, self.system) from None
        if found != found.to_integral_value():
            raise EdiError(f"'{segment.at(number)[:20]}' is no whole number of pieces", segment.where(number))
        return int(found)

    def instant(self, segment: Segment, date: int, time: int = 0) -> datetime:
        """Return a date, with a time where there is one, of the partner's zone."""
        day, clock = segment.at(date), (segment.at(time) if time else "") or "0000"
        try:
            form = "%Y%m%d" if len(day) == 8 else "%y%m%d"
            found = datetime.strptime(f"{day} {clock[:6]}", f"{form} %H%M" + ("%S" if len(clock) >= 6 else ""))  # noqa: DTZ007
        except ValueError:
            raise EdiError(f"'{day[:20]} {clock[:20]}' is no date and time", segment.where(date)) from None
        return found.replace(tzinfo=self.profile.zone).astimezone(UTC)

    def text(self, segment: Segment, number: int, what: str) -> str:
        """Return an element that we cannot do without."""
        found = segment.at(number)
        if not found:
            raise EdiError(f"{what} is missing, and nothing tells the document without it", segment.where(number))
        return found


def read(kind: str, segments: Sequence[Segment], codes: Codes, profile: Profile, system: str) -> list[Draft]:
    """Return the messages of a set. Raises EdiError with the place, and UnmappedError."""
    reader = READERS.get(kind)
    return reader(Reading(segments, codes, profile, system)) if reader else []


def _number(segment: Segment, number: int) -> Decimal:
    try:
        found = Decimal(segment.at(number))
    except InvalidOperation:
        raise EdiError(f"'{segment.at(number)[:20]}' is no quantity", segment.where(number)) from None
    if not found.is_finite() or abs(found) >= 10**9:
        raise EdiError(f"'{segment.at(number)[:20]}' is no quantity below 1,000,000,000", segment.where(number))
    return found


def _sku(reading: Reading, segment: Segment, qualifier: int, upc: int) -> str:
    """Return our SKU: by the qualifier that the profile asks for, or by the UPC where it asks for that."""
    wanted = reading.profile.sku_qualifier
    if segment.at(qualifier) == wanted and segment.at(qualifier + 1):
        return reading.codes.ours("sku", segment.at(qualifier + 1))
    if wanted in UPC and segment.at(upc):
        return reading.codes.ours("sku", segment.at(upc))
    told = f"no code with the qualifier {wanted} tells the item; correct options.sku_qualifier, or have it sent"
    raise EdiError(told, segment.where(qualifier))


def _lines(reading: Reading, name: str, quantity: int, unit: int, upc: int, qualifier: int) -> list[dict[str, Any]]:
    told = (
        (_sku(reading, line, qualifier, upc), reading.pieces(line, quantity, line.at(unit)))
        for line in reading.all(name)
        if line.at(quantity) and _number(line, quantity) > 0
    )
    return [{"sku": sku, "quantity": pieces} for sku, pieces in told]


def _document(kind: str, ref: str, at: datetime, data: dict[str, Any]) -> list[Draft]:
    return [Draft(kind, ref, f"{kind}:{ref}", at, data)] if data["lines"] else []


def _receipt(reading: Reading) -> list[Draft]:
    w17 = reading.needed("W17")
    receipt, at = reading.text(w17, 3, "the number of the receipt"), reading.instant(w17, 2)
    data = {
        "receipt": receipt,
        "purchase_order": reading.text(w17, 4, "the depositor's order"),
        "location": reading.location("WH", "ST"),
        "received_at": at.isoformat(),
        "lines": _lines(reading, "W07", 1, 2, 3, 4),
    }
    return _document("receipt.received", receipt, at, data)


def _shipment(reading: Reading) -> list[Draft]:
    w06 = reading.needed("W06")
    shipment = reading.text(w06, 4, "the number of the shipment")
    left, carrier = reading.first("G62", "11"), reading.first("W27")
    at = reading.instant(left, 2, 4) if left is not None and left.at(2) else reading.instant(w06, 3)
    data = {
        "shipment": shipment,
        "order_ref": reading.text(w06, 2, "the depositor's order"),
        "location": reading.location("WH", "SF"),
        "shipped_at": at.isoformat(),
        "carrier": carrier.at(2) if carrier is not None else "",
        "tracking": _tracking(reading),
        "lines": _lines(reading, "W12", 3, 5, 6, 7),
    }
    return _document("shipment.shipped", shipment, at, data)


def _tracking(reading: Reading) -> str:
    for name, qualifiers in (("N9", ("2I", "CN")), ("MAN", ("CP", "CA")), ("REF", ("CN", "2I"))):
        for qualifier in qualifiers:
            found = reading.first(name, qualifier)
            if found is not None and found.at(2):
                return found.at(2)
    return ""


# --- a ship notice: shipment, orders, packs, items ---


def _notice(reading: Reading) -> list[Draft]:
    bsn = reading.needed("BSN")
    shipment, left = reading.text(bsn, 2, "the number of the shipment"), reading.first("DTM", "011")
    at = reading.instant(left, 2, 3) if left is not None and left.at(2) else reading.instant(bsn, 3, 4)
    carrier = reading.first("TD5")
    orders = list(_orders(reading))
    drafts: list[Draft] = []
    for ref, segments in orders:
        mine = Reading(segments, reading.codes, reading.profile, reading.system)
        name = shipment if len(orders) == 1 else f"{shipment}/{ref}"
        data = {
            "shipment": name,
            "order_ref": ref,
            "location": reading.location("SF", "WH"),
            "shipped_at": at.isoformat(),
            "carrier": carrier.at(3) if carrier is not None else "",
            "tracking": _tracking(mine) or _tracking(reading),
            "lines": list(_items(mine)),
        }
        drafts += _document("shipment.shipped", name, at, data)
    return drafts


def _orders(reading: Reading) -> Iterator[tuple[str, list[Segment]]]:
    """Yield the order that each HL of level O names, with the segments down to the next."""
    starts = [at for at, one in enumerate(reading.segments) if one.id == "HL" and one.at(3) == "O"]
    for start, end in pairwise([*starts, len(reading.segments)]):
        mine = list(reading.segments[start:end])
        prf = next((one for one in mine if one.id == "PRF"), None)
        if prf is None:
            raise EdiError("the order has no PRF that names it", mine[0].where())
        yield reading.text(prf, 1, "the order"), mine
    if not starts:
        raise EdiError("no HL of level O names an order", reading.needed("HL").where())


def _items(reading: Reading) -> Iterator[dict[str, Any]]:
    item: Segment | None = None
    for segment in reading.segments:
        if segment.id == "LIN":
            item = segment
        elif segment.id == "SN1":
            if item is None:
                raise EdiError("a quantity without an item", segment.where())
            pieces = reading.pieces(segment, 2, segment.at(3))
            if pieces > 0:
                yield {"sku": _item(reading, item), "quantity": pieces}


def _item(reading: Reading, lin: Segment) -> str:
    wanted = reading.profile.sku_qualifier
    for at in ITEM_PAIRS:
        if lin.at(at) == wanted and lin.at(at + 1):
            return reading.codes.ours("sku", lin.at(at + 1))
    raise EdiError(
        f"no code with the qualifier {wanted} tells the item; correct options.sku_qualifier, or have it sent",
        lin.where(2),
    )


# --- a stock level: what is not told is not zero ---


def _stock(reading: Reading) -> list[Draft]:
    bia = reading.needed("BIA")
    at, location = reading.instant(bia, 4, 5), reading.location("WH", "ST")
    starts = [place for place, segment in enumerate(reading.segments) if segment.id == "LIN"]
    loops = (reading.segments[start:end] for start, end in pairwise([*starts, len(reading.segments)]))
    return [_level(Reading(loop, reading.codes, reading.profile, reading.system), at, location) for loop in loops]


def _level(reading: Reading, at: datetime, location: str) -> Draft:
    lin = reading.segments[0]
    sku, counts = _item(reading, lin), _counts(reading, lin)
    subject, version = stock_key(sku, location), at.isoformat()
    data = {"sku": sku, "location": location, **counts, "source_at": version}
    told = "/".join(str(counts[name]) for name in COUNTS)
    return Draft("stock.level", subject, f"stock.level:{subject}:{version}:{told}", at, data, source_version=version)


def _counts(reading: Reading, lin: Segment) -> dict[str, int]:
    sums: dict[str, int] = {}
    for quantity in reading.all("QTY"):
        unit = _unit(reading, quantity)
        for name, codes in reading.profile.stock.items():
            if quantity.at(1) in codes:
                sums[name] = sums.get(name, 0) + reading.pieces(quantity, 2, unit)
    if "on_hand" not in sums:
        told = f"no QTY with {' or '.join(reading.profile.stock.get('on_hand', ()))} tells what is on hand, and nothing is not zero"
        raise EdiError(f"{told}; correct options.stock, or have it sent", lin.where())
    allocated = sums.get("allocated", max(0, sums["on_hand"] - sums.get("available", sums["on_hand"])))
    available = sums.get("available", sums["on_hand"] - allocated)
    return {
        "on_hand": sums["on_hand"],
        "available": available,
        "allocated": allocated,
        "in_transit": sums.get("in_transit", 0),
    }


def _unit(reading: Reading, quantity: Segment) -> str:
    """Return the unit of a QTY: within it, or in the UIT that follows."""
    if quantity.at(3):
        return quantity.at(3)
    after = next((one for one in reading.segments if one.place.segment == quantity.place.segment + 1), None)
    return after.at(1) if after is not None and after.id == "UIT" else ""


READERS: Mapping[str, Callable[[Reading], list[Draft]]] = {
    "944": _receipt, "945": _shipment, "856": _notice, "846": _stock,
}  # fmt: skip
"""Type of a set -> its reader. Acknowledgements are no messages: who awaits them reads them (acks.verdicts)."""
