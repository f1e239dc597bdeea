"""The snapshot as canonical levels: `python -m benchmarks.snapshot.ours URL`."""

import sys
from collections.abc import Iterator

from benchmarks.snapshot.server import LOCATION
from benchmarks.snapshot.watch import watched
from controlplane.clock import SystemClock
from controlplane.connectors.builtin.square.connector import SquareConnector
from controlplane.connectors.conformance.bench import Place


def pages(url: str) -> Iterator[int]:
    """Yield how many levels each page has."""
    place = Place(url, {"access_token": "EAAA-token"}, {"locations": [LOCATION]})
    connector = SquareConnector(place.context("square", SystemClock(), timeout=60))
    for levels in connector.snapshot("counts"):
        yield len(levels)
    connector.close()


if __name__ == "__main__":
    watched(pages(sys.argv[1]))
