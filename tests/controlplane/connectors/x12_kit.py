"""A partner's folders, a connector over them, and sets as a partner writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.edi_x12.connector import EdiX12Connector
from controlplane.connectors.contract import Draft, Page, Record, Write
from controlplane.connectors.numbers import StoredNumbers
from controlplane.store import Store
from tests.controlplane.connectors.conftest import START, Given

OPTIONS: dict[str, Any] = {"us": {"id": "RETAILER"}, "partner": {"id": "WAREHOUSE"}, "location": "DC3"}
SHIPPED = (
    "W06*N*#1001*20261127*S-77*A-1*PO-9", "N1*WH**ZZ*DC3", "N1*ST*Ada Lovelace*92*#1001", "N3*12 Analytical Row", "N4*London*LN*10001*US",
    "G62*11*20261127*8*0615", "W27*M*UPSN", "LX*1", "MAN*CP*1Z999", "W12*CC*3*2*1*EA**VN*SKU-1", "LX*2", "W12*CC*1*1**EA**VN*SKU-2",
    "W03*3",
)  # fmt: skip
RECEIVED = ("W17*F*20261127*R-5*PO-9", "N1*WH**ZZ*DC3", "W07*5*EA**VN*SKU-1", "W07*2*EA**VN*SKU-2", "W14*7")
STOCK = (
    "BIA*00*MB*I-1*20261127*0600", "N1*WH**ZZ*DC3", "LIN**VN*SKU-1", "QTY*17*40*EA", "QTY*33*38*EA", "LIN**VN*SKU-2", "QTY*17*7",
    "UIT*EA", "CTT*2",
)  # fmt: skip


def one_set(kind: str, *lines: str, control: str = "0001", count: int | None = None, trailer: str | None = None) -> str:
    """A set; `count` and `trailer` make it wrong."""
    body = [f"ST*{kind}*{control}", *lines]
    return "~".join([*body, f"SE*{count or len(body) + 1}*{trailer or control}"])


def interchange(
    *sets: str, group: str = "SW", control: int = 1, sender: str = "WAREHOUSE", to: str = "RETAILER", usage: str = "P",
    count: int | None = None, asks: str = "0",
) -> bytes:  # fmt: skip
    """An interchange with one group."""
    isa = f"ISA*00*{'':10}*00*{'':10}*ZZ*{sender:<15}*ZZ*{to:<15}*261127*0600*U*00401*{control:09d}*{asks}*{usage}*>"
    head = f"GS*{group}*{sender}*{to}*20261127*0600*{control}*X*004010"
    return "~\n".join([isa, head, *sets, f"GE*{count or len(sets)}*{control}", f"IEA*1*{control:09d}", ""]).encode()


def said_997(control: int, *lines: str, number: int = 500) -> bytes:
    """A partner's 997 of our control number; without lines it accepts."""
    told = lines or ("AK2*940*0001", "AK5*A", "AK9*A*1*1*1")
    return interchange(one_set("997", f"AK1*OW*{control}", *told), group="FA", control=number)


@dataclass
class Bench:
    """Connectors over one partner's folders, and the store behind them."""

    root: Path
    store: Store
    clock: ManualClock = field(default_factory=lambda: ManualClock(START, pace=1.0))
    options: dict[str, Any] = field(default_factory=dict)
    endpoint: str = ""
    secrets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("in", "out", "archive"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def connector(self, **options: Any) -> EdiX12Connector:
        """A connector as a process that has just started makes it."""
        given = Given(
            self.endpoint or str(self.root),
            self.secrets,
            {**OPTIONS, **self.options, **options},
            clock=self.clock,
            timeout=10,
        )
        numbers = StoredNumbers(self.store, self.clock, "theirs")
        return EdiX12Connector(replace(given.context(), numbers=numbers, given=frozenset(self.secrets)))

    def drop(self, content: bytes, name: str = "a.edi") -> None:
        """The partner puts a file into our inbox."""
        (self.root / "in" / name).write_bytes(content)

    def said(self, prefix: str = "997") -> list[str]:
        """What we put into the outbox, in order."""
        return [path.read_text() for path in sorted((self.root / "out").glob(f"{prefix}_*.x12"))]


def pages(connector: EdiX12Connector, cursor: dict[str, Any] | None = None) -> list[Page]:
    return list(connector.poll("interchanges", cursor))


def polled(connector: EdiX12Connector, cursor: dict[str, Any] | None = None) -> list[Record]:
    return [record for page in pages(connector, cursor) for record in page.records]


def drafts(connector: EdiX12Connector, records: Sequence[Record]) -> list[Draft]:
    return [draft for record in records for draft in connector.translate(record.topic, record.body)]


def order(key: str = "delivery-1", ref: str = "#1001", **changes: Any) -> Write:
    """The write that owes the partner an order."""
    line = {"line": 1, "native_id": "L1", "sku": "SKU-1", "location": "DC3", "quantity": 3, "unit_price": "19.90"}
    payload = {
        "ref": ref,
        "native_id": "900001",
        "placed_at": "2026-11-27T06:00:00+00:00",
        "currency": "USD",
        "lines": [line],
        **changes,
    }
    return Write("order", ref, key, payload, ref)
