from __future__ import annotations

import pytest

from controlplane.clock import ManualClock
from controlplane.store import Store
from tests.controlplane.health.kit import Retailer


@pytest.fixture
def retailer(store: Store, clock: ManualClock) -> Retailer:
    return Retailer(store, clock)
