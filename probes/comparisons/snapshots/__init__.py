"""What systems showed, kept: columns on disk, sorted by surrogate keys that are the same for every side.

Law: a snapshot is whole or it is none; what was read is never changed, only superseded; a key has one number, for ever.
"""

from probes.comparisons.snapshots.compare import compare_snapshots
from probes.comparisons.snapshots.model import Snapshot, SnapshotError
from probes.comparisons.snapshots.store import SnapshotStore

__all__ = ["Snapshot", "SnapshotError", "SnapshotStore", "compare_snapshots"]
