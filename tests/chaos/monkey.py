"""Kills a plane's processes at random instants of its work, the same ones in every run with the same seed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

from tests.chaos.plane import Plane
from tests.chaos.processes import Process, wait_until

AT_STARTUP = 0.2
"""Share of kills that are followed by another one while the process starts."""


class Monkey:
    """Kills by progress, not by the clock: each kill hits work that is under way, on a slow machine too."""

    def __init__(self, plane: Plane, progress: Callable[[], int], total: int, kills: int, seed: int) -> None:
        """`progress`: how much is done, from 0 to `total`; kills happen at `kills` different points of it."""
        self.kills = 0
        self._plane, self._progress, self._chance = plane, progress, random.Random(seed)
        self._points = sorted(self._chance.sample(range(1, total), kills))

    def run(self, seconds: float = 600) -> None:
        """Kill and start again until all points are passed; `seconds` is for each stretch between two kills."""
        for point in self._points:
            wait_until(partial(self._reached, point), f"{point} done before the next kill", seconds)
            time.sleep(self._chance.random() * 0.05)  # not always right after a step of progress
            self._kill(self._chance.choice(self._plane.processes))

    def _reached(self, point: int) -> bool:
        for process in self._plane.processes:
            assert process.alive, f"{process.name} ended by itself\n{process.tail()}"
        return self._progress() >= point

    def _kill(self, victim: Process) -> None:
        victim.kill9()
        self.kills += 1
        if self._chance.random() < AT_STARTUP:
            self._plane.start(victim, wait=False)
            time.sleep(self._chance.random())
            victim.kill9()
            self.kills += 1
        self._plane.start(victim)
