"""What the tests of the API share: a module's own `plane`, served, and the people who ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from controlplane.wiring import Plane
from tests.web import served, signed_in


@pytest.fixture
def url(plane: Plane) -> Iterator[str]:
    """Where the plane answers."""
    with served(plane) as found:
        yield found


@pytest.fixture
def olga(url: str) -> Iterator[httpx.Client]:
    """An operator."""
    with closing(signed_in(url, "olga")) as client:
        yield client
