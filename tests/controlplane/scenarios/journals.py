"""Journals written by hand, for the judge: minutes after the start, one key unless said otherwise."""

from datetime import UTC, datetime, timedelta
from typing import Any

from controlplane.scenarios.judge.facts import Case, Evidence, FindingFact, IncidentFact, PlaneFacts, Promises

START = datetime(2026, 11, 27, 8, tzinfo=UTC)
SKU, PLACE = "0007-BLK-M", "WH1"
KEY = f"{SKU}@{PLACE}"
PROMISES = Promises(
    cycle=timedelta(minutes=5),
    comparison=timedelta(minutes=2),
    flows={
        "shipment.shipped": timedelta(minutes=10),
        "receipt.received": timedelta(minutes=10),
        "return.received": timedelta(minutes=10),
        "stock.offer": timedelta(seconds=60),
        "sale.recorded": timedelta(minutes=15),
    },
)
LINES = [{"sku": SKU, "location": PLACE, "quantity": 3}]


def minute(minutes: float) -> datetime:
    """The instant so many minutes after the start."""
    return START + timedelta(minutes=minutes)


class Journal:
    """Events in the order they are written; `seq` counts by itself."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def write(self, minutes: float, kind: str, **fields: Any) -> "Journal":
        at = minute(minutes).isoformat()
        self.events.append({"seq": len(self.events) + 1, "at": at, "kind": kind, **fields})
        return self

    def document(
        self, minutes: float, doc: str, ref: str, targets: tuple[str, ...] = ("erp",), held: bool = False
    ) -> "Journal":
        fields = {"doc": doc, "ref": ref, "lines": LINES, "expected_targets": list(targets)}
        return self.write(minutes, "document", **fields, expect_quarantine=held)

    def effect(self, minutes: float, system: str, doc: str, ref: str, ordinal: int = 1) -> "Journal":
        return self.write(minutes, "effect", system=system, doc=doc, ref=ref, ordinal=ordinal, lines=LINES)

    def value(self, minutes: float, system: str, name: str, value: int, cause: str = "order") -> "Journal":
        return self.write(
            minutes, "value", system=system, field=name, sku=SKU, location=PLACE, value=value, cause=cause
        )

    def webhook(self, minutes: float, keys: list[str], topic: str, delivered: float | None, fate: str) -> "Journal":
        more = {} if delivered is None else {"delivered_at": minute(delivered).isoformat()}
        return self.write(
            minutes if delivered is None else delivered, "webhook", system="wms", topic=topic, keys=keys, fate=fate,
            created_at=minute(minutes).isoformat(), attempts=0 if delivered is None else 1, **more,
        )  # fmt: skip

    def stock(self, minutes: float, on_hand: int, delivered: float | None) -> "Journal":
        """The warehouse's figures change, and its webhook arrives at that minute or never."""
        self.value(minutes, "wms", "on_hand", on_hand, "receipt").value(minutes, "wms", "available", on_hand, "receipt")
        return self.webhook(minutes, [KEY], "Inventory Update", delivered, "lost" if delivered is None else "sent")


def truth(wms: int = 50, erp: int = 50, shop: int | None = 48, ats: int | None = 48, **more: Any) -> dict[str, Any]:
    """A row of the truth."""
    row = {"sku": SKU, "location": PLACE, "wms_on_hand": wms, "wms_available": wms, "erp_on_hand": erp}
    return {**row, "shop_available": shop, "ats": ats, **more}


def finding(cause: str, confirmed: float, closed: float | None = None, state: str = "open") -> FindingFact:
    """A finding on the key."""
    ended = None if closed is None else minute(closed)
    return FindingFact("f", KEY, "wms", cause, state, minute(confirmed), ended)


def evidence(
    journal: Journal,
    *,
    ended: float = 120,
    at_end: list[dict[str, Any]] | None = None,
    findings: tuple[FindingFact, ...] = (),
    cases: tuple[Case, ...] = (),
    incidents: tuple[IncidentFact, ...] = (),
    promises: Promises = PROMISES,
    unrest: tuple[str, ...] = (),
) -> Evidence:
    """Everything the judge is given; what is not said is as quiet as can be."""
    plane = PlaneFacts(7, cases, findings, incidents, 0, promises)
    return Evidence(
        "by-hand", 1, START, minute(ended), 1.5, journal.events, [truth()], at_end or [truth()], plane, unrest
    )
