"""What was measured, as Markdown for docs/benchmarks.md. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.dispatch.readings import Reading

PROMISED: tuple[tuple[str, str, str, str], ...] = (
    ("accept, NDJSON batches ÷ raw SQL, SQLite", "accept_ratio_sqlite", "≥ 0.4", "0.8"),
    ("accept, NDJSON batches ÷ raw SQL, PostgreSQL", "accept_ratio_postgres", "≥ 0.4", "0.8"),
    ("accept, single requests, 64 clients ÷ the same server storing nothing", "single_accept_ratio", "≥ 0.7", "0.9"),
    ("the same ÷ the server reading and validating, storing nothing", "single_accept_read_ratio", "", ""),
    ("requests a commit", "requests_per_commit", "≥ 8", ""),
    ("with 5 ms in every commit ÷ a commit for each request", "single_accept_gain", "≥ 5", ""),
    ("deliver, 1 worker ÷ raw SQL, SQLite", "deliver_ratio_sqlite", "≥ 0.4", "0.7"),
    ("deliver, 1 worker ÷ raw SQL, PostgreSQL", "deliver_ratio_postgres", "≥ 0.4", "0.7"),
    ("deliver on PostgreSQL ÷ Dramatiq on Redis", "vs_dramatiq", "≥ 3", "6"),
    ("deliver on PostgreSQL ÷ Celery on Redis", "vs_celery", "≥ 8", "15"),
    ("deliver on PostgreSQL ÷ Procrastinate", "vs_procrastinate", "≥ 15", "30"),
    ("deliver on PostgreSQL ÷ DBOS", "vs_dbos", "≥ 25", "50"),
    ("2 workers ÷ 1, PostgreSQL", "two_workers", "≥ 1.5", "1.8"),
    ("of raw SQL: 2 workers ÷ 1, PostgreSQL", "two_workers_floor", "", ""),
    ("request to delivery at 100/s, median ms", "p50_ms", "≤ 10", "1.3 × floor"),
    ("request to delivery at 100/s, 95th percentile ms", "p95_ms", "≤ 25", ""),
    ("its median ÷ raw SQL's, SQLite", "latency_ratio_sqlite", "", "1.3"),
    ("its median ÷ raw SQL's, PostgreSQL", "latency_ratio_postgres", "", "1.3"),
    ("claim of a batch with the whole backlog due ÷ with few due, SQLite", "backlog_claim_ms_ratio_sqlite", "flat", ""),
    ("claim of a batch with the whole backlog due ÷ with few due, PostgreSQL", "backlog_claim_ms_ratio_postgres", "flat", ""),
    ("memory with the whole backlog due ÷ with few due, SQLite", "backlog_rss_mb_ratio_sqlite", "flat", ""),
    ("memory with the whole backlog due ÷ with few due, PostgreSQL", "backlog_rss_mb_ratio_postgres", "flat", ""),
    ("accept and deliver with a full ledger ÷ with an empty one (the worst of both, on either store)", "full_ledger_ratio", "≥ 0.8", ""),
    ("of raw SQL: accept with a full ledger ÷ with an empty one, SQLite", "full_ledger_floor_sqlite", "", ""),
    ("of raw SQL: accept with a full ledger ÷ with an empty one, PostgreSQL", "full_ledger_floor_postgres", "", ""),
    ("`/metrics` with 5,000 series, median ms", "metrics_ms", "≤ 2", ""),
)  # fmt: skip
"""What is measured, its name in results.json, what it must reach, and what would be better still."""


def told(cases: Mapping[str, Any]) -> str:
    """Return how each case was measured, a line each."""
    lines = []
    for name, facts in cases.items():
        sizes, machine = facts["sizes"], facts["machine"]
        what = "".join(f", {sizes[size]:,} {words}" for size, words in USED[name])
        lines.append(
            f"- {name}: {sizes['rounds']} rounds in turns{what}; {machine['cores']} cores ({machine['cpu']}), "
            f"{machine['memory_gib']} GiB, load before {machine['load_average']}, a sync of the disk {machine['sync_ms']} ms, "
            f"Python {machine['python']}, "
            f"commit {facts['commit']}"
        )
    return "\n".join(lines)


USED = {
    "accept": (("messages", "messages"),),
    "single": (("requests", "requests"),),
    "deliver": (("messages", "messages"),),
    "latency": (("paced", "messages"),),
    "backlog": (("backlog", "deliveries due"),),
    "ledger": (("ledger", "messages in the full ledger"), ("messages", "accepted and delivered")),
    "metrics": (),
}
"""Which sizes a case depends on, and how they are called."""


def promised(figures: Mapping[str, float]) -> str:
    """Return the table of the figures that were promised."""
    lines = ["| what | name | measured | must | beyond |", "|---|---|---:|---:|---:|"]
    for what, name, must, beyond in PROMISED:
        measured = f"{figures[name]:,.2f}" if name in figures else "–"
        lines.append(f"| {what} | `{name}` | {measured} | {must} | {beyond} |")
    return "\n".join(lines)


def contenders(readings: Sequence[Reading]) -> str:
    """Return the table of what each contender reached: medians over the rounds, with the lowest and highest rate."""
    lines = ["| case | contender | store | median | lowest to highest |", "|---|---|---|---:|---:|"]
    for case, contender, store in dict.fromkeys((r.case, r.contender, r.store) for r in _ordered(readings)):
        mine = [r.values for r in readings if (r.case, r.contender, r.store) == (case, contender, store)]
        for name in SHOWN:
            found = [values[name] for values in mine if name in values]
            if found:
                middle, low, high = (f"{value:,.4g}" if value < 100 else f"{value:,.0f}" for value in _spread(found))
                lines.append(f"| {case} | {contender} | {store} | {middle} {SHOWN[name]} | {low} to {high} |")
    return "\n".join(lines)


SHOWN = {
    "rate": "/s", "accept_rate": "accepted/s", "deliver_rate": "delivered/s", "claim_ms": "ms a claim",
    "p50_ms": "ms, p50", "p95_ms": "ms, p95", "rss_mb": "MB",
}  # fmt: skip


def _spread(found: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(found), min(found), max(found)


def _ordered(readings: Sequence[Reading]) -> list[Reading]:
    return sorted(readings, key=lambda r: (r.case, r.store != "sqlite", r.store != "postgres"))
