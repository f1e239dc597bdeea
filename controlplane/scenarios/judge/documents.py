"""Documents: lost, applied twice, posted; and the books at the end. Counted by business reference."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from controlplane.scenarios.judge.facts import Case, Event, Evidence

Effect = tuple[str, str, str]
"""System, kind of document, business reference."""


def lost(evidence: Evidence) -> list[str]:
    """Name each document whose effect a target lacks, unless the scenario expects it in quarantine and there it is."""
    done = set(effects(evidence.journal))
    missing = []
    for event in documents(evidence.journal):
        if event["expect_quarantine"] and any(_speaks_of(case, event) for case in evidence.plane.cases):
            continue
        absent = [s for s in event["expected_targets"] if (s, event["doc"], event["ref"]) not in done]
        missing += [f"{event['doc']} {event['ref']} of {event['at']} has no effect at {system}" for system in absent]
    return missing + _unposted(evidence)


def _unposted(evidence: Evidence) -> list[str]:
    posted = {posting(ref) for system, doc, ref in effects(evidence.journal) if (system, doc) == ("erp", "posting")}
    shipments = [event["ref"] for event in documents(evidence.journal) if event["doc"] == "shipment"]
    owed = [(ref, entry) for ref in shipments for entry in evidence.plane.promises.entries]
    return [f"shipment {ref} has no {entry} posting at erp" for ref, entry in owed if (ref, entry) not in posted]


def applied_twice(evidence: Evidence) -> list[str]:
    """Name each business document that took effect more than once at a target."""
    counted = Counter((system, doc, *_reference(doc, ref)) for system, doc, ref in effects(evidence.journal))
    return [f"{doc} {' '.join(ref)} took effect {n} times at {s}" for (s, doc, *ref), n in counted.items() if n > 1]


def _reference(doc: str, ref: str) -> tuple[str, ...]:
    return posting(ref) if doc == "posting" else (ref,)


def posting(ref: str) -> tuple[str, str]:
    """Split the reference of a posting, `…:DOCUMENT:ENTRY`, into document and entry."""
    head, _, entry = ref.rpartition(":")
    return head.rpartition(":")[2], entry


def documents(journal: Iterable[Event]) -> list[Event]:
    """Return the business documents of the journal."""
    return [event for event in journal if event["kind"] == "document"]


def effects(journal: Iterable[Event]) -> list[Effect]:
    """Return every effect of a document at a system, once for each time it took effect."""
    return [(event["system"], event["doc"], event["ref"]) for event in journal if event["kind"] == "effect"]


def oversold(journal: Iterable[Event]) -> int:
    """Return the units that the shop accepted beyond what could be shipped at that moment."""
    return sum(int(event["units"]) for event in journal if event["kind"] == "oversold")


def wrong_stock(evidence: Evidence) -> list[str]:
    """Name each shop key whose available-to-sell is not the truth's at the end."""
    return [
        f"shop shows {row['shop_available']} of {row['sku']} at {row['location']}; {row['ats']} can be sold"
        for row in evidence.at_end
        if row["shop_available"] is not None and row["shop_available"] != row["ats"]
    ]


def wrong_books(evidence: Evidence) -> list[str]:
    """Name each key whose ERP books differ from the goods on the shelf, what waits in quarantine as expected aside."""
    held = _held(evidence)
    return [
        f"erp has {row['erp_on_hand']} of {row['sku']} at {row['location']}; {row['wms_on_hand']} are there"
        for row in evidence.at_end
        if row["erp_on_hand"] - held[f"{row['sku']}@{row['location']}"] != row["wms_on_hand"]
    ]


def _held(evidence: Evidence) -> dict[str, int]:
    """Units sold at tills whose record waits in quarantine, as expected: the ERP cannot know of them."""
    done = set(effects(evidence.journal))
    held: dict[str, int] = defaultdict(int)
    for event in documents(evidence.journal):
        if event["expect_quarantine"] and ("erp", event["doc"], event["ref"]) not in done:
            for key, quantity in lines(event):
                held[key] += quantity
    return held


def lines(event: Event) -> list[tuple[str, int]]:
    """Return (SKU@LOCATION, quantity) of a document's lines."""
    return [(f"{line['sku']}@{line['location']}", int(line["quantity"])) for line in event["lines"]]


def _speaks_of(case: Case, event: Event) -> bool:
    parts: Sequence[str] = event["ref"].split("/")
    return case.subject == event["ref"] or all(part in case.record for part in parts)
