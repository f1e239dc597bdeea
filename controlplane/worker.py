"""`trueup worker`: delivers beside the plane, when one machine is outgrown. Start as many as there is work for."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.errors import SettingsError
from controlplane.settings import Settings, load_settings

if TYPE_CHECKING:
    from celery import Celery


def worker(
    concurrency: Annotated[
        int,
        typer.Option(
            min=1, max=1000, help="Tasks at once; at least targets times shards, or targets wait for each other."
        ),
    ] = 64,
    shards: Annotated[
        int | None, typer.Option(min=1, max=64, help="Tasks at once for one target (TRUEUP_SHARDS).")
    ] = None,
    targets: Annotated[
        str, typer.Option(help="Deliver only to these systems: names with commas between; default: all.")
    ] = "",
    metrics_port: Annotated[
        int, typer.Option(help="Port on TRUEUP_HOST where Prometheus may ask this worker; 0: none.", min=0, max=65535)
    ] = 0,
) -> None:
    """Run a worker that delivers; needs PostgreSQL, a broker, and TRUEUP_ENGINE=celery here and at the plane.

    Waits for a database or broker that is away. SIGTERM: what is under way is finished first; a second one ends it at once.
    """
    settings = checked(load_settings(shards=shards))
    app = celery_of(settings)
    from controlplane import garbage, logs
    from controlplane.sync.engines import workers
    from controlplane.telemetry.serving import serve_meters
    from controlplane.wiring import join_plane

    logs.configure(sys.stderr)
    with ExitStack() as stack:
        plane = join_plane(settings)
        stack.callback(plane.close)
        if metrics_port:
            stop, _ = serve_meters(plane.telemetry.meters, settings.host, metrics_port)
            stack.callback(stop)
        plane.store.start()
        stack.enter_context(garbage.start_is_kept())
        only = [name.strip() for name in targets.split(",") if name.strip()]
        code = workers.run(app, plane.sync, settings.shards, concurrency, only)
    raise typer.Exit(code)


def checked(settings: Settings) -> Settings:
    """Return the settings. Raises SettingsError when a worker has no place beside a plane with them."""
    if settings.is_sqlite:
        raise SettingsError(
            "TRUEUP_DATABASE_URL is SQLite, which belongs to one process; "
            "set it to postgresql+psycopg://… for the plane and its workers"
        )
    if settings.engine != "celery":
        raise SettingsError(
            "TRUEUP_ENGINE=embedded: such a plane delivers by itself and asks no worker; "
            "set TRUEUP_ENGINE=celery for the plane and its workers"
        )
    return settings


def celery_of(settings: Settings) -> Celery:
    """Return the Celery application. Raises SettingsError when Celery is not installed."""
    try:
        from controlplane.sync.engines.celery import celery_app
    except ImportError as error:
        raise SettingsError(f"trueup worker: {error}; install the extra: pip install 'trueup[celery]'") from error
    return celery_app(settings.broker_url, settings.queue_prefix)
