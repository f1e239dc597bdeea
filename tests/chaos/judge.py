"""What was acknowledged, held against what took effect. Knows nothing of the plane."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from typing import Any

from tests.chaos.depot.journal import DOCUMENTS, INLETS, LEVELS, Effect, Reading
from tests.chaos.feed import DOCUMENT, LEVEL, Event

FEW = 8
"""Cases of one kind that are told; the others are counted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, each case as `inlet reference: what`."""

    lost: list[str] = field(default_factory=list)
    """Acknowledged, and no effect."""
    twice: list[str] = field(default_factory=list)
    """More than one effect of a document, at an inlet whose guarantee makes one possible."""
    altered: list[str] = field(default_factory=list)
    """An effect with another content than was posted."""
    foreign: list[str] = field(default_factory=list)
    """An effect of something that nobody has posted."""
    misused: list[str] = field(default_factory=list)
    """One idempotency key used for two contents."""
    last: list[str] = field(default_factory=list)
    """A level that does not show the value that came last."""
    repeated: dict[str, int] = field(default_factory=dict)
    """At the inlet without guarantee: reference -> effects beyond the first. No fault by itself; the plane must count them."""

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong, leaving aside what may be repeated."""
        return not any(getattr(self, one.name) for one in fields(self) if one.name != "repeated")

    def __str__(self) -> str:
        """Tell what is wrong, a few cases of each kind."""
        lines = []
        for one in fields(self):
            cases = list(getattr(self, one.name))
            more = f" and {len(cases) - FEW} more" if len(cases) > FEW else ""
            if cases:
                lines.append(f"{one.name} ({len(cases)}): {'; '.join(cases[:FEW])}{more}")
        return "\n".join(lines) or "nothing is wrong"


def judge(
    posted: Sequence[Event],
    acknowledged: Collection[Event],
    journal: Reading,
    inlets: AbstractSet[str] = frozenset(INLETS),
) -> Verdict:
    """Judge a run, at some inlets or all. Final only when nothing is owed to them any more.

    What was posted and not acknowledged may have taken effect, or not.
    """
    known = {event.id for event in acknowledged}
    documents = {event.subject: event for event in posted if event.type == DOCUMENT}
    due = {ref for ref, event in documents.items() if event.id in known}
    by_inlet: dict[str, dict[str, list[Effect]]] = {inlet: defaultdict(list) for inlet in (*DOCUMENTS, *LEVELS)}
    for effect in journal.effects():
        by_inlet[effect.inlet][effect.ref].append(effect)
    verdict = Verdict(
        misused=[f"{one.inlet} {one.ref}: {one.key}" for one in journal.requests() if one.verdict == "conflict"]
    )
    for inlet in sorted(inlets & set(DOCUMENTS)):
        _documents(verdict, inlet, by_inlet[inlet], documents, due)
    for inlet in sorted(inlets & set(LEVELS)):
        _levels(verdict, inlet, by_inlet[inlet], posted, known)
    return verdict


def _documents(
    verdict: Verdict, inlet: str, effects: Mapping[str, list[Effect]], posted: Mapping[str, Event], due: Collection[str]
) -> None:
    verdict.lost.extend(f"{inlet} {ref}" for ref in sorted(set(due) - effects.keys()))
    verdict.foreign.extend(f"{inlet} {ref}" for ref in sorted(effects.keys() - posted.keys()))
    for ref, found in effects.items():
        if ref in posted and any(_content(one.payload) != _content(posted[ref].data) for one in found):
            verdict.altered.append(f"{inlet} {ref}: {found[0].payload}")
        if len(found) > 1 and inlet == "none":
            verdict.repeated[ref] = len(found) - 1
        elif len(found) > 1:
            verdict.twice.append(f"{inlet} {ref}: {len(found)} times, by {', '.join(one.key for one in found)}")


def _content(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a document says, but for the instant, which may be written in more than one way."""
    return {name: value for name, value in data.items() if name != "received_at"}


def _levels(
    verdict: Verdict,
    inlet: str,
    effects: Mapping[str, list[Effect]],
    posted: Sequence[Event],
    acknowledged: Collection[str],
) -> None:
    wanted = dict(_last(posted, acknowledged))
    verdict.foreign.extend(f"{inlet} {ref}" for ref in sorted(effects.keys() - wanted.keys()))
    for ref, events in sorted(wanted.items()):
        shown = effects[ref][-1] if ref in effects else None
        if shown is None:
            if None not in events:
                verdict.lost.append(f"{inlet} {ref}")
        elif not any(event and _shows(shown, event) for event in events):
            due = " or ".join(f"{event.data['available']} of {event.time:%T.%f}" for event in events if event)
            verdict.last.append(f"{inlet} {ref}: shows {shown.value} of version {shown.version}, and {due} came last")


def _shows(effect: Effect, event: Event) -> bool:
    """Whether an effect is that of the event itself; what carries no version is known by its value only."""
    return effect.value == event.data["available"] and effect.version in (None, event.version)


def _last(posted: Sequence[Event], acknowledged: Collection[str]) -> Iterator[tuple[str, list[Event | None]]]:
    """Yield each key with what it may show: the last acknowledged event, or one that was posted after it. None: nothing."""
    by_key: dict[str, list[Event]] = defaultdict(list)
    for event in posted:
        if event.type == LEVEL:
            by_key[event.subject].append(event)
    for key, events in by_key.items():
        ordered = sorted(events, key=lambda event: event.version)
        sure = [place for place, event in enumerate(ordered) if event.id in acknowledged]
        yield key, ordered[sure[-1] :] if sure else [None, *ordered]
