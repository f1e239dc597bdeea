"""The same pages, and nothing done with them: `python -m benchmarks.snapshot.plain URL`."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx

from benchmarks.snapshot.server import LOCATION, PAGE
from benchmarks.snapshot.watch import watched

HEADERS = {"Authorization": "Bearer EAAA-token"}
FEW = 1000


def pages(url: str) -> Iterator[int]:
    """Yield how many rows each page has; the names of its variations are asked for too, as anybody must who wants SKUs."""
    with httpx.Client(base_url=url, headers=HEADERS, timeout=60, trust_env=False) as client:
        cursor: dict[str, Any] = {}
        while True:
            asked = {"location_ids": [LOCATION], "states": ["IN_STOCK"], "limit": PAGE, **cursor}
            told = json.loads(client.post("/v2/inventory/counts/batch-retrieve", json=asked).content)
            ids = [row["catalog_object_id"] for row in told["counts"]]
            for at in range(0, len(ids), FEW):
                json.loads(client.post("/v2/catalog/batch-retrieve", json={"object_ids": ids[at : at + FEW]}).content)
            yield len(ids)
            if "cursor" not in told:
                return
            cursor = {"cursor": told["cursor"]}


if __name__ == "__main__":
    watched(pages(sys.argv[1]))
