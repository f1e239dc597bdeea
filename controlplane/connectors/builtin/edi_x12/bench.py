"""EDI X12 on trial, over the folders of a simulated warehouse, whose journal tells what took effect."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import ClassVar

from controlplane.clock import SystemClock
from controlplane.connectors.builtin.edi_x12.connector import EdiX12Connector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.process import Process
from controlplane.connectors.contract import Connector, Record, Write
from controlplane.connectors.numbers import StoredNumbers
from controlplane.store import open_store
from controlplane.store.migrate import migrate

OPTIONS = {"us": {"id": "RETAILER"}, "partner": {"id": "WAREHOUSE"}, "location": "DC3"}
FILES = 5
"""So many interchanges are more than a page, for each file is one."""
TURN = 0.1
"""Wall seconds between two turns of the partner."""
LOOKS = 200
FIRST = 500_000
"""Control number of the first report: the partner counts its own from one."""
MADE = datetime(2026, 3, 2, 9, tzinfo=UTC)


class EdiX12Bench(Bench):
    """Stock reports are put into the inbox as a partner writes them; orders are taken, acknowledged and shipped by the partner itself."""

    connector: ClassVar[type[Connector]] = EdiX12Connector
    against = "the folders of a simulated warehouse"
    several_pages: ClassVar = {"interchanges": FILES}

    def start(self, folder: Path) -> Place:
        """Make the folders, and a store to keep control numbers in."""
        self._root, self._next, self._told = folder / "partner", count(FIRST), set[str]()
        for name in ("in", "out"):
            (self._root / name).mkdir(parents=True)
        self._store = open_store(f"sqlite:///{folder / 'numbers.sqlite'}")
        migrate(self._store)
        command = [sys.executable, "-m", "controlplane.sandbox.edi", str(self._root), "--stock", "SKU-1=999"]
        self._partner = Process([*command, "--every", str(TURN)], folder / "partner.log")
        return Place(str(self._root), options=OPTIONS, numbers=StoredNumbers(self._store, SystemClock(), "on-trial"))

    def stop(self) -> None:
        """End the partner, and close the store."""
        self._partner.stop()
        self._store.close()

    # --- reading ---
    def things(self, entity: str, at_least: int) -> set[str]:
        """Have the partner tell of its stock until there are enough interchanges. What was read stays where it is."""
        while len(self._told) < at_least:
            self._report()
        return set(self._told)

    def _report(self) -> None:
        number = next(self._next)
        control = f"{number:09d}"
        isa = f"ISA*00*{'':10}*00*{'':10}*ZZ*{'WAREHOUSE':<15}*ZZ*{'RETAILER':<15}*260302*0900*U*00401*{control}*0*P*>"
        body = (
            "ST*846*0001", f"BIA*00*MB*I-{number}*20260302*0900", "N1*WH**ZZ*DC3", f"LIN**VN*SKU-{number}", "QTY*33*38*EA",
            "QTY*17*40*EA", "CTT*1",
        )  # fmt: skip
        lines = [isa, f"GS*IB*WAREHOUSE*RETAILER*20260302*0900*{number}*X*004010", *body, f"SE*{len(body) + 1}*0001"]
        text = "~\n".join([*lines, f"GE*1*{number}", f"IEA*1*{control}", ""])
        (self._root / "in" / f"846_{control}.edi").write_text(text)
        self._told.add(f"I-{number}")

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the report's number; an acknowledgement of an order of ours is none."""
        segments = json.loads(record.body).get("segments", ())
        return {str(one["elements"][2]) for one in segments if one["id"] == "BIA"}

    def stir(self, entity: str) -> None:
        """Another report comes in."""
        self._report()

    # --- writing ---
    def write(self, entity: str) -> Write:
        """Return an order that no other write was of."""
        ref = f"#{next(self._next)}"
        line = {"line": 1, "native_id": "1", "sku": "SKU-1", "location": "DC3", "quantity": 2, "unit_price": "19.90"}
        payload = {
            "ref": ref, "native_id": ref, "placed_at": MADE.isoformat(), "currency": "USD", "lines": [line],
        }  # fmt: skip
        return Write(entity, ref, f"delivery-{ref}", payload, ref)

    def carry_out(self) -> None:
        """Wait until the partner has taken what lies there, and has had a turn more to acknowledge it."""
        for _ in range(LOOKS):
            if not any((self._root / "out").glob("[!.]*")):
                time.sleep(2 * TURN)
                return
            time.sleep(TURN)

    def effects(self, request: Write) -> int:
        """Count what the partner's journal says it took of the order."""
        path = self._root / "journal.jsonl"
        told = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return sum(one["kind"] == "effect" and one["ref"] == request.business_ref for one in told)

    def refused(self, entity: str) -> Write:
        """Return an order of an item that the partner does not stock."""
        good = self.write(entity)
        lines = [{**good.payload["lines"][0], "sku": "SKU-9"}]
        return Write(entity, good.subject, good.idempotency_key, {**good.payload, "lines": lines}, good.business_ref)
