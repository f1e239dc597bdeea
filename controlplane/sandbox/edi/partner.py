"""The provider: takes orders off one folder, acknowledges, ships, and tells of it in another, with the bad habits of real ones.

What really happened stands in its journal, on disk before any file says so. It knows control numbers again, as partners do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from controlplane.sandbox.edi.x12 import Line, Told, TornError, apart, together


@dataclass
class Habits:
    """What this provider does badly."""

    silent: bool = False
    """It ships and sends no 997."""
    short_by: int = 0
    """So many pieces of each line are not shipped."""
    repeats: bool = False
    """It drops each of its files twice, under two names."""
    reuses_number: bool = False
    """Its second file bears the control number of the first."""
    miscounts: bool = False
    """SE01 of its 945s is wrong."""
    halves: bool = False
    """Its files lie there half before they are whole."""
    ships_first: bool = False
    """The 945 comes before the 997."""
    unnumbered: bool = False
    """Its 945s bear no number of the shipment."""


@dataclass
class Partner:
    """A provider over a folder: `out` is what it takes from, `in` what it puts into, as the retailer calls them."""

    root: Path
    stock: dict[str, int]
    habits: Habits = field(default_factory=Habits)
    us: str = "WAREHOUSE"
    them: str = "RETAILER"
    warehouse: str = "DC3"
    _control: int = 0
    _seen: set[str] = field(default_factory=set)
    _to_ship: list[Told] = field(default_factory=list)
    _rest: list[tuple[Path, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("in", "out", "taken"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    # --- the truth ---
    def journal(self, kind: str = "") -> list[dict[str, Any]]:
        """Return what really happened, in order."""
        path = self.root / "journal.jsonl"
        found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [one for one in found if not kind or one["kind"] == kind]

    def _note(self, kind: str, **told: Any) -> None:
        with (self.root / "journal.jsonl").open("a") as file:
            file.write(json.dumps({"kind": kind, **told}) + "\n")

    # --- a turn of its scheduler ---
    def step(self, now: datetime) -> None:
        """Finish half files, ship what was ordered before, and take what lies there."""
        for path, text in self._rest:
            path.write_text(text)
        self._rest.clear()
        for told in self._to_ship:
            self._ship(told, now)
        self._to_ship.clear()
        for path in sorted((self.root / "out").glob("[!.]*")):
            text = path.read_text()
            path.rename(self.root / "taken" / path.name)
            self._take(text, now)

    def _take(self, text: str, now: datetime) -> None:
        try:
            sets = apart(text)
        except TornError as error:
            self._refuse(text, str(error), now)
            return
        if not sets or any(one.type == "997" for one in sets):
            self._note("acknowledged", text=text)
            return
        number = sets[0].interchange
        if number in self._seen:
            self._note("duplicate", control=number)
            self._refuse(text, "025", now)
            return
        self._seen.add(number)
        for told in sets:
            self._order(told, now)

    def _refuse(self, text: str, code: str, now: datetime) -> None:
        ta = ("TA1", text[90:99], f"{now:%y%m%d}", f"{now:%H%M}", "R", code)
        self._drop(together(self.us, self.them, self._next(), now, "TA1", [[ta]]), f"ta1_{self._control}.edi")

    def _order(self, told: Told, now: datetime) -> None:
        wrong = self._wrong(told)
        if not wrong:
            self._note("effect", ref=_order_of(told), control=told.interchange, lines=_lines_of(told))
            if self.habits.ships_first:
                self._ship(told, now)
            else:
                self._to_ship.append(told)
        if not self.habits.silent:
            self._acknowledge(told, wrong, now)

    def _wrong(self, told: Told) -> list[Line]:
        """Return the AK3 and AK4 of what it does not take: a set without an order number, and items that it does not stock."""
        found: list[Line] = []
        if not _order_of(told):
            found += [("AK3", "W05", "2", "", "8"), ("AK4", "2", "", "1")]
        for at, segment in enumerate(told.segments, 1):
            if segment[0] == "W01" and segment[5] not in self.stock:
                found += [("AK3", "W01", str(at), "", "8"), ("AK4", "5", "", "7")]
        return found

    def _acknowledge(self, told: Told, wrong: Sequence[Line], now: datetime) -> None:
        end: list[Line] = (
            [("AK5", "R", "5"), ("AK9", "R", "1", "1", "0")] if wrong else [("AK5", "A"), ("AK9", "A", "1", "1", "1")]
        )
        lines: list[Line] = [
            ("997",),
            ("AK1", told.group, told.group_control),
            ("AK2", told.type, told.control),
            *wrong,
            *end,
        ]
        self._drop(together(self.us, self.them, self._next(), now, "FA", [lines]), f"997_{self._control}.edi")

    # --- what it tells ---
    def _ship(self, told: Told, now: datetime) -> None:
        ref, shipment = _order_of(told), f"SH-{told.interchange}"
        number = "" if self.habits.unnumbered else shipment
        lines: list[Line] = [
            ("945",),
            ("W06", "N", ref, f"{now:%Y%m%d}", number),
            ("N1", "WH", "", "ZZ", self.warehouse),
            ("G62", "11", f"{now:%Y%m%d}", "8", f"{now:%H%M}"),
            ("W27", "M", "UPSN"),
        ]
        for place, (sku, ordered) in enumerate(_lines_of(told), 1):
            shipped = max(0, min(ordered - self.habits.short_by, self.stock[sku]))
            self.stock[sku] -= shipped
            self._note("shipped", ref=ref, shipment=shipment, sku=sku, quantity=shipped)
            item = (
                "W12",
                "CC" if shipped == ordered else "CP",
                str(ordered),
                str(shipped),
                str(ordered - shipped),
                "EA",
                "",
                "VN",
                sku,
            )
            lines += [("LX", str(place)), ("MAN", "CP", f"1Z{told.interchange}"), item]
        text = together(self.us, self.them, self._next(), now, "SW", [lines], miscounted=self.habits.miscounts)
        self._drop(text, f"945_{self._control}_{told.interchange}.edi")

    def receive(self, receipt: str, purchase_order: str, lines: dict[str, int], now: datetime) -> None:
        """Goods arrive: a 944."""
        for sku, quantity in lines.items():
            self.stock[sku] = self.stock.get(sku, 0) + quantity
            self._note("received", receipt=receipt, sku=sku, quantity=quantity)
        items: list[Line] = [("W07", str(quantity), "EA", "", "VN", sku) for sku, quantity in lines.items()]
        head: list[Line] = [
            ("944",),
            ("W17", "F", f"{now:%Y%m%d}", receipt, purchase_order),
            ("N1", "WH", "", "ZZ", self.warehouse),
        ]
        text = together(
            self.us, self.them, self._next(), now, "RE", [[*head, *items, ("W14", str(sum(lines.values())))]]
        )
        self._drop(text, f"944_{self._control}.edi")

    def tell_stock(self, now: datetime) -> None:
        """Tell of all of its stock: an 846."""
        lines: list[Line] = [("846",), ("BIA", "00", "MB", f"I{self._control}", f"{now:%Y%m%d}", f"{now:%H%M%S}")]
        lines.append(("N1", "WH", "", "ZZ", self.warehouse))
        for sku, quantity in sorted(self.stock.items()):
            lines += [("LIN", "", "VN", sku), ("QTY", "17", str(quantity), "EA"), ("QTY", "33", str(quantity), "EA")]
        text = together(self.us, self.them, self._next(), now, "IB", [[*lines, ("CTT", str(len(self.stock)))]])
        self._drop(text, f"846_{self._control}.edi")

    def _next(self) -> int:
        if not (self.habits.reuses_number and self._control == 1):
            self._control += 1
        return self._control

    def _drop(self, text: str, name: str) -> None:
        path = self.root / "in" / name
        if self.habits.halves:
            self._rest.append((path, text))
            text = text[: len(text) // 2]
        path.write_text(text)
        if self.habits.repeats:
            path.with_name(f"again_{name}").write_text(text)


def _order_of(told: Told) -> str:
    w05 = next((one for one in told.segments if one[0] == "W05"), [])
    return w05[2] if len(w05) > 2 else ""


def _lines_of(told: Told) -> list[tuple[str, int]]:
    return [(one[5], int(one[1])) for one in told.segments if one[0] == "W01"]
