"""Tell the meters and the tracer of this process what it has committed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from controlplane.clock import Clock
from controlplane.telemetry import facts as f
from controlplane.telemetry.meters import Meters
from controlplane.telemetry.spans import spans_of
from controlplane.telemetry.tracing import OFF, Tracer

DONE = ("delivered", "already_delivered")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Telemetry:
    """What one plane measures of itself; subscribed to the facts of its store."""

    def __init__(self, clock: Clock, tracer: Tracer = OFF) -> None:
        self.clock, self.tracer = clock, tracer
        self.meters = Meters()

    def told(self, facts: Sequence[object]) -> None:
        """Count the facts of one commit, and trace them where somebody looks at traces."""
        for fact in facts:
            self._count(fact)
        if self.tracer.on:
            self.tracer.record(spans_of(facts, self.clock.now(), self.tracer.takes))

    def _count(self, fact: object) -> None:
        match fact:
            case f.Attempted():
                self._attempts(fact)
            case f.Turn():
                self.meters.turn(fact.target, self.clock.stopwatch() - fact.began)
            case f.Accepted():
                self._accepted(fact)
            case f.Shared():
                self.meters.shared(fact.requests)
            case f.Processed():
                self._processed(fact)
            case f.Received():
                self.meters.received(fact.channel, fact.system, len(fact.records))
            case f.Translated():
                self.meters.translated(fact.system, fact.result, fact.count)
            case f.Superseded():
                self.meters.superseded(fact.target, fact.count)
            case f.TookEffectTwice():
                self.meters.took_effect_twice(fact.target)

    def _accepted(self, fact: f.Accepted) -> None:
        if not fact.origins:
            for source, count in Counter(row["source"] for row in fact.messages).items():
                self.meters.accepted(fact.origin.channel, source, count)
            return
        came = Counter((fact.origins.get(row["id"], fact.origin).channel, row["source"]) for row in fact.messages)
        for (channel, source), count in came.items():
            self.meters.accepted(channel, source, count)

    def _processed(self, fact: f.Processed) -> None:
        waited: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for step in fact.steps:
            seconds = (step.ended - step.accepted_at).total_seconds()
            waited[step.type, step.result].append(max(0.0, seconds))
        for (kind, result), values in waited.items():
            self.meters.processed(kind, result, values)

    def _attempts(self, fact: f.Attempted) -> None:
        target, tries = fact.target, fact.tries
        for (flow, kind, outcome), count in Counter(
            (one.claimed.flow, one.kind, one.outcome.result) for one in tries
        ).items():
            self.meters.attempts(target, flow, kind, outcome, count)
        for (kind, started, finished), count in Counter(
            (one.kind, one.started_at, one.finished_at) for one in tries
        ).items():
            self.meters.tried(target, kind, max(0.0, (finished - started).total_seconds()), count)
        self._delivered(fact)

    def _delivered(self, fact: f.Attempted) -> None:
        """Note the latency of what is delivered by this; a late worker's result, which did not count, is left out."""
        latencies: defaultdict[str, list[float]] = defaultdict(list)
        for one in fact.tries:
            if one.outcome.result in DONE and one.claimed.id in fact.counted:
                since = (one.finished_at - EPOCH) / MICROSECOND - one.claimed.created
                latencies[one.claimed.flow].append(max(0.0, since / 1e6))
        for flow, values in latencies.items():
            self.meters.delivered(flow, fact.target, values)
