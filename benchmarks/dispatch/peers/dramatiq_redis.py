"""Dramatiq on Redis. It keeps no record of what was done, and nothing is de-duplicated; both in its favour."""

import json
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.dispatch import jobs
from benchmarks.dispatch.peers import answer, queue

broker = RedisBroker(url=f"{queue()}/2")
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="bench", max_retries=3)
def deliver(event: str) -> None:
    jobs.done(jobs.sequence(json.loads(event)["data"]))


def fill(events: Sequence[str]) -> None:
    for event in events:
        deliver.send(event)


if __name__ == "__main__":
    answer(fill, lambda: None)
