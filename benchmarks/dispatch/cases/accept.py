"""Accepting NDJSON batches: rows, indexes and syncs are the floor's, validation and policy are ours."""

from collections.abc import Sequence
from functools import partial

from benchmarks.dispatch.bench import Bench
from benchmarks.dispatch.processes import module
from benchmarks.dispatch.readings import Reading, Turn, Values

NAME = "accept"
FLOOR, OURS = "floor", "trueup"


def run(bench: Bench) -> Sequence[Reading]:
    turns = [
        Turn(who, kind, partial(_measured, bench, kind, who)) for kind in bench.stores.kinds for who in (FLOOR, OURS)
    ]
    return bench.in_turns(NAME, turns)


def _measured(bench: Bench, kind: str, who: str, _number: int) -> Values:
    with bench.database(kind) as url:
        return once(bench, url, who, 0)


def once(bench: Bench, url: str, who: str, start: int) -> Values:
    """Accept messages from number `start` on into the database, in a process of its own; return rate and messages."""
    count = bench.sizes.messages
    accept = module("ours", "accept") if who == OURS else module("floors", "accept", url)
    values = bench.ask([*accept, str(count), str(start)], bench.environment(url))
    if values["messages"] != count:
        raise RuntimeError(f"{who} accepted {values['messages']} of {count} messages at {url}")
    return values
