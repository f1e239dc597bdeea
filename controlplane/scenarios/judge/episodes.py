"""Episodes: when, for which key and why the systems really disagreed, by the journal alone.

never_received     the warehouse's figures were other than those of the newest webhook that reached the plane, until one
                   with the true figures did, or the plane read the key again; or a document's own webhook was lost,
                   until the document took effect.
                   A file of a till that never came: its sales, until they took effect.
changed_at_target  somebody edited the shop's stock by hand, until the plane set it again or it was edited back; or the
                   shop answered a write and did not carry it out, until it was set; or, of both, until a write was
                   refused where the shop showed already what was to be written, and that could be sold.
unit               somebody set an article up in another unit at the target, until the end.
missing            somebody gave an article a code at the target that nobody knows, until the end.
late               a document had no effect in the ERP yet; or the shop showed other than what can be sold, and neither
                   of the other two explains it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from operator import itemgetter

from controlplane.scenarios.judge.documents import documents, lines
from controlplane.scenarios.judge.facts import Event, Evidence, instant
from controlplane.scenarios.judge.timeline import Interval, Timeline, differing, timelines, without

SOURCE = "wms"
"""The system that the warehouse's figures are read from."""
STATE_TOPIC = "Inventory Update"
MESSAGES = {
    "shipment": "shipment.shipped", "receipt": "receipt.received", "return": "return.received",
    "till_sale": "sale.recorded",
}  # fmt: skip
"""Kind of document -> message type: those that move the compared stock in the ERP's books."""
SET_BY_PLANE = "inventorySetQuantities"


@dataclass(frozen=True, slots=True)
class Episode:
    """One disagreement as it really was."""

    key: str
    cause: str
    start: datetime
    end: datetime
    promise: timedelta
    what: str
    must_find: bool = True
    """Whether a plane that does not name it has missed it; False where a longer promise covers the same fact."""

    def outlasted(self, more: timedelta = timedelta(0)) -> bool:
        """Say whether it lasted its promise and so much more."""
        return self.end - self.start >= self.promise + more


def episodes(evidence: Evidence) -> list[Episode]:
    """Return all episodes, in order of time."""
    gaps = list(_gaps(evidence))
    edits = list(_edits(evidence))
    edits += _dropped(evidence)
    found = [
        *gaps,
        *edits,
        *_set_up(evidence),
        *_files(evidence),
        *_documents(evidence),
        *_offers(evidence, gaps + edits),
    ]
    return sorted(found, key=lambda episode: (episode.start, episode.key))


# --- what the warehouse said and nobody heard ---
def _gaps(evidence: Evidence) -> Iterator[Episode]:
    on_hand = timelines(evidence, "wms", "on_hand", "wms_on_hand")
    free = timelines(evidence, "wms", "available", "wms_available")
    told = _told(evidence)
    for key, held in on_hand.items():
        if key not in free:
            continue
        true = _pair(held, free[key])
        heard = _heard(evidence.began, true, told[key])
        breaks = [when for when, _ in (*held, *free[key])] + [learned for _, learned in told[key]]
        for start, end in differing(breaks, evidence.ended, true, heard):
            text = "the warehouse's figures did not reach the plane"
            yield Episode(key, "never_received", start, end, evidence.plane.promises.comparison, text)


def _pair(one: Timeline, other: Timeline) -> Callable[[datetime], tuple[int, int]]:
    return lambda when: (one.at(when), other.at(when))


def _heard(
    began: datetime, true: Callable[[datetime], tuple[int, int]], told: list[tuple[datetime, datetime]]
) -> Callable[[datetime], tuple[int, int]]:
    """What the plane could know: the true figures as of the newest instant it was told of by then."""
    learned = sorted((learned, as_of) for as_of, learned in told)
    newest = list(accumulate((as_of for _, as_of in learned), max))

    def heard(when: datetime) -> tuple[int, int]:
        so_far = bisect_right(learned, when, key=itemgetter(0))
        return true(newest[so_far - 1] if so_far else began)

    return heard


