"""One ticker: asks the registry what is due, takes the slot, runs it, notes how it ended.

Of several planes on one database only the one that holds the lease ticks. Should two ever tick at once, the slot's row decides.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from controlplane.clock import SystemClock
from controlplane.errors import TrueupError
from controlplane.jobs import runs
from controlplane.jobs.schedules import COMPARING, ONCE, Schedule, schedules
from controlplane.store.lease import Lease
from controlplane.store.types import EPOCH
from controlplane.wiring import Plane

log = structlog.get_logger()
NEVER = EPOCH - ONCE
MACHINE = SystemClock()
"""APScheduler's clock, whatever the plane's is."""
THREADS = {"": 8, COMPARING: 8}
ONE_SYSTEM = 4
"""Threads of a line: of what asks nobody outside, of comparisons, and of what reads one system."""
LATE = timedelta(seconds=5)
"""A next tick that lies further ahead than this was planned before the machine's clock was put back."""


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
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.beat_at: datetime | None = None
        self._lease = Lease(plane.store, plane.clock, "ticker", self.owner)
        self._slots: dict[str, datetime] = {}
        self._again: dict[str, datetime] = {}
        self._ticks = False
        self._alone = False
        """Whether nobody else can be ticking: one process owns a SQLite file, so whoever ticked before is gone."""
        self._stop = threading.Event()
        self._busy: set[str] = set()
        self._ready = False
        self._lock = threading.Lock()
        self._lines: dict[str, ThreadPoolExecutor] = {}
        self._scheduler = BackgroundScheduler(timezone="UTC")

    # --- by itself ---

    def start(self) -> None:
        """Tick once a second until `stop`."""
        self._alone = self.plane.store.is_sqlite
        self._scheduler.add_job(
            self._tick, "interval", seconds=1, id="tick", max_instances=1, coalesce=True, misfire_grace_time=None,
            next_run_time=MACHINE.now(),
        )  # fmt: skip
        self._scheduler.start()
        threading.Thread(target=self._keep_ticking, name="keep-ticking", daemon=True).start()

    def stop(self) -> None:
        """Stop ticking; runs that are under way may finish, the long ones after the batch that they are at.

        Then another plane may tick at once.
        """
        self._stop.set()
        self.plane.sync.stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        with self._lock:
            lines = list(self._lines.values())
        for line in lines:
            line.shutdown(wait=False, cancel_futures=True)
        for line in lines:
            line.shutdown(wait=True)
        self._lease.release()

    def _tick(self) -> None:
        self.beat_at = self.plane.clock.now()
        if self._stop.is_set() or not self._holds():
            return
        for errand in self._due():
            self._line(errand.schedule.line).submit(self._run, errand)

    def _line(self, name: str) -> ThreadPoolExecutor:
        with self._lock:
            if name not in self._lines:
                most = THREADS.get(name, ONE_SYSTEM)
                self._lines[name] = ThreadPoolExecutor(most, thread_name_prefix=f"job-{name}" if name else "job")
            return self._lines[name]

    def _keep_ticking(self) -> None:
        """APScheduler plans by the machine's clock: once that is put back by an hour it would rest for an hour."""
        while not MACHINE.wait(self._stop, 1.0):
            job = self._scheduler.get_job("tick")
            now = MACHINE.now()
            if job is not None and job.next_run_time is not None and job.next_run_time - now > LATE:
                log.warning("the clock was put back; ticking goes on", next_tick=job.next_run_time.isoformat())
                job.modify(next_run_time=now)

    def _holds(self) -> bool:
        """Say whether it is ours to tick; when that begins, note what the one before us left undone."""
        if not self._lease.hold(by_force=self._alone and not self._ticks):
            self._ticks = False
        elif not self._ticks:
            self._slots.clear()
            self._again.clear()
            left = runs.abandon(self.plane.store, self.plane.clock, self.owner)
            log.info("this process ticks from now on", owner=self.owner, abandoned=left)
            self._ticks = True
        return self._ticks

    # --- step by step ---

    def run_due(self) -> int:
        """Run all that is due now, one after another; return how many ran. None while another process ticks."""
        self.beat_at = self.plane.clock.now()
        due = self._due() if self._holds() else []
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
            if schedule.not_before is None or schedule.not_before <= now
            else schedule.not_before
            for schedule in schedules(self.plane, self.pulse)
            if schedule.every < ONCE and not schedule.can_wait
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
        if schedule.name in self._busy or not self._has_come(schedule):
            return False
        return not schedule.after_loading or self._loaded()

    def _has_come(self, schedule: Schedule) -> bool:
        if schedule.not_before is not None and schedule.not_before > self.plane.clock.now():
            return False
        slot = runs.slot(self.plane.clock.now(), schedule.every)
        if self._is_again(schedule):
            return self._again.get(schedule.name) != slot
        return slot > self._last(schedule)

    def _is_again(self, schedule: Schedule) -> bool:
        """Whether the clock was put back, and comes to slots that were taken before."""
        return runs.lies_ahead(self._last(schedule), self.plane.clock.now(), schedule.every)

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
            run_id = self._take(schedule)
        else:
            run_id = runs.start_requested(plane.store, plane.clock, self.owner, errand.run_id)
        if run_id is None:
            return
        detail, state = self._call(schedule, asked=errand.run_id is not None)
        if state == "failed" and schedule.every >= ONCE:
            runs.release(plane.store, run_id)  # an initial load that failed is owed still
            self._slots.pop(schedule.name, None)
            return
        runs.finish(plane.store, plane.clock, run_id, state, detail)

    def _take(self, schedule: Schedule) -> str | None:
        store, clock = self.plane.store, self.plane.clock
        slot = runs.slot(clock.now(), schedule.every)
        if self._is_again(schedule):
            self._again[schedule.name] = slot
            return runs.take_again(store, clock, self.owner, schedule.name, slot, schedule.every)
        self._slots[schedule.name] = slot
        return runs.take(store, clock, self.owner, schedule.name, slot)

    def _call(self, schedule: Schedule, *, asked: bool) -> tuple[dict[str, Any], str]:
        run = schedule.when_asked if asked and schedule.when_asked else schedule.run
        try:
            return {"result": run()}, "done"
        except TrueupError as error:
            return {"error": str(error)}, "failed"
        except Exception as error:
            log.exception("job failed", schedule=schedule.name)
            return {"error": repr(error)}, "failed"
