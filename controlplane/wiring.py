"""Put a plane together: straight down, once; and take it apart in reverse."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import func, insert, literal, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from controlplane.access import Oidc
from controlplane.audit.checkpoints import Anchors
from controlplane.clock import Clock, SystemClock
from controlplane.connectors import Connections
from controlplane.errors import NotFoundError, SettingsError
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.sealing import Keys
from controlplane.settings import Settings
from controlplane.store import Store, open_store
from controlplane.store import tables as t
from controlplane.store.entrusted import migrate_as_owner
from controlplane.store.locks import lock_targets
from controlplane.store.migrate import migrate
from controlplane.store.schema import standing
from controlplane.store.types import MICROSECOND
from controlplane.sync.engines import Sync
from controlplane.telemetry import Telemetry
from controlplane.telemetry.start import tracer_of
from rules.ids import new_id

log = structlog.get_logger()
PATIENCE = 2.0
"""Seconds between two looks at a database that is away."""
REFUSAL = re.compile(r"FATAL:(?!.*(starting up|shutting down|recovery|too many|remaining connection))")
"""What PostgreSQL says when it will not let us in, however long we wait: user, password, database, rules of access."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One running control plane: what the API, the jobs and the dashboards are given."""

    settings: Settings
    clock: Clock
    store: Store
    registry: Registry
    connections: Connections
    sync: Sync
    started_at: datetime
    telemetry: Telemetry
    oidc: Oidc | None = None

    @property
    def anchors(self) -> Anchors:
        """What signs the action log and writes its checkpoints outside."""
        settings = self.settings
        return Anchors(self.store, self.clock, settings.home / "audit-key.pem", settings.anchor_places)

    def request_run(self, schedule: str) -> str:
        """Ask the ticker to run a schedule now; return the run's id: of one that is asked for already, if it has not begun.

        Raises NotFoundError for an unknown comparison.
        """
        kind, _, name = schedule.partition(":")
        if kind == "compare" and name not in self.registry.snapshot().comparisons:
            known = ", ".join(self.registry.snapshot().comparisons) or "none"
            raise NotFoundError(f"no comparison '{name}' in the registry; there are: {known}")
        now, r = self.clock.now(), t.run.c
        with self.store.write() as connection:
            lock_targets(connection, [f"run/{schedule}"], alone=True)
            asked = select(r.id).where(r.schedule == schedule, t.among(r.state, "requested")).order_by(r.id).limit(1)
            found = connection.execute(asked).scalar_one_or_none()
            if found is not None:
                return str(found)
            latest = select(func.max(r.scheduled_for)).where(r.schedule == schedule, r.scheduled_for >= now)
            last = connection.execute(latest).scalar_one()
            at = now if last is None else last + MICROSECOND
            row = {
                "id": new_id(now),
                "schedule": schedule,
                "scheduled_for": at,
                "started_at": now,
                "state": "requested",
            }
            connection.execute(insert(t.run).values(**row))
        return str(row["id"])

    def close(self) -> None:
        """Give everything back, last opened first."""
        self.connections.close()
        self.store.close()
        self.telemetry.tracer.close()


def opened(settings: Settings) -> Store:
    """Open the database and bring it up to date. Raises SettingsError naming the variable; the address stays hidden."""
    if settings.database_owner_url:
        migrate_as_owner(settings)
    try:
        store = open_store(settings.store_url)
        migrate(store)
    except (SQLAlchemyError, OSError) as error:
        raise unusable(error) from error
    return store


def unusable(error: Exception) -> SettingsError:
    """Return what a person is told when the database failed: the variable, the reason and the remedy; no address."""
    return SettingsError(
        f"TRUEUP_DATABASE_URL: the database cannot be used ({_reason(error)}); see that it runs, that the file or the "
        "database exists and may be written to, that its disk has room, and that the address is right"
    )


