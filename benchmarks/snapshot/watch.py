"""What a process used while it read: printed as one line of JSON."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak() -> float:
    """Return the most MB (10^6 bytes) that this process has held.

    Linux tells it of the program that runs now; `ru_maxrss` there counts whoever started it, too, and does not grow below that.
    """
    if STATUS.exists():
        [told] = [line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:")]
        return int(told.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def watched(pages: Iterator[int]) -> None:
    """Read all pages; print rows, wall and CPU seconds of the reading, and the peak MB after a tenth of the pages and after all.

    Imports are over by then: they are paid once, however many rows there are.
    """
    wall, cpu, peaks, rows = time.perf_counter(), time.process_time(), [], 0
    for page in pages:
        rows += page
        peaks.append(peak())
    tenth = peaks[max(0, len(peaks) // 10 - 1)]
    used = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"rows": rows, **used, "mb_at_tenth": tenth, "mb": peaks[-1]}))
