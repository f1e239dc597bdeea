"""`trueup worker`: delivers beside the plane, when one machine is outgrown. Refuses SQLite, which has one owner."""

from __future__ import annotations

import os
import secrets
from typing import Annotated

import typer

from controlplane.errors import SettingsError
from controlplane.settings import load_settings


def worker(
    concurrency: Annotated[int, typer.Option(help="Targets that this worker may deliver to at once.")] = 8,
) -> None:
    """Run a Celery worker that delivers; needs PostgreSQL, a broker and TRUEUP_ENGINE=celery."""
    settings = load_settings()
    if settings.is_sqlite:
        raise SettingsError(
            "TRUEUP_DATABASE_URL is SQLite, which belongs to one process; "
            "set it to postgresql+psycopg://… for the plane and its workers"
        )
    from controlplane.sync.engines import celery
    from controlplane.wiring import build_plane

    plane = build_plane(settings)
    plane.store.listen()
    app = celery.celery_app(settings.broker_url)
    celery.register(app, plane.sync)
    app.conf.task_queues = celery.queues(settings.broker_url, plane.sync.targets())
    name = f"trueup-{os.getpid()}-{secrets.token_hex(3)}@%h"  # two of one name on a machine take each other for dead
    try:
        app.worker_main(
            ["worker", "--loglevel=WARNING", f"--concurrency={concurrency}", "--pool=threads", f"--hostname={name}"]
        )
    finally:
        plane.close()
