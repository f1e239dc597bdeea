"""The stores' tills: sales lower the store's stock at once; the rows are dropped as a CSV file every few minutes."""

from decimal import Decimal
from pathlib import Path

from controlplane.sandbox.catalogue import Item
from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.records import Event, TillLine
from controlplane.sandbox.world import World

HEADER = "store;receipt;line;plu;qty;unit_price;sold_at"
COUNTED = "store;plu;on_hand;counted_at"


class Tills:
    """Sales in the stores and the drop folder `tills/`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.folder = world.home / "tills"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._recover()
        if world.is_new:
            for store in world.scenario.retailer.stores:
                self._count(store)

    def sell(self, store: str, goods: list[tuple[Item, int]], plu: str | None = None) -> None:
        """One receipt of (article, pieces); what the shelf does not hold is not sold. `plu` overrides the label's."""
        receipt = f"{store}-{self.world.counters.next('receipt ' + store):06d}"
        number = 0
        for item, wanted in goods:
            level = self.world.level(item.sku, store)
            pieces = min(wanted, level.on_hand)
            if pieces > 0:
                number += 1
                self._ring_up(TillLine(
                    store=store,
                    receipt=receipt,
                    line=number,
                    plu=plu or item.plu,
                    quantity=pieces,
                    unit_price=item.price,
                    sold_at=self.world.time_of("tills"),
                ), item, unmapped=plu is not None)  # fmt: skip

    def _ring_up(self, row: TillLine, item: Item, *, unmapped: bool) -> None:
        ref = f"{row.store}/{row.receipt}/{row.line}"
        self.world.till_lines.put(ref, row)
        self.world.journal.write(
            "document",
            doc="till_sale",
            ref=ref,
            lines=[{"sku": item.sku, "location": row.store, "quantity": row.quantity, "price": str(row.unit_price)}],
            plu=row.plu,
            expected_targets=["erp"],
            expect_quarantine=unmapped,
        )
        self.world.move_physical(self.world.level(item.sku, row.store), -row.quantity, "till_sale", ref)

    def drop(self, event: Event) -> None:
        """Put what a store sold since the last drop into the folder: complete, and exactly once even over a kill."""
        store = event.data["store"]
        rows = [row for row in self.world.till_lines if row.store == store]
        part = None if not rows or self._is_lost(store, rows) else self._write_aside(store, rows)
        for row in rows:
            self.world.till_lines.drop(f"{row.store}/{row.receipt}/{row.line}")
        if self.world.trading():
            due = self.world.clock.now() + self.world.scenario.actors.stores.drop_every
            ends = self.world.trading_ends
            self.world.agenda.add(min(due, ends) if ends else due, "till_drop", store=store)
        if part:
            # the rows are committed as dropped before the file gets its name; `_recover` settles what a kill leaves
            self.world.store.commit()
            part.rename(part.with_suffix(".csv"))
        self._count(store)

    def _count(self, store: str) -> None:
        """Put what lies on the shelves into the folder, where the store counts; it takes the place of the count before."""
        if not self.world.scenario.actors.stores.counts:
            return
        stamp = iso_s(self.world.time_of("tills"))
        rows = [
            f"{store};{item.plu};{self.world.level(item.sku, store).on_hand};{stamp}"
            for item in self.world.catalogue.items
        ]
        part = self.folder / f"stock_{store}.part"
        part.write_text("\n".join([COUNTED, *rows]) + "\n", encoding="utf-8")
        part.rename(part.with_suffix(".csv"))

    def _is_lost(self, store: str, rows: list[TillLine]) -> bool:
        """Whether the file never comes to the folder; its number is left out all the same."""
        refs = [f"{row.store}/{row.receipt}/{row.line}" for row in rows]
        if self.world.faults.strike("lost_file", "tills", keys=refs) is None:
            return False
        number = self.world.counters.next("drop " + store)
        self.world.journal.write("lost_file", system="tills", store=store, number=number, refs=refs)
        return True

    def _write_aside(self, store: str, rows: list[TillLine]) -> Path:
        number = self.world.counters.next("drop " + store)
        stamp = self.world.clock.now().strftime("%Y%m%dT%H%M%S")
        part = self.folder / f"sales_{store}_{stamp}_{number:04d}.part"
        part.write_text("\n".join([HEADER, *map(_csv_row, rows)]) + "\n", encoding="utf-8")
        return part

    def _recover(self) -> None:
        """A part whose drop was committed gets its name; any other is written anew with the next drop."""
        for part in self.folder.glob("sales_*.part"):
            _, store, _, number = part.stem.split("_")
            if int(number) <= self.world.counters.last("drop " + store):
                part.rename(part.with_suffix(".csv"))
            else:
                part.unlink()


def _csv_row(row: TillLine) -> str:
    price = f"{row.unit_price.quantize(Decimal('0.01'))}".replace(".", ",")
    return f"{row.store};{row.receipt};{row.line};{row.plu};{row.quantity};{price};{iso_s(row.sold_at)}"