def _reason(error: Exception) -> str:
    why = str(getattr(error, "orig", None) or error).strip()
    return why.splitlines()[0] if why else type(error).__name__


def build_plane(settings: Settings, clock: Clock | None = None, pack: str | Path = "sandbox") -> Plane:
    """Open the store, bring it up to date, load the first pack into an empty registry, and wire the rooms.

    `pack`: the name of a shipped pack, or a folder of policies.
    Raises SettingsError when the home folder, the database or the settings of OpenID Connect cannot be used, PolicyError when
    the pack is refused.
    """
    clock = clock or SystemClock()
    oidc = Oidc.configured(settings, clock)
    telemetry = Telemetry(clock, tracer_of(settings.traces))
    store = opened(settings)
    _keep_keys(settings, store, clock)
    registry = Registry(store, clock)
    load_genesis(store, clock, registry, pack)
    return replace(_wired(settings, clock, store, registry, telemetry), oidc=oidc)


def _keep_keys(settings: Settings, store: Store, clock: Clock) -> None:
    """Make the keys of a new installation. Where something is sealed they are lost, or elsewhere, and others would hide that."""
    keys = Keys(settings)
    if settings.seal_keys or (keys.path is not None and keys.path.exists()):
        return
    with store.read() as connection:
        columns = (t.intake.c.sealed, t.quarantine.c.record_sealed)
        sealed = any(connection.execute(select(literal(1)).where(one.is_not(None)).limit(1)).first() for one in columns)
    if sealed:
        log.error("the keys of sealed records are missing; restore them from a backup", place=keys.where)
    else:
        keys.make(clock)


def _wired(settings: Settings, clock: Clock, store: Store, registry: Registry, telemetry: Telemetry) -> Plane:
    store.facts.subscribe(telemetry.told)
    connections = Connections(registry, settings, clock, store=store)
    sync = Sync(store, clock, registry, connections, settings.accept_limit, telemetry.tracer, Keys(settings))
    sync.delivering.lease = timedelta(seconds=settings.lease)
    return Plane(settings, clock, store, registry, connections, sync, clock.now(), telemetry)


# --- beside a plane ---


class _NotYetError(Exception):
    """The database is not there yet, or no plane has prepared it."""


def join_plane(settings: Settings, clock: Clock | None = None) -> Plane:
    """Wire the rooms over a database that a plane has prepared; wait for as long as there is none. Changes nothing in it.

    Raises SettingsError when waiting is of no use: the server refuses us, or its tables are of a newer version.
    """
    clock, never, told = clock or SystemClock(), threading.Event(), ""
    telemetry = Telemetry(clock, tracer_of(settings.traces))
    while True:
        try:
            return _joined(settings, clock, telemetry)
        except _NotYetError as error:
            if str(error) != told:
                log.warning("waiting for the database", reason=str(error))
            told = str(error)
            clock.wait(never, PATIENCE)


def _joined(settings: Settings, clock: Clock, telemetry: Telemetry) -> Plane:
    store = open_store(settings.store_url)
    try:
        registry = Registry(store, clock)
        _check_prepared(store, registry)
        return _wired(settings, clock, store, registry, telemetry)
    except BaseException as error:
        store.close()
        if not isinstance(error, SQLAlchemyError):
            raise
        if isinstance(error, OperationalError) and not REFUSAL.search(_reason(error)):
            raise _NotYetError(_reason(error)) from error
        raise unusable(error) from error


def _check_prepared(store: Store, registry: Registry) -> None:
    with store.read() as connection:
        found = standing(connection)
    if found.behind is None:
        raise SettingsError(
            f"TRUEUP_DATABASE_URL: its tables are of a version that this one does not know ({found.current}); "
            "install the version that the plane has"
        )
    if found.behind:
        raise _NotYetError("a plane of this version has not brought its tables up to date yet")
    if not registry.snapshot().version:
        raise _NotYetError("no plane has loaded policies into it yet")
