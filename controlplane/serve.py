"""Start the parts of a plane that work by themselves: engine, ticker, web server; each is stopped in reverse."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from controlplane import access, garbage, logs
from controlplane.api.serving import behind, serving
from controlplane.app import create_app
from controlplane.errors import SettingsError
from controlplane.jobs import Ticker
from controlplane.registry.changes import Changes
from controlplane.settings import Settings
from controlplane.sync.engines.embedded import EmbeddedEngine
from controlplane.wiring import Plane, build_plane, unusable

log = structlog.get_logger()
SWITCH = 0.001
"""Seconds for which a thread may compute while others wait: a message passes through several on its way."""


class Engine(Protocol):
    """What runs the work."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End after what is under way."""
        ...


def start_plane(stack: ExitStack, settings: Settings, pack: str) -> str:
    """Start everything; return the login that may be shown: a password only when it was generated just now.

    What has to be written for it is written before anybody is answered: a store that cannot be written to, its disk full,
    refuses the start and never ends a plane that has acknowledged something.
    Raises SettingsError when the home folder or the database cannot be used, PolicyError when the pack is refused.
    """
    configure_logging(settings)
    try:
        plane = build_plane(settings, pack=pack)
        stack.callback(plane.close)
        login = seed_people(plane)
        tell_staffing(plane)
        engine = make_engine(plane)
        engine.start()
    except SQLAlchemyError as error:
        raise unusable(error) from error
    stack.callback(engine.stop)
    ticker = Ticker(plane)
    serve(stack, plane)
    ticker.start()
    stack.callback(ticker.stop)
    return login


def make_engine(plane: Plane) -> Engine:
    """Return what runs the work: threads of this process, or Celery workers."""
    if plane.settings.engine == "embedded":
        return EmbeddedEngine(plane.sync)
    try:
        from controlplane.sync.engines.celery import CeleryEngine
    except ImportError as error:
        raise SettingsError(
            f"TRUEUP_ENGINE=celery: {error}; install the extra: pip install 'trueup[celery]'"
        ) from error
    settings = plane.settings
    return CeleryEngine(plane.sync, settings.broker_url, settings.queue_prefix, settings.shards)


def serve(stack: ExitStack, plane: Plane) -> None:
    """Serve API and dashboards from threads of this process."""
    sys.setswitchinterval(SWITCH)
    options: dict[str, Any] = {
        "host": plane.settings.host,
        "port": plane.settings.port,
        "threads": plane.settings.web_threads,
    }
    options |= behind(plane.settings.proxies)
    app = create_app(plane)
    stack.enter_context(garbage.start_is_kept())
    stack.enter_context(serving(app, "web", **options, ident="trueup", channel_timeout=60))


def seed_people(plane: Plane) -> str:
    """Make the administrator, the sandbox's distinct people and the command line's token; return what to print."""
    settings, store, clock = plane.settings, plane.store, plane.clock
    generated = access.ensure_admin(store, clock, settings.admin_password or None)
    access.ensure_cli_token(store, clock, settings.home / "cli-token")
    people = settings.home / "people.txt"
    made = access.seed_people(store, clock)
    if made:
        lines = "".join(f"{name} / {password}\n" for name, password in made.items())
        with os.fdopen(os.open(people, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            file.write(lines)
    others = f"\n  other people:  {people} (a governance change takes two)"
    if generated:
        return f"admin / {generated}   (shown this once){others}"
    known = "the password you chose" if settings.admin_password else "the password printed at the first start"
    return f"admin / {known}{others}"


def tell_staffing(plane: Plane) -> None:
    """Write to the log who is there to decide about changes; with one person, or owners without an account, what follows from it."""
    found = Changes(plane.registry).staffing()
    if found.one_person:
        log.warning(found.note, people=found.people, approvers=found.approvers)
    else:
        log.info("people", people=found.people, approvers=found.approvers)
    if found.nobody:
        log.warning(found.nobody)


def configure_logging(settings: Settings) -> None:
    """Write to the log file in the home folder; what is asked for is printed on the terminal, and nothing else."""
    settings.home.mkdir(parents=True, exist_ok=True)
    path = settings.home / "plane.log"
    logs.configure(logs.LogFile(path.open("ab", buffering=0), encoding="utf-8", write_through=True))
