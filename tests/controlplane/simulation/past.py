"""History, written as the plane writes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from controlplane.registry import Registry
from controlplane.registry.simulation import Ground, Impact, Simulate
from controlplane.store import tables as t
from rules.ids import new_id
from rules.policy.kinds import Document

Try = tuple[datetime, str]


class Past:
    """Writes rows of history into the store of a registry."""

    def __init__(self, registry: Registry) -> None:
        self.registry, self.store, self.clock = registry, registry.store, registry.clock

    def delivery(
        self,
        tries: Sequence[Try],
        *,
        flow: str = "orders",
        target: str = "erp",
        promise: float = 60,
        state: str = "delivered",
    ) -> str:
        """A delivery that was tried at these instants, each try a tenth of a second long."""
        began = tries[0][0]
        identity = new_id(began)
        row: dict[str, Any] = {
            "id": identity, "message_id": identity, "flow": flow, "target": target, "entity": "order", "subject": identity,
            "order_key": identity, "idempotency_key": identity, "coalesce": False, "payload": {}, "state": state,
            "head": False, "due_at": began, "deadline_at": began + timedelta(days=1), "pause_base": 0,
            "promise_at": began + timedelta(seconds=promise), "attempts": len(tries), "fence": 1, "created_at": began,
            "retry_revision": self.registry.snapshot().revision("RetryPolicy", "default"), "registry_version": 1,
            "trace_id": "0" * 32,
        }  # fmt: skip
        attempts = [
            {
                "id": new_id(at), "delivery_id": identity, "number": number, "kind": "write", "system": target, "flow": flow,
                "started_at": at, "finished_at": at + timedelta(seconds=0.1), "outcome": outcome, "detail": "",
                "retry_revision": row["retry_revision"],
            }
            for number, (at, outcome) in enumerate(tries, 1)
        ]  # fmt: skip
        with self.store.write() as conn:
            conn.execute(insert(t.delivery).values(**row))
            conn.execute(insert(t.attempt), attempts)
        return identity

    def minutes(self, since: datetime, counts: Sequence[tuple[int, int]], indicator: str, series: str) -> None:
        """A rollup a minute: good and total."""
        rows = [
            {
                "indicator": indicator, "series": series, "minute": since + at * timedelta(minutes=1), "count": 1,
                "unknown": 0, "valued": 1, "low": 0.0, "high": 1.0, "total_value": 1.0, "last": 1.0, "good": good, "total": total,
            }
            for at, (good, total) in enumerate(counts)
        ]  # fmt: skip
        with self.store.write() as conn:
            conn.execute(insert(t.rollup), rows)

    def simulated(self, run: Simulate, before: Document | None, after: Document) -> Impact:
        """What a simulator finds in the 28 days before now."""
        now = self.clock.now()
        with self.store.read() as conn:
            return run(Ground(conn, self.registry.snapshot_in(conn), now - timedelta(days=28), now), before, after)


def figures(impact: Impact) -> dict[str, tuple[float, float]]:
    """Name of a figure -> before and after."""
    return {one.name: (one.before, one.after) for one in impact.figures}
