"""DBOS on PostgreSQL: a workflow a message on a queue, whose one step is the delivery, so that an attempt is recorded."""

import json
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig

from benchmarks.dispatch import jobs
from benchmarks.dispatch.peers import answer, queue

POLL = 0.05
"""Seconds between looks at the queue; its default is one second."""
BATCH = 500
CONFIG: DBOSConfig = {
    "name": "bench",
    "system_database_url": queue(),
    "log_level": "ERROR",
    "application_version": "1",
}


@DBOS.step()
async def send(event: dict[str, Any]) -> None:
    jobs.done(jobs.sequence(event["data"]))


@DBOS.workflow(name="deliver")
async def deliver(event: dict[str, Any]) -> None:
    await send(event)


def launch() -> None:
    DBOS(config={**CONFIG, "executor_id": f"w{os.getpid()}"})
    DBOS.launch()
    DBOS.register_queue("bench", polling_interval_sec=POLL)


def fill(events: Sequence[str]) -> None:
    launch()
    DBOS.destroy()
    client = DBOSClient(system_database_url=queue())
    for at in range(0, len(events), BATCH):
        with sa.create_engine(queue()).begin() as connection:
            for event in events[at : at + BATCH]:
                told = json.loads(event)
                options = {
                    "queue_name": "bench", "workflow_name": "deliver", "workflow_id": told["id"], "app_version": "1",
                }  # fmt: skip
                client.enqueue_in_transaction(connection, options, told)
    client.destroy()


def recorded() -> int:
    with sa.create_engine(queue()).connect() as connection:
        found = connection.execute(sa.text("SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'"))
        return int(found.scalar_one())


if __name__ == "__main__":
    if sys.argv[1] == "work":
        launch()
        threading.Event().wait()
    else:
        answer(fill, recorded)
