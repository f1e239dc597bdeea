"""A seeded plane, with its pages served on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from controlplane.wiring import Plane
from dashboards.app import mount
from tests.dashboards.chromium import CHROMIUM
from tests.dashboards.seed import Seed
from tests.web import a_plane, served


@dataclass(frozen=True)
class Site:
    """A served plane and the ids of what is on it."""

    url: str
    plane: Plane
    ids: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The retailer on a bad morning."""
    with a_plane(tmp_path_factory.mktemp("home")) as plane:
        ids = Seed(plane).everything()
        with served(plane, [mount]) as url:
            yield Site(url, plane, ids)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A plane on which nothing has happened yet."""
    with a_plane(tmp_path_factory.mktemp("fresh")) as plane, served(plane, [mount]) as url:
        yield Site(url, plane, {})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; what is awaited in it may take a while on a machine that is busy."""
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()
