"""What the benchmark adds to the plane's own web server, through the door for dashboards: the other side of its ratios."""

import os
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, jsonify, request
from sqlalchemy import Engine, event

from benchmarks.dispatch import rows, statements
from controlplane.wiring import Plane

PAUSE = "BENCH_PAUSE"
"""Environment variable: seconds that every commit takes longer, as a slow disk would make it."""


class Commits:
    """Counts the commits of an engine, and makes each take longer when it is told to."""

    def __init__(self, engine: Engine, pause: float) -> None:
        self.count = 0
        self.pause = pause
        event.listen(engine, "commit", self._committing)

    def _committing(self, _connection: Any) -> None:
        self.count += 1
        if self.pause:
            time.sleep(self.pause)


def mount(app: Flask, plane: Plane) -> None:
    """Add what answers without storing (`/bench/nothing`), reads and validates before it (`/bench/read`), stores one message by bare
    SQL with a commit of its own (`/bench/one`), and counts commits (`/bench/commits`).
    """
    commits = Commits(plane.store.engine, float(os.environ.get(PAUSE, 0)))
    store_one = _store_one(plane)

    @app.post("/bench/nothing")
    def nothing() -> Response:
        request.get_data()
        return jsonify(accepted=True, new=True)

    @app.post("/bench/read")
    def read() -> Response:
        registry, body = plane.registry, request.get_data(cache=False)
        read, _ = plane.sync.acceptor.read(body, registry.known(), None, None, batch=False, channel="api", headers="{}")
        return jsonify(accepted=True, new=True, id=next(iter(read.lines)))

    @app.post("/bench/one")
    def one() -> Response:
        store_one(request.get_data())
        return jsonify(accepted=True, new=True)

    @app.get("/bench/commits")
    def counted() -> Response:
        return jsonify(commits=commits.count)


def _store_one(plane: Plane) -> Callable[[bytes], None]:
    """Return what stores one message by the floor's statements, in one transaction of the plane's own store."""
    if plane.store.is_sqlite:
        bare = statements.sqlite()

        def store(body: bytes) -> None:
            intake, (message,) = rows.accepted(body)
            with plane.store.write() as connection:
                connection.exec_driver_sql(bare.intake, tuple(intake.values()))
                connection.exec_driver_sql(bare.message, tuple(message.values()))

        return store
    both = statements.postgres().accept

    def store_there(body: bytes) -> None:
        intake, messages = rows.accepted(body)
        with plane.store.write() as connection:
            connection.exec_driver_sql(both, {**intake, "rows": statements.parameter(messages)})

    return store_there
