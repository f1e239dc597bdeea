"""Run a provider over a folder: `python -m controlplane.sandbox.edi FOLDER --stock SKU-1=40 --every 5`."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from controlplane.sandbox.edi.partner import Habits, Partner


def main() -> None:
    """Take, ship and tell until it is stopped."""
    names = [name for name in Habits.__dataclass_fields__ if name != "short_by"]
    parser = argparse.ArgumentParser(description="A logistics provider who speaks X12 over a folder")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stock", action="append", default=[], metavar="SKU=PIECES")
    parser.add_argument("--habit", action="append", default=[], choices=names)
    parser.add_argument("--short-by", type=int, default=0, metavar="PIECES")
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS")
    given = parser.parse_args()
    stock = {sku: int(pieces) for sku, _, pieces in (one.partition("=") for one in given.stock)}
    partner = Partner(given.folder, stock, Habits(short_by=given.short_by, **dict.fromkeys(given.habit, True)))
    while True:
        partner.step(datetime.now(UTC))
        time.sleep(given.every)


if __name__ == "__main__":
    main()
