"""The benchmark's connector, installed as anybody's plugin is: a target whose writes do nothing but note the time."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.dispatch import jobs
from controlplane.connectors.contract import Connector, Manifest, Write, WriteSpec
from rules.outcomes import Guarantee, Outcome, Result

ENTRY_POINTS = """\
[trueup.connectors]
bench = benchmarks.dispatch.connector:BenchConnector

[trueup.dashboards]
bench = benchmarks.dispatch.routes:mount
"""


def install(folder: Path) -> Path:
    """Write what makes an interpreter with the folder on its path find the plugin; return the folder."""
    made = folder / "trueup_bench-1.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: trueup-bench\nVersion: 1\n", encoding="utf-8")
    (made / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    return folder


class BenchConnector(Connector):
    """Source and target of the flow `bench-receipts`."""

    manifest: ClassVar[Manifest] = Manifest(
        name="bench",
        title="Benchmark",
        writes=(
            WriteSpec(jobs.ENTITY, (jobs.TYPE,), Guarantee.KEYED, batch=jobs.BATCH),
            WriteSpec("incident", ("incident.notified",), Guarantee.KEYED),
        ),
        probes=(),
        verified_against="nothing: it does nothing",
    )

    def write(self, request: Write) -> Outcome:
        """Deliver: note the time."""
        jobs.done(jobs.sequence(request.payload))
        return Outcome(Result.DELIVERED)

    def write_many(self, requests: Sequence[Write]) -> list[Outcome]:
        """Deliver a batch: note the time of each."""
        return [self.write(request) for request in requests]