def _told(evidence: Evidence) -> dict[str, list[tuple[datetime, datetime]]]:
    """Per key: (as of when the figures were, when the plane had them), by webhook or by a healing's reading."""
    found: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for event in evidence.journal:
        if event["kind"] == "webhook" and event["topic"] == STATE_TOPIC and event.get("delivered_at"):
            for key in event["keys"]:
                found[key].append((instant(event["created_at"]), instant(event["delivered_at"])))
    for finding in evidence.plane.findings:
        if finding.closed_at and finding.state == "healed" and finding.side == SOURCE:
            found[finding.key].append((finding.closed_at, finding.closed_at))
    return found


# --- what somebody changed at the target ---
def _edits(evidence: Evidence) -> Iterator[Episode]:
    values, seen = _shop_values(evidence), _seen_right(evidence)
    promise = evidence.plane.promises.comparison
    for event in evidence.journal:
        if event["kind"] != "hand_edit" or event["from"] == event["to"]:
            continue
        key, start = f"{event['sku']}@{event['location']}", instant(event["at"])
        later = [instant(v["at"]) for v in values[key] if v["seq"] > event["seq"] and _undoes(v, event)]
        later += [when for when in seen[key] if when > start]
        text = f"the shop's stock was edited from {event['from']} to {event['to']}"
        yield Episode(key, "changed_at_target", start, min(later, default=evidence.ended), promise, text)


def _undoes(value: Event, edit: Event) -> bool:
    back = value["cause"] == "hand_edit" and value["seq"] > edit["seq"] + 1 and value["value"] == edit["from"]
    return bool(value["cause"] == SET_BY_PLANE or back)


def _dropped(evidence: Evidence) -> Iterator[Episode]:
    """Writes that the shop answered and did not carry out, until it is set or the plane sees it show the right number."""
    drops = [event for event in evidence.journal if event["kind"] == "dropped_write"]
    values, seen = _shop_values(evidence), _seen_right(evidence)
    for event in drops:
        key, start = f"{event['sku']}@{event['location']}", instant(event["at"])
        ends = [instant(v["at"]) for v in values.get(key, ()) if v["seq"] > event["seq"] and v["cause"] == SET_BY_PLANE]
        ends += [when for when in seen[key] if when > start]
        text = f"the shop answered a write of {event['from']} and went on showing {event['to']}"
        promise = evidence.plane.promises.comparison
        yield Episode(key, "changed_at_target", start, min(ends, default=evidence.ended), promise, text)


def _seen_right(evidence: Evidence) -> dict[str, list[datetime]]:
    """When a write of the plane was refused because the shop showed already what was to be written, and that could be sold."""
    refused = [e for e in evidence.journal if e["kind"] == "stale_write" and e["wanted"] == e["shown"]]
    ats = timelines(evidence, "truth", "ats", "ats") if refused else {}
    found: dict[str, list[datetime]] = defaultdict(list)
    for event in refused:
        key, when = f"{event['sku']}@{event['location']}", instant(event["at"])
        if key in ats and ats[key].at(when) == event["shown"]:
            found[key].append(when)
    return found


def _shop_values(evidence: Evidence) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in evidence.journal:
        if event["kind"] == "value" and (event["system"], event["field"]) == ("shop", "available"):
            found[f"{event['sku']}@{event['location']}"].append(event)
    return found


# --- what never came in a file ---
def _files(evidence: Evidence) -> Iterator[Episode]:
    sold = {event["ref"]: event for event in documents(evidence.journal) if event["doc"] == "till_sale"}
    shown = _effects(evidence)
    for event in evidence.journal:
        if event["kind"] != "lost_file":
            continue
        ends: dict[str, datetime] = {}
        for ref in event["refs"]:
            end = shown.get(("till_sale", ref), evidence.ended)
            ends |= {key: max(end, ends.get(key, end)) for key, _ in lines(sold[ref])}
        text = f"file {event['number']} of {event['store']} never came"
        for key, end in ends.items():
            promise = evidence.plane.promises.comparison
            yield Episode(key, "never_received", instant(event["at"]), end, promise, text)


