"""Retention: what is old and finished goes into Parquet files and out of the store, and comes back when it is asked for.

Law: nothing is deleted that was not read back from the archive, nothing open is touched, and nothing that comes back is done again.
"""

from controlplane.sync.ledger.archive.archiver import Archiver
from controlplane.sync.ledger.archive.records import one as part_of
from controlplane.sync.ledger.archive.records import parts
from controlplane.sync.ledger.archive.restore import Restorer, Wanted, how_long

__all__ = ["Archiver", "Restorer", "Wanted", "how_long", "part_of", "parts"]
