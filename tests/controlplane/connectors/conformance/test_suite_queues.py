"""The suite finds what is wrong with a queue: each way to lose, repeat or mix up what waits fails the check that is there for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest

from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.report import Verdict
from controlplane.connectors.conformance.suite import run
from controlplane.connectors.contract import Connector, Feed, Manifest, Record

LYING: list[bytes] = []
"""What is in the queue, oldest first."""


class Held:
    """A feed that keeps its promises."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def take(self, seconds: float) -> Sequence[Record]:
        fresh = [one for one in LYING if one not in self.given]
        self.given += fresh
        return [Record("told", one.decode(), one) for one in fresh]

    def acknowledge(self) -> None:
        for one in self.given:
            LYING.remove(one)
        self.given = []

    def close(self) -> None:
        self.given = []


class QueueConnector(Connector):
    """A queue within this process."""

    manifest: ClassVar[Manifest] = Manifest(
        name="acme_queue",
        title="A queue",
        consumes=True,
        schemes=("memory",),
        verified_against="nothing",
        kind="broker",
    )
    feed: ClassVar[type[Held]] = Held

    def consume(self) -> Feed:
        return self.feed()


class ForgetsWhatItGives(Held):
    def take(self, seconds: float) -> Sequence[Record]:
        records = super().take(seconds)
        self.acknowledge()
        return records


class NeverForgets(Held):
    def acknowledge(self) -> None:
        self.given = []


class MixesUp(Held):
    def take(self, seconds: float) -> Sequence[Record]:
        return list(reversed(super().take(seconds)))


class LeavesOut(Held):
    def take(self, seconds: float) -> Sequence[Record]:
        return super().take(seconds)[:-1]


class Rewrites(Held):
    def take(self, seconds: float) -> Sequence[Record]:
        return [Record(one.topic, one.event_key, one.body.strip() + b" ") for one in super().take(seconds)]


def verdict(feed: type[Held]) -> tuple[Verdict, str]:
    """What the suite says of a connector with such a feed."""
    numbers = count(1)

    class Kept(QueueConnector):
        pass

    class QueueBench(Bench):
        connector = Kept
        against = "a list"

        def start(self, folder: Path) -> Place:
            LYING.clear()
            return Place("memory://here")

        def enqueue(self, at_least: int) -> list[bytes]:
            LYING.extend(f"told {next(numbers)}".encode() for _ in range(at_least))
            return list(LYING)

    Kept.feed = feed
    [finding] = run("acme_queue", QueueBench(), "queue.acknowledged").findings
    return finding.verdict, finding.detail


def test_a_queue_that_keeps_its_promises_passes() -> None:
    assert verdict(Held)[0] is Verdict.PASSED


@pytest.mark.parametrize(
    ("feed", "told"),
    [
        (ForgetsWhatItGives, "not acknowledged, 0 of 5 came again"),
        (NeverForgets, "what was acknowledged came again"),
        (MixesUp, "in another order or form"),
        (LeavesOut, "and 4 came"),
        (Rewrites, "in another order or form"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_queue_that_breaks_one_fails(feed: type[Held], told: str) -> None:
    found, detail = verdict(feed)
    assert found is Verdict.FAILED, detail
    assert told in detail