# --- what somebody set up wrong at the target ---
def _set_up(evidence: Evidence) -> Iterator[Episode]:
    """Until the end: nothing that the plane may do mends it."""
    promise = evidence.plane.promises.comparison
    for event in evidence.journal:
        if event["kind"] not in ("wrong_unit", "renamed"):
            continue
        start, place = instant(event["at"]), event["location"]
        if event["kind"] == "wrong_unit":
            text = f"{event['system']} counts the article in units of {event['factor']}"
            yield Episode(f"{event['sku']}@{place}", "unit", start, evidence.ended, promise, text)
        else:
            text = f"{event['system']} lists {event['sku']} as {event['code']}"
            for at in evidence.plane.promises.locations:  # the article, wherever it lies
                yield Episode(f"{event['sku']}@{at}", "missing", start, evidence.ended, promise, text)
                yield Episode(f"{event['code']}@{at}", "missing", start, evidence.ended, promise, text, must_find=False)


# --- what was on its way longer than promised ---
def _documents(evidence: Evidence) -> Iterator[Episode]:
    promises = evidence.plane.promises
    shown = _effects(evidence)
    unheard = _unheard(evidence)
    held = {case.subject for case in evidence.plane.cases}
    gone = {ref for event in evidence.journal if event["kind"] == "lost_file" for ref in event["refs"]}
    for event in documents(evidence.journal):
        message = MESSAGES.get(event["doc"])
        if message is None or "erp" not in event["expected_targets"] or event["ref"] in gone:
            continue
        start, name = instant(event["at"]), f"{event['doc']} {event['ref']}"
        end = shown.get((event["doc"], event["ref"]), evidence.ended)
        cause = "quarantined" if event["ref"] in held else "late"
        for key, _ in lines(event):
            if key.rpartition("@")[2] in promises.locations:
                yield Episode(key, cause, start, end, promises.flows[message], f"{name} was not in the ERP")
                if event["ref"] in unheard:
                    text = f"the webhook of {name} was lost"
                    yield Episode(key, "never_received", start, end, promises.comparison, text, must_find=False)


def _effects(evidence: Evidence) -> Mapping[tuple[str, str], datetime]:
    found: dict[tuple[str, str], datetime] = {}
    for event in evidence.journal:
        if event["kind"] == "effect" and event["system"] == "erp":
            found.setdefault((event["doc"], event["ref"]), instant(event["at"]))
    return found


def _unheard(evidence: Evidence) -> set[str]:
    """References of documents whose own webhook did not arrive as it should."""
    odd = (e for e in evidence.journal if e["kind"] == "webhook" and e["topic"] != STATE_TOPIC)
    return {key for event in odd if event["fate"] != "sent" or event["attempts"] > 1 for key in event["keys"]}


def _offers(evidence: Evidence, explained: list[Episode]) -> Iterator[Episode]:
    ats = timelines(evidence, "truth", "ats", "ats")
    shop = timelines(evidence, "shop", "available", "shop_available")
    promise = evidence.plane.promises.flows["stock.offer"]
    spans: dict[str, list[Interval]] = defaultdict(list)
    for episode in explained:
        spans[episode.key].append(Interval(episode.start, episode.end))
    for key, ought in ats.items():
        shows = shop[key]
        cuts = spans[key]
        breaks = [when for when, _ in (*ought, *shows)]
        text = "the shop did not show what can be sold"
        for span in differing(breaks, evidence.ended, ought.at, shows.at):
            rests = without(span, cuts)
            for start, end in rests:
                yield Episode(key, "late", start, end, promise, text)
            if len(rests) > 1 and sum((rest.end - rest.start for rest in rests), timedelta(0)) >= promise:
                # another cause explains a part of it, and what it does not is late all the same
                yield Episode(key, "late", span.start, span.end, promise, text, must_find=False)
