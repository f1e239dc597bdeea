"""A whole run: a season is posted, processes are killed, and when all is said and done it is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from tests.chaos.depot.journal import INLETS, Arrivals
from tests.chaos.depot.process import DepotProcess
from tests.chaos.feed import DOCUMENT, Event, Feed, Send
from tests.chaos.judge import Verdict, judge
from tests.chaos.monkey import Monkey
from tests.chaos.plane import Plane


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    verdict: Verdict
    kills: int
    acknowledged: int
    repeated: int
    """Requests of the feed that were sent more than once."""


def survive(
    plane: Plane,
    depot: DepotProcess,
    events: Sequence[Event],
    send: Send,
    *,
    seed: int,
    kills: int,
    many: int = 1,
    ahead: int = 100,
    inlets: AbstractSet[str] = frozenset(INLETS),
    until_quiet: bool = True,
) -> Outcome:
    """Post the events to a plane that runs, kill its processes meanwhile, and judge what came of it at the inlets.

    `many`: events in one request; `ahead`: documents that may be acknowledged and not yet delivered, so that the posting
    lasts as long as the kills; `until_quiet`: judge only when the plane owes nothing.
    """
    total = sum(event.type == DOCUMENT for event in events)
    progress = Arrivals(depot.journal, "keyed")
    monkey = Monkey(plane, progress, total, kills, seed)
    outcome = endure(
        plane, depot, events, send, seed=seed, many=many, ahead=ahead, inlets=inlets, until_quiet=until_quiet,
        progress=progress, trouble=monkey.run,
    )  # fmt: skip
    return replace(outcome, kills=monkey.kills)


def endure(
    plane: Plane,
    depot: DepotProcess,
    events: Sequence[Event],
    send: Send,
    *,
    seed: int,
    trouble: Callable[[], None],
    progress: Arrivals,
    many: int = 1,
    ahead: int = 100,
    inlets: AbstractSet[str] = frozenset(INLETS),
    until_quiet: bool = True,
) -> Outcome:
    """Post the events to a plane that runs, make trouble meanwhile, and judge what came of it (see `survive`)."""
    total = sum(event.type == DOCUMENT for event in events)
    feed = Feed(plane.url, events, send, seed=seed, many=many, may=lambda feed: feed.documents < progress() + ahead)

    def over() -> bool:
        if not (plane.quiet() if until_quiet else progress() == total):  # cheap, and judging is not
            return False
        verdict = judge(events, feed.acknowledged, depot.journal, inlets)
        return not (verdict.lost or verdict.last)  # the rest can only become worse

    feed.start()
    try:
        trouble()
        plane.wait_until(lambda: feed.done, "everything is acknowledged")
        try:
            plane.wait_until(over, "everything has arrived")
        except AssertionError as error:
            raise AssertionError(f"{judge(events, feed.acknowledged, depot.journal, inlets)}\n{error}") from None
    finally:
        feed.stop()
    depot.settle()
    verdict = judge(events, feed.acknowledged, depot.journal, inlets)
    return Outcome(verdict, 0, len(feed.acknowledged), feed.repeated)
