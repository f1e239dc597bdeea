"""What the tests of retention begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.clock import ManualClock
from controlplane.store import Store
from tests.controlplane.sync.archive.kit import LONG, history, house_of
from tests.controlplane.sync.kit import House


@pytest.fixture
def address(tmp_path: Path) -> str:
    """Where this test archives to."""
    return f"faulty://{tmp_path}/archive"


@pytest.fixture
def house(store: Store, clock: ManualClock, tmp_path: Path, address: str) -> House:
    """A retailer that archives, after a busy day that is long over."""
    house = house_of(store, clock, tmp_path, archive=address)
    history(house)
    house.clock.advance(LONG.total_seconds())
    return house
