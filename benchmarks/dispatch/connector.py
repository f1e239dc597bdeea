"""The benchmark's connector, installed as anybody's plugin is: a target whose writes do nothing but note the time."""

from pathlib import Path
from typing import ClassVar

import orjson

from benchmarks.dispatch import jobs
from controlplane.connectors.contract import Connector, Draft, Inbound, Manifest, Record, Write, WriteSpec
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
            WriteSpec(jobs.ENTITY, (jobs.TYPE,), Guarantee.KEYED),
            WriteSpec("incident", ("incident.notified",), Guarantee.KEYED),
        ),
        receives=(jobs.TYPE,),
        probes=(),
        verified_against="nothing: it does nothing",
    )

    def receive(self, inbound: Inbound) -> Record:
        """Take an event by its id; nothing is signed here."""
        return Record(jobs.TYPE, str(orjson.loads(inbound.body)["id"]), inbound.body)

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Return the event's data as it is: it is canonical already."""
        told = orjson.loads(body)
        occurred = self.context.clock.now()
        return [Draft(told["type"], told["subject"], told["id"], occurred, told["data"])]

    def write(self, request: Write) -> Outcome:
        """Deliver: note the time."""
        jobs.done(jobs.sequence(dict(request.payload)))
        return Outcome(Result.DELIVERED)
