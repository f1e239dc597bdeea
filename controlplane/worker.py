"""`trueup worker`: delivers beside the plane, when one machine is outgrown. Refuses SQLite, which has one owner."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.errors import SettingsError
from controlplane.settings import load_settings


def worker(
    concurrency: Annotated[int, typer.Option(help="Deliveries that this worker may have under way.")] = 8,
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
    app = celery.celery_app(settings.broker_url)
    celery.register(app, plane.sync)
    queues = ",".join(celery.queue_of(target) for target in plane.sync.targets())
    try:
        app.worker_main(
            ["worker", "--loglevel=WARNING", f"--concurrency={concurrency}", "--pool=threads", "-Q", queues]
        )
    finally:
        plane.close()
