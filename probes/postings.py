"""Journal entries that the ledger did not take at the first try, or has not taken yet."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import tables as t
from probes.flows import carrying
from rules.outcomes import DONE, Result

WINDOW = timedelta(hours=1)
PATIENCE = timedelta(minutes=1)
UNDECIDED = frozenset({Result.THROTTLED})


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return the share of first tries that failed in the last hour (None without any), and what is unresolved.

    A first try that was throttled has failed nothing and counts neither way; a posting that could not even be tried
    for a minute, because its target is failing, counts as failed.
    """
    now, a, d = ctx.clock.now(), t.attempt.c, t.delivery.c
    flows = [flow.name for flow in carrying(ctx.snapshot, "posting.made")]
    tried = select(a.outcome).where(a.finished_at > now - WINDOW, a.number == 1, a.flow.in_(flows))
    owed = select(d.money, d.currency, d.attempts, d.created_at).where(t.is_open, d.flow.in_(flows))
    with ctx.store.read() as conn:
        outcomes = [outcome for outcome in conn.scalars(tried) if outcome not in UNDECIDED]
        open_ones = conn.execute(owed).all()
    kept_waiting = sum(row.attempts == 0 and now - row.created_at > PATIENCE for row in open_ones)
    good, total = sum(outcome in DONE for outcome in outcomes), len(outcomes) + kept_waiting
    values: dict[str, Decimal] = defaultdict(Decimal)
    for row in open_ones:
        if row.money is not None and row.currency is not None:
            values[row.currency] += row.money
    return [
        Observation("posting_failures", now, (total - good) / total if total else None, good=good, total=total),
        Observation("postings_unresolved", now, float(len(open_ones))),
        *(
            Observation("postings_unresolved_value", now, float(value), {"currency": currency})
            for currency, value in sorted(values.items())
        ),
    ]
