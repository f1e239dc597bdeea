"""Celery on Redis: acknowledged after the work, the result recorded in Redis too. Nothing is de-duplicated, in its favour."""

import json
from collections.abc import Sequence

import redis
from celery import Celery

from benchmarks.dispatch import jobs
from benchmarks.dispatch.peers import answer, queue

app = Celery("bench", broker=f"{queue()}/0", backend=f"{queue()}/1")
app.conf.update(
    task_acks_late=True,
    task_default_queue="bench",
    task_ignore_result=False,
    worker_prefetch_multiplier=100,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="deliver")
def deliver(event: str) -> None:
    jobs.done(jobs.sequence(json.loads(event)["data"]))


def fill(events: Sequence[str]) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for event in events:
            deliver.apply_async((event,), producer=producer)


def recorded() -> int:
    return int(redis.Redis.from_url(f"{queue()}/1").dbsize())


if __name__ == "__main__":
    answer(fill, recorded)
