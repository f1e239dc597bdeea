"""What every case is given: the services, the databases, the processes, and the sizes that were asked for."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.dispatch import connector, jobs, processes, services
from benchmarks.dispatch.processes import Worker, module
from benchmarks.dispatch.readings import Reading, Turn, Values, in_turns
from benchmarks.dispatch.stores import TEMPLATE, Stores
from benchmarks.harness import ROOT

STALLED = 60.0
"""Seconds without any delivery after which a contender is given up. How long it takes in all is its own affair."""
SETTLED = 15.0
"""Seconds that it has to record the last of it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; the defaults take about ten minutes on two cores."""

    rounds: int = 3
    messages: int = 40_000
    """Accepted and delivered by the floors and by us."""
    peers: Mapping[str, int] = field(
        default_factory=lambda: {"dramatiq": 8_000, "celery": 2_500, "procrastinate": 1_500, "dbos": 600}
    )
    """Each peer gets what it delivers in some four seconds."""
    requests: int = 6_000
    paced: int = 400
    backlog: int = 1_000_000
    ledger: int = 5_000_000

    only: tuple[str, ...] = ()
    """Contenders to measure, by the beginning of their names; empty: all."""

    def scaled(self, factor: float) -> "Sizes":
        """Return the sizes times a factor, for trying the suite out."""

        least = {"messages": 1000, "requests": 500, "paced": 100, "backlog": 20_000, "ledger": 20_000}
        sizes = {name: max(low, int(getattr(self, name) * factor)) for name, low in least.items()}
        return replace(self, **sizes, peers={name: max(100, int(n * factor)) for name, n in self.peers.items()})


@dataclass
class Bench:
    """The services that run, and where everything is kept."""

    folder: Path
    stores: Stores
    redis: str | None
    sizes: Sizes
    _number: Iterator[int] = field(default_factory=lambda: count(1))

    def in_turns(self, case: str, turns: Sequence[Turn]) -> list[Reading]:
        """Measure the contenders that were asked for, in turns."""
        only = self.sizes.only
        wanted = [turn for turn in turns if not only or turn.contender.startswith(only)]
        return in_turns(case, wanted, self.sizes.rounds) if wanted else []

    @property
    def log(self) -> Path:
        """Where contenders say what went wrong."""
        return self.folder / "contenders.log"

    def environment(self, url: str, **more: str) -> dict[str, str]:
        """Return what a process of ours needs to find the database, the plugin and the array of times."""
        return {
            "PYTHONPATH": f"{self.folder / 'plugin'}:{ROOT}",
            "TRUEUP_HOME": str(self.folder / f"home{next(self._number)}"),
            "TRUEUP_DATABASE_URL": url,
            "TRUEUP_ENGINE": "embedded",
            jobs.TIMES: str(self.folder / "times"),
            **more,
        }

    def times(self, size: int) -> jobs.Times:
        """Make the array of times anew, empty."""
        return jobs.Times(self.folder / "times", size)

    @contextmanager
    def database(self, kind: str) -> Iterator[str]:
        """Give the address of a fresh database for one run."""
        url = self.stores.fresh(kind)
        try:
            yield url
        finally:
            self.stores.drop(url)

    def ask(self, command: Sequence[str], environment: Mapping[str, str]) -> Values:
        """Run a process to its end; return what it measured."""
        return processes.ask(command, environment, self.log)

    @contextmanager
    def working(self, commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> Iterator[Values]:
        """Run workers; when they were stopped, the values hold their CPU seconds and peak memory."""
        values: Values = {}
        workers: list[Worker] = []
        try:
            workers += [processes.start(command, environment, self.log) for command in commands]
            yield values
        finally:
            used = [worker.stop() for worker in workers]
            values |= {name: sum(one[name] for one in used) for name in ("cpu", "rss_mb")}

    @contextmanager
    def serving(self, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
        """Run a web server; give the line in which it said that it is ready: port, token, path."""
        worker = processes.start(command, environment, self.log, pipe=True)
        try:
            assert worker.process.stdout is not None
            line = worker.process.stdout.readline()
            if not line.strip():
                raise RuntimeError(f"{' '.join(command)} did not start:\n{processes.last_words(self.log)}")
            yield json.loads(line)
        finally:
            worker.stop()

    def deliveries(
        self,
        commands: Sequence[Sequence[str]],
        environment: Mapping[str, str],
        count: int,
        recorded: Callable[[], int],
        start: int = 0,
        due: int = 0,
    ) -> Values:
        """Have workers deliver `count` messages of those from number `start` on; return the rate.

        `due`: how many there are, if more than that. Ours and the floors, who meet at the gate, are timed from when it opens,
        so that their first claim is in it; a peer from its first delivery, in its favour. Starting up is in neither. Raises
        RuntimeError when not all were delivered and recorded.
        """
        times = np.frombuffer(self.times(start + max(due, count)).at)[start:]
        gate = Path(tempfile.mkdtemp(prefix="gate-", dir=self.folder))
        with self.working(commands, {**environment, processes.GATE: str(gate)}) as values:
            until(lambda: len(list(gate.iterdir())) == len(commands) or times.any(), STALLED)
            opened_at = None if times.any() else time.monotonic()
            (gate / "open").touch()
            _watch(times, count)
            reached = np.sort(times[times > 0])[:count]
            until(lambda: recorded() >= count, SETTLED)
            noted = recorded()
        if len(reached) < count or noted < count:
            said = processes.last_words(self.log)
            raise RuntimeError(f"{commands[0]} delivered {len(reached)} and recorded {noted} of {count}:\n{said}")
        began = reached[0] if opened_at is None else opened_at
        return {"rate": count / (reached[-1] - began), "messages": count, **values}


def _watch(times: np.ndarray, count: int) -> None:
    """Wait until so many are delivered, or nothing more is."""
    seen, since = 0, time.monotonic()
    while seen < count and time.monotonic() - since < STALLED:
        time.sleep(0.02)
        now = int(np.count_nonzero(times))
        if now > seen:
            seen, since = now, time.monotonic()


def until(reached: Callable[[], object], seconds: float) -> None:
    """Wait until it is so, or the seconds are over."""
    end = time.monotonic() + seconds
    while not reached() and time.monotonic() < end:
        time.sleep(0.02)


@contextmanager
def opened(folder: Path, sizes: Sizes) -> Iterator[Bench]:
    """Start the services and prepare the databases; say which cannot be measured here and why."""
    with ExitStack() as stack:
        lacking = services.missing()
        for name, reason in lacking.items():
            print(f"  {name} is left out: {reason}")
        folder.chmod(0o755)  # PostgreSQL's own user has to get through
        postgres = (
            None if "postgres" in lacking else stack.enter_context(services.private_postgres(folder / "postgres"))
        )
        redis = None if "redis" in lacking else stack.enter_context(services.private_redis(folder / "redis"))
        connector.install(folder / "plugin")
        bench = Bench(folder, Stores(folder, postgres), redis, sizes)
        for kind in bench.stores.kinds:
            bench.ask(module("ours", "prepare"), bench.environment(bench.stores.empty(kind, TEMPLATE)))
        yield bench
