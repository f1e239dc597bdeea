"""One ticker: asks the registry what is due, takes the slot, runs it, notes how it ended."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from controlplane.errors import TrueupError
from controlplane.jobs import runs
from controlplane.jobs.schedules import ONCE, Schedule, schedules
from controlplane.store.types import EPOCH
from controlplane.wiring import Plane

log = structlog.get_logger()
NEVER = EPOCH - ONCE


@dataclass(frozen=True, slots=True)
class Errand:
    """A schedule that is to run now: because of its grid, or because somebody asked for it (`run_id`)."""

    schedule: Schedule
    run_id: str | None = None


class Ticker:
    """Runs schedules: by APScheduler once a second, or step by step when a scenario moves the clock."""

    def __init__(self, plane: Plane, pulse: timedelta = timedelta(seconds=15)) -> None:
        self.plane = plane
        self.pulse = pulse
        self.beat_at: datetime | None = None
        self._slots: dict[str, datetime] = {}
        self._busy: set[str] = set()
        self._ready = False
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="job")
        self._scheduler = BackgroundScheduler(timezone="UTC")

    # --- by itself ---

    def start(self) -> None:
        """Tick once a second until `stop`."""
        self._scheduler.add_job(
            self._tick, "interval", seconds=1, id="tick", max_instances=1, coalesce=True, misfire_grace_time=None,
            next_run_time=datetime.now(tz=self.plane.clock.now().tzinfo),
        )  # fmt: skip
        self._scheduler.start()

    def stop(self) -> None:
        """Stop ticking; runs that are under way may finish, the long ones after the batch that they are at."""
        self.plane.sync.stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _tick(self) -> None:
        self.beat_at = self.plane.clock.now()
        for errand in self._due():
            self._pool.submit(self._run, errand)

    # --- step by step ---

    def run_due(self) -> int:
        """Run all that is due now, one after another; return how many ran."""
        self.beat_at = self.plane.clock.now()
        due = self._due()
        for errand in due:
            self._run(errand)
            if errand.schedule.reads:
                self.plane.sync.drain()
        return len(due)

    def next_due(self) -> datetime:
        """Return when the next schedule falls due."""
        now = self.plane.clock.now()
        return min(
            runs.slot(now, schedule.every) + schedule.every
            for schedule in schedules(self.plane, self.pulse)
            if schedule.every < ONCE
        )

    # --- both ---

    def _due(self) -> list[Errand]:
        with self._lock:
            every = {schedule.name: schedule for schedule in schedules(self.plane, self.pulse)}
            found = [Errand(schedule) for schedule in every.values() if self._is_due(schedule)]
            due = {errand.schedule.name for errand in found}
            for run_id, name in runs.requested(self.plane.store):
                if name in every and name not in due | self._busy:
                    found.append(Errand(every[name], run_id))
                    due.add(name)
            self._busy.update(due)
        return found

    def _is_due(self, schedule: Schedule) -> bool:
        now = self.plane.clock.now()
        if schedule.name in self._busy or runs.slot(now, schedule.every) <= self._last(schedule):
            return False
        return not schedule.after_loading or self._loaded()

    def _loaded(self) -> bool:
        """Whether the initial loads are done and processed: before that a comparison would find nothing but gaps."""
        if not self._ready:
            owed = any(self._last(each) == NEVER for each in schedules(self.plane, self.pulse) if each.every >= ONCE)
            self._ready = not owed and not self._loading() and self.plane.sync.backlog() == 0
        return self._ready

    def _loading(self) -> bool:
        return any(name.startswith(("poll:", "channel:")) for name in self._busy)

    def _last(self, schedule: Schedule) -> datetime:
        if schedule.name not in self._slots:
            with self.plane.store.read() as connection:
                known = runs.last_slot(connection, schedule.name)
            self._slots[schedule.name] = known or NEVER
        return self._slots[schedule.name]

    def _run(self, errand: Errand) -> None:
        try:
            self._run_once(errand)
        finally:
            with self._lock:
                self._busy.discard(errand.schedule.name)

    def _run_once(self, errand: Errand) -> None:
        plane, schedule = self.plane, errand.schedule
        if errand.run_id is None:
            slot = runs.slot(plane.clock.now(), schedule.every)
            run_id = runs.take(plane.store, plane.clock, schedule.name, slot)
            self._slots[schedule.name] = slot
        else:
            run_id = runs.start_requested(plane.store, plane.clock, errand.run_id)
        if run_id is None:
            return
        detail, state = self._call(schedule, asked=errand.run_id is not None)
        if state == "failed" and schedule.every >= ONCE:
            runs.release(plane.store, run_id)  # an initial load that failed is owed still
            self._slots.pop(schedule.name, None)
            return
        runs.finish(plane.store, plane.clock, run_id, state, detail)

    def _call(self, schedule: Schedule, *, asked: bool) -> tuple[dict[str, Any], str]:
        run = schedule.when_asked if asked and schedule.when_asked else schedule.run
        try:
            return {"result": run()}, "done"
        except TrueupError as error:
            return {"error": str(error)}, "failed"
        except Exception as error:
            log.exception("job failed", schedule=schedule.name)
            return {"error": repr(error)}, "failed"
