"""What a side showed while it was compared, kept as a snapshot by policy: the comparison goes on where it cannot be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from controlplane.connectors.contract import Level
from controlplane.health.observations.comparison import ComparisonContext
from probes.comparisons.snapshots import SnapshotError, SnapshotStore
from probes.comparisons.snapshots.writer import Writer

if TYPE_CHECKING:
    import pyarrow as pa

FIELDS = ("on_hand", "available")
log = structlog.get_logger()

Pages = Iterable[Sequence[Level]]


def kept(context: ComparisonContext, side: str, pages: Pages) -> Iterator[Sequence[Level]]:
    """Yield a side's pages; when the last one has been read they are a snapshot in `context.snapshots`, and older ones go.

    A side that breaks off leaves none. What its first row tells of `on_hand` and `available` is what it keeps.
    """
    if context.snapshots is None:
        yield from pages
        return
    held = _Held(context, context.snapshots, side)
    for page in pages:
        held.add(page)
        yield page
    held.finish()


class _Held:
    """A snapshot that is being taken, as long as nothing goes wrong with it."""

    def __init__(self, context: ComparisonContext, folder: Path, side: str) -> None:
        self._store = SnapshotStore(folder)
        self._side, self._newest = side, context.policy.spec.snapshots
        self._began = context.clock.now()
        self._writer: Writer | None = None
        self._given_up = False

    def add(self, page: Sequence[Level]) -> None:
        if page and not self._given_up:
            self._try(lambda: self._write(page))

    def finish(self) -> None:
        if (writer := self._writer) is not None and not self._given_up:
            self._try(lambda: self._whole(writer))

    def _write(self, page: Sequence[Level]) -> None:
        if self._writer is None:
            values = [name for name in FIELDS if getattr(page[0], name) is not None]
            self._writer = self._store.begin(self._side, values, self._began)
        self._writer.page(
            _table(page, self._writer.values),
            min(level.read_from for level in page),
            max(level.read_to for level in page),
        )

    def _whole(self, writer: Writer) -> None:
        writer.finish()
        self._store.keep(self._side, self._newest)

    def _try(self, deed: Callable[[], None]) -> None:
        try:
            deed()
        except (SnapshotError, OSError) as error:
            self._given_up = True
            log.warning("snapshot.not_kept", side=self._side, reason=str(error))


def _table(page: Sequence[Level], values: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    columns = {"sku": pa.array([level.sku for level in page], pa.string())}
    columns["location"] = pa.array([level.location for level in page], pa.string())
    columns |= {name: pa.array([getattr(level, name) for level in page], pa.int64()) for name in values}
    columns["source_at"] = pa.array([level.source_at for level in page], pa.timestamp("us", "UTC"))
    return pa.table(columns)
