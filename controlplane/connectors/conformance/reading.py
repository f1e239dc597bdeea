"""Reading: complete, stable while others write, resumable from any cursor, and never whole when it broke off."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from controlplane.connectors.conformance import faults
from controlplane.connectors.conformance.report import NotApplicable, demand
from controlplane.connectors.conformance.stand import Stand, each
from controlplane.connectors.contract import Connector, Page
from controlplane.errors import ConnectorError

FEW = 3
STIRRED = 8
"""Pages after which somebody else writes; then he stops, so that a walk that follows him comes to an end."""


def empty(stand: Stand) -> str:
    """Read a system that holds as little as it can, and read on where nothing has changed: nothing is told that was not told before."""

    def check(entity: str) -> None:
        _nothing_new(stand, entity)
        stand.bench.things(entity, FEW)
        _nothing_new(stand, entity)

    return each(stand.changes, "polls nothing", check)


def _nothing_new(stand: Stand, entity: str) -> None:
    pages = stand.pages(entity)
    for page in pages:
        _through_json(page.cursor)
    if pages:
        again = stand.pages(entity, _through_json(pages[-1].cursor))
        told, known = _keys(again), _keys(pages)
        demand(
            told <= known,
            f"{entity}: nothing changed, and reading on gives events with new keys: {_some(told - known)}",
        )


def complete(stand: Stand) -> str:
    """Bring everything, over several pages; a snapshot or a listing brings each thing exactly once."""
    return _tried(
        (stand.changes, lambda entity: _complete_poll(stand, entity)),
        (stand.snapshots, lambda entity: _complete_snapshot(stand, entity)),
        (stand.listings, lambda entity: _complete_listing(stand, entity)),
    )


def stable(stand: Stand) -> str:
    """Lose and repeat nothing while somebody else writes between the pages."""
    return _tried(
        (stand.changes, lambda entity: _stable_poll(stand, entity)),
        (stand.snapshots, lambda entity: _stable_snapshot(stand, entity)),
    )


def resumable(stand: Stand) -> str:
    """Go on from the cursor after each page, kept as JSON and read by another connector, and miss nothing."""

    def check(entity: str) -> None:
        _enough(stand, entity)
        pages = stand.pages(entity)
        for at in _spread(len(pages)):
            before = _identities(stand, entity, pages[: at + 1])
            rest = _identities(stand, entity, pages[at + 1 :])
            found = _identities(stand, entity, stand.pages(entity, _through_json(pages[at].cursor)))
            lost = rest - before - found
            demand(
                not lost,
                f"{entity}: from the cursor after page {at + 1} of {len(pages)} it does not bring {_some(lost)}",
            )

    return each(stand.changes, "polls nothing", check)


def unbroken(stand: Stand) -> str:
    """Raise when a page in the middle cannot be had: a reading that broke off never looks like a whole one."""

    def check(entity: str) -> None:
        for kind, read in _kinds(stand, entity):
            enough = stand.bench.listed if kind == "listing" else stand.bench.things
            enough(entity, stand.bench.several_pages.get(entity, FEW))
            for name, fault in (("500", faults.status(500)), ("a cut connection", faults.cut(reached=True))):
                _breaks_off(stand, f"{kind} of {entity}", name, fault.at(stand.bench.is_read).after(1, None), read)

    return each(list(dict.fromkeys([*stand.changes, *stand.snapshots, *stand.listings])), "reads nothing", check)


def swollen(stand: Stand) -> str:
    """Refuse an answer that is larger than anybody should take, with a named error."""
    readings = dict(stand.readings())

    def check(told: str) -> None:
        stand.bench.rest()
        connector = stand.connector()
        with stand.strike(faults.swollen().at(stand.bench.is_read), "an endless answer"):
            raised = _raised(readings[told], connector)
        _demand_raised(raised, told, "an answer of 66 MiB")

    return each(list(readings), "reads nothing", check)


def _tried(*kinds: tuple[list[str], Callable[[str], None]]) -> str:
    tried, left_out = 0, []
    for entities, check in kinds:
        for entity in entities:
            try:
                check(entity)
                tried += 1
            except NotApplicable as reason:
                left_out.append(f"{entity}: {reason}")
    if not tried:
        raise NotApplicable("; ".join(left_out) or "the connector reads nothing")
    return "; ".join(left_out)


def _enough(stand: Stand, entity: str) -> set[str]:
    return stand.bench.things(entity, stand.bench.several_pages.get(entity, FEW))


def _complete_poll(stand: Stand, entity: str) -> None:
    wanted = _enough(stand, entity)
    pages = stand.pages(entity)
    lost = wanted - _identities(stand, entity, pages)
    demand(not lost, f"{entity}: {len(wanted)} are there, and a poll from the beginning does not bring {_some(lost)}")
    if entity in stand.bench.several_pages:
        demand(
            len(pages) > 1,
            f"{entity}: one page brought {len(wanted)}; raise several_pages of the bench, for this shows nothing",
        )


def _complete_snapshot(stand: Stand, entity: str) -> None:
    wanted = _enough(stand, entity)
    stand.bench.rest()
    pages = list(stand.connector().snapshot(entity))
    _exactly(entity, wanted, Counter(f"{level.sku}@{level.location}" for page in pages for level in page))
    if entity in stand.bench.several_pages:
        demand(
            len(pages) > 1,
            f"{entity}: one page brought {len(wanted)}; raise several_pages of the bench, for this shows nothing",
        )
    some = [(sku, place) for sku, _, place in (one.partition("@") for one in sorted(wanted)[:FEW])]
    stand.bench.rest()
    few = [level for page in stand.connector().snapshot(entity, some) for level in page]
    told = Counter((level.sku, level.location) for level in few)
    demand(told == Counter(some), f"{entity}: asked for {some} it gives {sorted(told.elements())}")


def _complete_listing(stand: Stand, entity: str) -> None:
    wanted = stand.bench.listed(entity, stand.bench.several_pages.get(entity, FEW))
    stand.bench.rest()
    found = Counter(entry.subject for page in stand.connector().entries(entity) for entry in page)
    _exactly(entity, wanted, found)
    some = sorted(wanted)[:FEW]
    stand.bench.rest()
    few = Counter(entry.subject for page in stand.connector().entries(entity, some) for entry in page)
    demand(few == Counter(some), f"{entity}: asked for {some} it lists {sorted(few.elements())}")


def _exactly(entity: str, wanted: set[str], found: Counter[str]) -> None:
    lost, twice = wanted - found.keys(), {key for key, count in found.items() if count > 1}
    demand(not lost, f"{entity}: {len(wanted)} are there, and this lacks {_some(lost)}")
    demand(not twice, f"{entity}: more than once there is {_some(twice)}")


def _stable_poll(stand: Stand, entity: str) -> None:
    wanted = _enough(stand, entity)
    stand.bench.rest()
    pages = []
    for page in stand.connector().poll(entity, None):
        pages.append(page)
        if len(pages) <= STIRRED:
            stand.bench.stir(entity)
    pages += stand.pages(entity, _through_json(pages[-1].cursor) if pages else None)
    everything = wanted | stand.bench.things(entity, 0)
    lost = everything - _identities(stand, entity, pages)
    demand(
        not lost, f"{entity}: written to between the pages, this and the next poll together do not bring {_some(lost)}"
    )


def _stable_snapshot(stand: Stand, entity: str) -> None:
    wanted = _enough(stand, entity)
    stand.bench.rest()
    found: Counter[str] = Counter()
    for at, page in enumerate(stand.connector().snapshot(entity)):
        found.update(f"{level.sku}@{level.location}" for level in page)
        if at < STIRRED:
            stand.bench.stir(entity)
    _exactly(entity, wanted, found)


def _kinds(stand: Stand, entity: str) -> Iterator[tuple[str, Callable[[Connector], Any]]]:
    if entity in stand.changes:
        yield "poll", lambda connector: list(connector.poll(entity, None))
    if entity in stand.snapshots:
        yield "snapshot", lambda connector: list(connector.snapshot(entity))
    if entity in stand.listings:
        yield "listing", lambda connector: list(connector.entries(entity))


def _breaks_off(stand: Stand, told: str, name: str, fault: faults.Fault, read: Callable[[Connector], Any]) -> None:
    stand.bench.rest()
    connector = stand.connector()
    with stand.strike(fault, f"{name} at the second request"):  # of one page there is none, and that shows nothing
        raised = _raised(read, connector)
    _demand_raised(raised, told, f"{name} at the second request")


def _raised(read: Callable[[Connector], Any], connector: Connector) -> bool:
    try:
        read(connector)
    except ConnectorError:
        return True
    return False


def _demand_raised(raised: bool, told: str, name: str) -> None:
    demand(raised, f"{told}: {name} was taken for the end of it; raise the ConnectorError that the shared client gives")


def _identities(stand: Stand, entity: str, pages: list[Page]) -> set[str]:
    return {one for page in pages for record in page.records for one in stand.bench.identities(entity, record)}


def _keys(pages: list[Page]) -> set[str]:
    return {record.event_key for page in pages for record in page.records if record.event_key}


def _through_json(cursor: dict[str, Any]) -> dict[str, Any] | None:
    """Return the cursor as the store gives it back; an empty one is the beginning."""
    try:
        return json.loads(json.dumps(cursor)) or None
    except TypeError as error:
        demand(False, f"the cursor {cursor!r} cannot be kept as JSON: {error}")
        raise


def _spread(pages: int) -> list[int]:
    """Return at most five places: the first, the last, and some between."""
    return sorted({round(at * (pages - 1) / 4) for at in range(5)}) if pages else []


def _some(found: set[str]) -> str:
    told = sorted(found)
    return f"{', '.join(told[:5])}{' …' if len(told) > 5 else ''} ({len(told)})"
