"""A ledger of millions of messages, each delivered, beside an empty one: accepting and delivering must not feel the difference."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from benchmarks.dispatch import fill, services
from benchmarks.dispatch.bench import Bench
from benchmarks.dispatch.cases import accept, deliver
from benchmarks.dispatch.readings import Reading, Turn, Values

NAME = "ledger"
EMPTY, FULL = "trueup, empty ledger", "trueup, full ledger"
FLOOR_EMPTY, FLOOR_FULL = "floor, empty ledger", "floor, full ledger"
"""Raw SQL accepting on the same tables: what the store itself loses by its indexes' size."""


def run(bench: Bench) -> Sequence[Reading]:
    with ExitStack() as stack:
        full = {kind: stack.enter_context(bench.database(kind)) for kind in bench.stores.kinds}
        _fill(bench, full)
        turns = [
            Turn(who, kind, partial(_measured, bench, kind, who, full[kind] if who in (FULL, FLOOR_FULL) else None))
            for kind in full
            for who in (EMPTY, FULL, FLOOR_EMPTY, FLOOR_FULL)
        ]
        return bench.in_turns(NAME, turns)


def _fill(bench: Bench, full: dict[str, str]) -> None:
    """Fill all stores at once, PostgreSQL without its syncs, and have everything on the disk before anything is measured."""
    postgres = bench.stores.postgres
    if postgres:
        postgres.restart(services.SETTINGS | services.CARELESS)
    with ThreadPoolExecutor(len(full)) as pool:
        list(pool.map(lambda url: fill.history(url, bench.sizes.ledger), full.values()))
    if postgres:
        postgres.restart(services.SETTINGS)
    os.sync()


def _measured(bench: Bench, kind: str, who: str, full: str | None, number: int) -> Values:
    measured = _both if who in (EMPTY, FULL) else _floor
    if full is not None:
        return measured(bench, full, number)
    with bench.database(kind) as url:
        return measured(bench, url, number)


def _floor(bench: Bench, url: str, number: int) -> Values:
    """Numbers behind all of ours."""
    start = bench.sizes.ledger + (2 * bench.sizes.rounds + number) * bench.sizes.messages
    return {"accept_rate": accept.once(bench, url, accept.FLOOR, start)["rate"]}


def _both(bench: Bench, url: str, number: int) -> Values:
    """Each round gets numbers of its own, behind those of the ledger."""
    start = bench.sizes.ledger + 2 * number * bench.sizes.messages
    accepted = accept.once(bench, url, accept.OURS, start)
    due = start + bench.sizes.messages
    fill.due(url, bench.sizes.messages, due)
    delivered = deliver.once(bench, url, deliver.OURS, bench.sizes.messages, due)
    return {"accept_rate": accepted["rate"], "deliver_rate": delivered["rate"], "rss_mb": delivered["rss_mb"]}
