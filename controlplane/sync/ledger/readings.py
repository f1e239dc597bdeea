"""Levels that the plane itself read from a source: taken in and translated like everything else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from controlplane.connectors.contract import Draft, Level, Record
from controlplane.errors import BadInputError
from rules.model.messages import stock_key

TOPIC = "trueup/level"


def reading(level: Level) -> Record:
    """Write a level that was read as a record for intake. Needs both numbers and the source's change time."""
    if level.on_hand is None or level.available is None or level.source_at is None:
        raise BadInputError(
            f"the reading of {stock_key(level.sku, level.location)} lacks on_hand, available or the source's time; "
            "only a source that states all three can be re-read for healing"
        )
    body = {
        "sku": level.sku,
        "location": level.location,
        "on_hand": level.on_hand,
        "available": level.available,
        "source_at": level.source_at.isoformat(),
    }
    key = f"{TOPIC}:{stock_key(level.sku, level.location)}:{level.read_to.isoformat()}"
    return Record(TOPIC, key, json.dumps(body, sort_keys=True).encode())


def readings(levels: Sequence[Level]) -> list[Record]:
    """Write several levels as records."""
    return [reading(level) for level in levels]


def translate_reading(body: bytes) -> list[Draft]:
    """Turn a reading into a stock level. What is in transit is not part of a reading and stays as it is (-1)."""
    raw = json.loads(body)
    subject = stock_key(raw["sku"], raw["location"])
    source_at = datetime.fromisoformat(raw["source_at"])
    data = {**raw, "allocated": raw["on_hand"] - raw["available"], "in_transit": -1}
    version = source_at.isoformat()
    return [Draft("stock.level", subject, f"stock.level:{subject}:reading:{version}", source_at, data, version)]
