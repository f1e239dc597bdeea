"""Procrastinate on PostgreSQL: jobs deferred in batches, fetched one by one on LISTEN/NOTIFY, status and events recorded."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import procrastinate
import psycopg

from benchmarks.dispatch import jobs
from benchmarks.dispatch.peers import answer, queue

CONCURRENCY = 50
BATCH = 500
ADDRESS = queue().replace("postgresql+psycopg", "postgresql")
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=ADDRESS, min_size=2, max_size=10))


@app.task(name="deliver", queue="bench")
async def deliver(**event: Any) -> None:
    jobs.done(jobs.sequence(event["data"]))


def fill(events: Sequence[str]) -> None:
    made = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=ADDRESS))
    made.open()
    made.schema_manager.apply_schema()
    made.close()

    async def defer() -> None:
        async with app.open_async():
            for at in range(0, len(events), BATCH):
                await deliver.batch_defer_async(*[json.loads(event) for event in events[at : at + BATCH]])

    asyncio.run(defer())


def recorded() -> int:
    with psycopg.connect(ADDRESS) as connection:
        found = connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'").fetchone()
    return int(found[0]) if found else 0


async def work() -> None:
    async with app.open_async():
        await app.run_worker_async(queues=["bench"], concurrency=CONCURRENCY, wait=True)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        asyncio.run(work())
    else:
        answer(fill, recorded)
