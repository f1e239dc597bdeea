"""The same figures heard twice, of two messages, are two gaps."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from probes.comparisons.evidence import Evidence

KEY = ("0007-BLK-M", "WH1")
NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)


def test_a_key_is_told_of_by_its_newest_message_or_by_none() -> None:
    position = (0, 10, 2, 8, 0, 0, "m2")
    evidence = SimpleNamespace(positions={KEY: position})
    assert Evidence.told_by(cast("Evidence", evidence), KEY) == "m2"
    assert Evidence.told_by(cast("Evidence", evidence), ("0008-RED-S", "WH1")) is None
