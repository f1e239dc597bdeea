"""Delivering what is due: claim, a send that does nothing, attempt and status recorded; and the peers' same durable job."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import func, select

from benchmarks.dispatch import fill, peers
from benchmarks.dispatch.bench import Bench
from benchmarks.dispatch.processes import module
from benchmarks.dispatch.readings import Reading, Turn, Values
from controlplane.store import open_store
from controlplane.store import tables as t

NAME = "deliver"
FLOOR, OURS, FLOOR_TWICE, OURS_TWICE = "floor", "trueup", "floor, 2 workers", "trueup, 2 workers"
TWICE = (FLOOR_TWICE, OURS_TWICE)
"""Only where several processes may work on one database."""
_numbers = itertools.count(1)


def run(bench: Bench) -> Sequence[Reading]:
    turns = [
        Turn(who, kind, partial(_measured, bench, kind, who))
        for kind in bench.stores.kinds
        for who in (FLOOR, OURS, *(TWICE if kind == "postgres" else ()))
    ]
    here = {"postgres": bench.stores.postgres, "redis": bench.redis}
    turns += [Turn(p.name, p.service, partial(_peer, bench, p)) for p in peers.PEERS if here[p.service]]
    return bench.in_turns(NAME, turns)


def _measured(bench: Bench, kind: str, who: str, _number: int) -> Values:
    with bench.database(kind) as url:
        fill.due(url, bench.sizes.messages)
        return once(bench, url, who, bench.sizes.messages)


def once(bench: Bench, url: str, who: str, count: int, start: int = 0, due: int = 0) -> Values:
    """Deliver `count` messages from number `start` on, of `due` that are due there; return rate, CPU and memory."""
    worker = module("floors", "deliver", url) if who in (FLOOR, FLOOR_TWICE) else module("ours", "deliver")
    before = _recorded(url)
    environment = bench.environment(url)

    def recorded() -> int:
        return _recorded(url) - before

    return bench.deliveries([worker] * (2 if who in TWICE else 1), environment, count, recorded, start, due)


def _recorded(url: str) -> int:
    """Return how many deliveries are recorded as delivered, each with its attempt."""
    store = open_store(url)
    done = select(func.count()).select_from(t.delivery).where(t.delivery.c.state == "delivered")
    tries = select(func.count()).select_from(t.attempt)
    with store.engine.connect() as connection:
        found = min(int(connection.execute(query).scalar_one()) for query in (done, tries))
    store.close()
    return found


def _peer(bench: Bench, peer: peers.Peer, _number: int) -> Values:
    address, clean = _queue_of(bench, peer)
    environment = bench.environment("", **{peers.QUEUE: address})
    size = bench.sizes.peers[peer.name]
    asked = [module("", "")[0], "-m", peer.module]
    bench.ask([*asked, "fill", str(size)], environment)

    def recorded() -> int:
        told = bench.ask([*asked, "recorded"], environment)["recorded"]
        return size if told is None else int(told)

    values = bench.deliveries([peer.command], environment, size, recorded)
    clean()
    return values


def _queue_of(bench: Bench, peer: peers.Peer) -> tuple[str, Callable[[], object]]:
    """Return the address of an empty queue, and what takes it away."""
    if peer.service == "redis":
        import redis

        assert bench.redis is not None
        redis.Redis.from_url(bench.redis).flushall()
        return bench.redis, lambda: None
    url = bench.stores.empty("postgres", f"bench_peer_{next(_numbers)}")
    return url, partial(bench.stores.drop, url)
