"""What a process used while it read: printed as one line of JSON."""

import json
import resource
import time
from collections.abc import Iterator

PEAK_UNIT = 1024 / 1e6


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT


def watched(pages: Iterator[int]) -> None:
    """Read all pages; print rows, wall and CPU seconds of the reading, and the peak MB after a tenth of the pages and after all.

    Imports are over by then: they are paid once, however many rows there are.
    """
    wall, cpu, peaks, rows = time.perf_counter(), time.process_time(), [], 0
    for page in pages:
        rows += page
        peaks.append(_peak())
    tenth = peaks[max(0, len(peaks) // 10 - 1)]
    used = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"rows": rows, **used, "mb_at_tenth": tenth, "mb": peaks[-1]}))
