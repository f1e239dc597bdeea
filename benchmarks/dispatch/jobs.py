"""The message that every contender carries, and the clock face on which every contender notes when it was delivered.

A message is a CloudEvent of some 400 bytes about one receipt of goods: a document, so it never coalesces, and no process of
the plane does anything else with it.
"""

import hashlib
import json
import mmap
import os
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

SOURCE, TARGET, FLOW, ENTITY, TYPE = "bench-source", "bench-target", "bench-receipts", "receipt", "receipt.received"
"""As the policies in `pack/` name them."""
BATCH = 500
"""Messages that one request body carries, that one turn of a floor takes, and that our connector takes in one request."""
OCCURRED = "2026-01-01T00:00:00Z"
TIMES = "BENCH_TIMES"
"""Environment variable: file of the array in which deliveries are noted."""


def reference(number: int) -> str:
    return f"RC-{number:09d}"


def sequence(data: Mapping[str, Any]) -> int:
    """Return the number of the message that this is the data of."""
    return int(data["receipt"][3:])


def data(number: int) -> dict[str, Any]:
    """Return the canonical data of message `number`: valid, and the same every time."""
    skus = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
    return {
        "receipt": reference(number),
        "purchase_order": f"PO-{number // 4:08d}",
        "location": f"WH{number % 9 + 1}",
        "received_at": OCCURRED,
        "lines": [{"sku": f"SKU-{skus[8 * n : 8 * n + 8]}", "quantity": number % 90 + n + 1} for n in range(3)],
    }


def event(number: int) -> bytes:
    """Return message `number` as a client sends it: one line of JSON."""
    return json.dumps(
        {
            "specversion": "1.0", "id": f"evt-{number:09d}", "source": SOURCE, "type": TYPE,
            "subject": reference(number), "time": OCCURRED, "data": data(number),
        },
        separators=(",", ":"),
    ).encode()  # fmt: skip


def batches(start: int, count: int, size: int = BATCH) -> list[bytes]:
    """Return request bodies: `count` messages from `start` on, `size` lines of NDJSON each."""
    numbers = range(start, start + count)
    return [b"".join(event(n) + b"\n" for n in numbers[at : at + size]) for at in range(0, count, size)]


class Times:
    """One float64 a message in a file that processes share: monotonic seconds, 0 while it is not delivered."""

    def __init__(self, path: Path, size: int = 0) -> None:
        """Open the array; with a size, make it anew and empty."""
        if size:
            path.unlink(missing_ok=True)  # a straggler keeps the old one
            with path.open("wb") as file:
                file.truncate(8 * size)
        with path.open("r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.at = memoryview(self.map).cast("d")


@cache
def clock_face() -> Times:
    """Return the array that the environment names."""
    return Times(Path(os.environ[TIMES]))


def done(number: int) -> None:
    """Note that message `number` was delivered now: the whole of the work that a delivery does here."""
    clock_face().at[number] = time.monotonic()
