"""How long it takes to simulate changes on a month of history: 5,000,000 tries, and 500 service levels on minutes of it.

The history is written by the database itself into a store of its own. What is timed is what a change request asks for: a retry
policy that governs all of the tries, and each of the service levels under a stricter target, one after another in one process.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import harness
from controlplane.clock import ManualClock
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.registry.simulation import Ground
from controlplane.simulation import retry_policies, service_levels
from controlplane.store import Store, open_store
from controlplane.store.migrate import migrate
from controlplane.store.types import micros
from rules.policy.kinds import Document, ServiceLevel

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAYS = 30
SERIES = 50
"""Series that the service levels look at; ten levels each."""
OUTAGES = 60
"""Of ten minutes, spread over the month: what is tried first in one of them fails."""
MUST = 60.0
"""Seconds, for all of it."""
SUITE, WHOLE = "simulation", "all of it"


@dataclass(frozen=True, slots=True)
class Sample:
    """How long a part took in a round."""

    round: int
    what: str
    seconds: float


def options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--tries", type=int, default=5_000_000, help="tries in the history of the simulation")
    group.add_argument("--levels", type=int, default=500, help="service levels that are simulated")


def run(asked: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'plane.sqlite'}")
        registry = _registry(store)
        print(f"writing {asked.tries:,} tries and {SERIES} series of {DAYS} days …", flush=True)
        _fill(store, registry, asked.tries)
        rounds = [_measured(store, registry, asked.levels) for _ in range(asked.rounds)]
        store.close()
    samples = [
        Sample(number, name, round(value, 2)) for number, one in enumerate(rounds) for name, value in one.items()
    ]
    text = _table(samples, asked)
    print(text)
    if asked.keep:
        seconds = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        facts = {"tries": asked.tries, "levels": asked.levels, "days": DAYS, "must_seconds": MUST, "seconds": seconds}
        harness.keep(SUITE, samples, ("numpy", "sqlalchemy"), **facts)
        harness.publish(SUITE, text)


def _table(samples: list[Sample], asked: argparse.Namespace) -> str:
    lines = [
        f"{asked.tries:,} tries and {asked.levels} service levels over {DAYS} days, SQLite, {asked.rounds} round(s):",
        "", "| what | median s | lowest to highest | must |", "|---|---:|---:|---:|",
    ]  # fmt: skip
    for name in dict.fromkeys(sample.what for sample in samples):
        found = sorted(sample.seconds for sample in samples if sample.what == name)
        must = f"< {MUST:.0f}" if name == WHOLE else ""
        lines.append(f"| {name} | {statistics.median(found):.1f} | {found[0]:.1f} to {found[-1]:.1f} | {must} |")
    return "\n".join(lines)


def _registry(store: Store) -> Registry:
    migrate(store)
    clock = ManualClock(NOW)
    registry = Registry(store, clock)
    load_genesis(store, clock, registry, "sandbox")
    return registry


def _measured(store: Store, registry: Registry, levels: int) -> dict[str, float]:
    snapshot = registry.snapshot()
    with store.read() as conn:
        ground = Ground(conn, snapshot, NOW - timedelta(days=DAYS), NOW)
        began = time.perf_counter()
        policy = snapshot.documents["RetryPolicy", "default"]
        impact = retry_policies.simulate(ground, policy, _changed(policy, {"first": "20s", "cap": "10m"}))
        retries = time.perf_counter()
        given = next(one for one in snapshot.service_levels.values() if one.spec.indicator == "delivery_success")
        found = sum(len(service_levels.simulate(ground, *_pair(given, at)).rows) for at in range(levels))
        ended = time.perf_counter()
    print(f"  {impact.figures[0].after:,.0f} deliveries replayed, {found:,} alerts differ", flush=True)
    return {"a retry policy": retries - began, "the service levels": ended - retries, WHOLE: ended - began}


def _pair(given: ServiceLevel, at: int) -> tuple[Document, Document]:
    tiers = [
        {"severity": "page", "long": "1h", "short": "5m", "factor": 13.44},
        {"severity": "ticket", "long": "6h", "short": "30m", "factor": 5.6},
        {"severity": "ticket", "long": "3d", "short": "6h", "factor": 1},
    ]
    spec: dict[str, Any] = {"labels": {"target": f"t{at % SERIES}"}, "tiers": tiers}
    return _changed(given, {**spec, "target": 0.98}), _changed(given, {**spec, "target": 0.99 + at / 100_000})


def _changed(document: Document, spec: Mapping[str, Any]) -> Document:
    dumped = document.model_dump(mode="json")
    return type(document).model_validate({**dumped, "spec": {**dumped["spec"], **spec}})


def _fill(store: Store, registry: Registry, tries: int) -> None:
    """One delivery a try, spread evenly; those that begin in an outage failed first, and were taken when it was over."""
    snapshot = registry.snapshot()
    flow, target = sorted(retry_policies.governed(snapshot, "default"))[0]
    step = timedelta(days=DAYS) // timedelta(microseconds=1) // tries
    values = {
        "count": tries, "step": step, "began": micros(NOW - timedelta(days=DAYS)), "flow": flow, "target": target,
        "revision": snapshot.revision("RetryPolicy", "default"), "every": timedelta(days=DAYS) // OUTAGES // timedelta(microseconds=1),
        "long": 600_000_000,
    }  # fmt: skip
    series = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :count - 1)"
    at, ill = ":began + i * :step", "(i * :step) % :every < :long"
    identity = "printf('%020d', i)"
    store.close()  # SQLite leaves its log for another journal only when nobody else has the file open
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw: Any = connection.connection.driver_connection
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000"):
            raw.execute(f"PRAGMA {setting}")
        raw.execute("BEGIN")
        raw.execute(  # nothing in it comes from outside
            f"{series} INSERT INTO delivery (id, message_id, flow, target, entity, subject, order_key, idempotency_key, coalesce, payload,"  # noqa: S608
            " state, head, due_at, deadline_at, pause_base, promise_at, attempts, fence, created_at, finished_at, retry_revision,"
            f" registry_version, trace_id) SELECT {identity}, {identity}, :flow, :target, 'order', {identity}, {identity}, {identity}, 0,"
            f" '{{}}', 'delivered', 0, {at}, {at} + 86400000000, 0, {at} + 600000000, 1, 1, {at}, {at} + 50000, :revision, 1, '' FROM n",
            values,
        )
        raw.execute(
            f"{series} INSERT INTO attempt (id, delivery_id, number, kind, system, flow, started_at, finished_at, outcome, detail,"  # noqa: S608
            f" retry_revision) SELECT {identity}, {identity}, 1, 'write', :target, :flow, {at}, {at} + 50000,"
            f" CASE WHEN {ill} THEN 'unavailable' ELSE 'delivered' END, '', :revision FROM n",
            values,
        )
        _fill_minutes(raw)
        raw.execute("COMMIT")
        raw.execute("ANALYZE")
        raw.execute("PRAGMA journal_mode=WAL")


def _fill_minutes(raw: Any) -> None:
    """A rollup a minute and series: all is well, but for an hour or so now and then."""
    minutes = DAYS * 24 * 60
    raw.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :minutes - 1), s(k) AS (SELECT 0 UNION ALL"
        " SELECT k + 1 FROM s WHERE k < :series - 1) INSERT INTO rollup (indicator, series, minute, count, unknown, valued, low, high,"
        " total_value, last, good, total) SELECT 'delivery_success', 'target=t' || k, :began + i * 60000000, 1, 0, 1, 0, 1, 1, 1,"
        " CASE WHEN (i + 97 * k) % 2880 < 5 + k THEN 20 ELSE 100 END, 100 FROM n, s",
        {"minutes": minutes, "series": SERIES, "began": micros(NOW - timedelta(days=DAYS))},
    )
