"""`trueup worker`: delivers beside the plane, when one machine is outgrown. Refuses SQLite, which has one owner."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from typing import Annotated

import typer

from controlplane.errors import SettingsError
from controlplane.settings import load_settings


def worker(
    concurrency: Annotated[int, typer.Option(help="Targets that this worker may deliver to at once.")] = 8,
    metrics_port: Annotated[
        int, typer.Option(help="Port on TRUEUP_HOST where Prometheus may ask this worker; 0: none.", min=0, max=65535)
    ] = 0,
) -> None:
    """Run a Celery worker that delivers; needs PostgreSQL, a broker and TRUEUP_ENGINE=celery."""
    settings = load_settings()
    if settings.is_sqlite:
        raise SettingsError(
            "TRUEUP_DATABASE_URL is SQLite, which belongs to one process; "
            "set it to postgresql+psycopg://… for the plane and its workers"
        )
    from controlplane.sync.engines import celery
    from controlplane.telemetry.serving import serve_meters
    from controlplane.wiring import build_plane

    with ExitStack() as stack:
        plane = build_plane(settings)
        stack.callback(plane.close)
        if metrics_port:
            stop, _ = serve_meters(plane.telemetry.meters, settings.host, metrics_port)
            stack.callback(stop)
        plane.store.listen()
        app = celery.celery_app(settings.broker_url)
        celery.register(app, plane.sync)
        app.conf.task_queues = celery.queues(settings.broker_url, plane.sync.targets())
        name = (
            f"trueup-{os.getpid()}-{secrets.token_hex(3)}@%h"  # two of one name on a machine take each other for dead
        )
        app.worker_main(
            ["worker", "--loglevel=WARNING", f"--concurrency={concurrency}", "--pool=threads", f"--hostname={name}"]
        )
