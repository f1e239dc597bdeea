"""The counters and histograms of this process, in Prometheus' terms. Labels are policy names and fixed words, and bounded.

Counters are prometheus-client's. Its histogram takes one value at a time, some 2 µs each; deliveries come in batches and faster
than that would allow, so `Histogram` here takes a batch, and is exposed through the library like any other.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

OTHER = "other"
MOST_VALUES = 200
"""Values of one label that are told apart; what comes later counts as `other`."""
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds of one exchange or transaction."""
LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
"""Seconds from end to end, outages included."""
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

prometheus_client.disable_created_metrics()  # a second series for each, that nobody asks for


class Bounded:
    """Keeps the values of labels few: the first ones are told apart, all others are `other`."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._known: dict[str, set[str]] = {}

    def __call__(self, label: str, value: str) -> str:
        """Return the value that the label is given."""
        known = self._known.setdefault(label, set())
        if value in known:
            return value
        if len(known) >= self._most:
            return OTHER
        known.add(value)
        return value


class Histogram(Collector):
    """A histogram that takes many values at once. Safe to use from several threads."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._help, self._labels, self._bounds = name, help_text, tuple(labels), tuple(bounds)
        self._names = [*map(str, self._bounds), "+Inf"]
        self._lock = threading.Lock()
        self._series: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def observe(self, labels: tuple[str, ...], values: Iterable[float], times: int = 1) -> None:
        """Count the values, each so many times."""
        with self._lock:
            if labels not in self._series:
                self._series[labels] = ([0] * len(self._names), [0.0])
            counts, total = self._series[labels]
            for value in values:
                counts[bisect_left(self._bounds, value)] += times
                total[0] += value * times

    def describe(self) -> list[HistogramMetricFamily]:
        """Return the family without samples."""
        return [HistogramMetricFamily(self._name, self._help, labels=self._labels)]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Return the family with one series for each set of labels."""
        [family] = self.describe()
        with self._lock:
            seen = [(labels, list(counts), total[0]) for labels, (counts, total) in self._series.items()]
        for labels, counts, total in sorted(seen):
            reached, buckets = 0, []
            for name, count in zip(self._names, counts, strict=True):
                reached += count
                buckets.append((name, reached))
            family.add_metric(labels, buckets, total)
        yield family


class Meters:
    """All meters of one process. Each plane has its own."""

    def __init__(self, most_values: int = MOST_VALUES) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.bounded = Bounded(most_values)
        ProcessCollector(registry=self.registry)
        self._received = self._counter("records_received", "Records taken in, verbatim", "channel", "system")
        self._translated = self._counter(
            "records_translated", "Records that left intake, by result", "system", "result"
        )
        self._accepted = self._counter("messages_accepted", "Messages put into the ledger", "channel", "source")
        self._processed = self._counter(
            "messages_processed", "Messages that went through the processes", "type", "result"
        )
        self._attempts = self._counter("attempts", "Tries recorded", "system", "flow", "kind", "outcome")
        self._repeats = self._counter(
            "possible_duplicates", "Writes made again that nothing protects: the target may show them twice", "system"
        )
        self._twice = self._counter("effects_twice", "Documents that were found at a target more than once", "system")
        self._superseded = self._counter(
            "deliveries_superseded", "States replaced by newer ones before they were sent", "target"
        )
        self._tried = self._histogram("attempt_seconds", "Seconds of one try", SHORT, "system", "kind")
        self._delivered = self._histogram(
            "delivery_latency_seconds",
            "Seconds from a delivery's coming to be to its being delivered",
            LONG,
            "flow",
            "target",
        )
        self._waited = self._histogram(
            "processing_latency_seconds", "Seconds from a message's acceptance to its being processed", LONG, "type"
        )
        self._turns = self._histogram("turn_seconds", "Seconds of one turn of a lane with the store", SHORT, "target")
        self._groups = self._histogram("commit_group_size", "Requests that shared one commit", SIZES)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"trueup_{name}", help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, bounds: Sequence[float], *labels: str) -> Histogram:
        made = Histogram(f"trueup_{name}", help_text, labels, bounds)
        self.registry.register(made)
        return made

    # --- in ---

    def received(self, channel: str, system: str, count: int) -> None:
        """Count records that were taken in."""
        self._received.labels(self.bounded("channel", channel), self.bounded("system", system)).inc(count)

    def translated(self, system: str, result: str, count: int) -> None:
        """Count records that were translated, ignored or quarantined."""
        self._translated.labels(self.bounded("system", system), result).inc(count)

    def accepted(self, channel: str, source: str, count: int) -> None:
        """Count messages that were put into the ledger."""
        self._accepted.labels(self.bounded("channel", channel), self.bounded("system", source)).inc(count)

    def shared(self, requests: int) -> None:
        """Note how many requests shared a commit."""
        self._groups.observe((), (requests,))

    def processed(self, message_type: str, result: str, waited: Sequence[float]) -> None:
        """Count messages that were processed, with the seconds that each had been accepted for."""
        kind = self.bounded("type", message_type)
        self._processed.labels(kind, result).inc(len(waited))
        self._waited.observe((kind,), waited)

    # --- out ---

    def superseded(self, target: str, count: int) -> None:
        """Count states that were replaced before they were sent."""
        self._superseded.labels(self.bounded("system", target)).inc(count)

    def took_effect_twice(self, target: str) -> None:
        """Count a document that is at a target more than once."""
        self._twice.labels(self.bounded("system", target)).inc()

    def attempts(self, system: str, flow: str, kind: str, outcome: str, count: int) -> None:
        """Count tries."""
        system = self.bounded("system", system)
        self._attempts.labels(system, self.bounded("flow", flow), kind, outcome).inc(count)
        if kind == "repeat":
            self._repeats.labels(system).inc(count)

    def tried(self, system: str, kind: str, seconds: float, times: int) -> None:
        """Note how long a request took, for each of the deliveries it carried."""
        self._tried.observe((self.bounded("system", system), kind), (seconds,), times)

    def delivered(self, flow: str, target: str, seconds: Sequence[float]) -> None:
        """Note how long deliveries took from their coming to be."""
        self._delivered.observe((self.bounded("flow", flow), self.bounded("system", target)), seconds)

    def turn(self, target: str, seconds: float) -> None:
        """Note how long a turn with the store took."""
        self._turns.observe((self.bounded("system", target),), (seconds,))
