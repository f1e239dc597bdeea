"""Tills with so many counts, as the sandbox simulates them: `python -m benchmarks.snapshot.server ROWS PAGE`. Prints where it listens."""

import sys
from datetime import UTC, datetime

from waitress import create_server

from controlplane.sandbox.square.app import Seller, create

LOCATION, PAGE = "L1", 1000
"""Where the counts are, and how many of them a page holds at most."""


def main() -> None:
    """Serve until the process is ended."""
    at = datetime.now(UTC)
    rows, page = (int(told) for told in sys.argv[1:])
    seller = Seller(lambda: at, page=page)
    for number in range(rows):
        seller.stock(f"V{number:08d}", f"SKU-{number:08d}", LOCATION, number % 90)
    server = create_server(create(seller), host="127.0.0.1", port=0, threads=4)
    print(f"http://127.0.0.1:{server.effective_port}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
