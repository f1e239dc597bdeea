"""The outage is over: few due, and a million due at once. Claims and memory must not feel the difference."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from benchmarks.dispatch import fill, jobs
from benchmarks.dispatch.bench import Bench
from benchmarks.dispatch.cases import deliver
from benchmarks.dispatch.processes import module
from benchmarks.dispatch.readings import Reading, Turn, Values

NAME = "backlog"
CLAIMS = 10
SMALL, LARGE = "trueup, few due", "trueup, backlog due"


def run(bench: Bench) -> Sequence[Reading]:
    """What a round takes of the large backlog is gone in the next, so that much more is filled in."""
    due = bench.sizes.backlog + 2 * bench.sizes.rounds * _taken(bench)
    with ExitStack() as stack:
        many = {kind: stack.enter_context(bench.database(kind)) for kind in bench.stores.kinds}
        with ThreadPoolExecutor(len(many)) as pool:
            list(pool.map(lambda url: fill.due(url, due), many.values()))
        turns = []
        for kind, url in many.items():
            turns.append(Turn(SMALL, kind, partial(_few, bench, kind)))
            turns.append(Turn(LARGE, kind, partial(_measured, bench, url, due)))
        return bench.in_turns(NAME, turns)


def _taken(bench: Bench) -> int:
    """How many deliveries one measurement takes: the worker's, and those that are only claimed."""
    return bench.sizes.messages + jobs.BATCH * (CLAIMS + 2)


def _few(bench: Bench, kind: str, number: int) -> Values:
    with bench.database(kind) as url:
        fill.due(url, _taken(bench))
        return _measured(bench, url, _taken(bench), number)


def _measured(bench: Bench, url: str, due: int, _number: int) -> Values:
    """Claim some batches, then let a worker deliver; return milliseconds a claim, and the worker's rate and memory."""
    claims = bench.ask(module("ours", "claims", CLAIMS), bench.environment(url))
    delivered = deliver.once(bench, url, deliver.OURS, bench.sizes.messages, due=due)
    return {**delivered, "claim_ms": claims["claim_ms"]}
