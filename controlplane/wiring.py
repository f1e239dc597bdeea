"""Put a plane together: straight down, once; and take it apart in reverse."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from controlplane.clock import Clock, SystemClock
from controlplane.connectors import Connections
from controlplane.errors import NotFoundError, SettingsError
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.settings import Settings
from controlplane.store import Store, open_store
from controlplane.store import tables as t
from controlplane.store.migrate import migrate
from controlplane.sync.engines import Sync
from controlplane.telemetry import Telemetry
from controlplane.telemetry.start import tracer_of
from rules.ids import new_id


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

    def request_run(self, schedule: str) -> str:
        """Ask the ticker to run a schedule now; return the run's id. Raises NotFoundError for an unknown comparison."""
        kind, _, name = schedule.partition(":")
        if kind == "compare" and name not in self.registry.snapshot().comparisons:
            known = ", ".join(self.registry.snapshot().comparisons) or "none"
            raise NotFoundError(f"no comparison '{name}' in the registry; there are: {known}")
        now = self.clock.now()
        row = {"id": new_id(now), "schedule": schedule, "scheduled_for": now, "started_at": now, "state": "requested"}
        with self.store.write() as connection:
            connection.execute(insert(t.run).values(**row))
        return str(row["id"])

    def close(self) -> None:
        """Give everything back, last opened first."""
        self.connections.close()
        self.store.close()
        self.telemetry.tracer.close()


def opened(settings: Settings) -> Store:
    """Open the database and bring it up to date. Raises SettingsError naming the variable; the address stays hidden."""
    try:
        store = open_store(settings.store_url)
        migrate(store)
    except (SQLAlchemyError, OSError) as error:
        why = getattr(error, "orig", None) or error
        reason = str(why).strip().splitlines()[0] if str(why).strip() else type(why).__name__
        raise SettingsError(
            f"TRUEUP_DATABASE_URL: the database cannot be used ({reason}); see that it runs, that the file or the "
            "database exists and may be written to, and that the address is right"
        ) from error
    return store


def build_plane(settings: Settings, clock: Clock | None = None, pack: str | Path = "sandbox") -> Plane:
    """Open the store, bring it up to date, load the first pack into an empty registry, and wire the rooms.

    `pack`: the name of a shipped pack, or a folder of policies.
    Raises SettingsError when the home folder or the database cannot be used, PolicyError when the pack is refused.
    """
    clock = clock or SystemClock()
    telemetry = Telemetry(clock, tracer_of(settings.traces))
    store = opened(settings)
    store.facts.subscribe(telemetry.told)
    registry = Registry(store, clock)
    load_genesis(store, clock, registry, pack)
    connections = Connections(registry, settings, clock)
    sync = Sync(store, clock, registry, connections, settings.accept_limit, telemetry.tracer)
    sync.delivering.lease = timedelta(seconds=settings.lease)
    return Plane(settings, clock, store, registry, connections, sync, clock.now(), telemetry)
