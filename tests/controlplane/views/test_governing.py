"""What people who govern read: the blueprint of a domain, and the catalogue under headings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.errors import NotFoundError
from controlplane.views.blueprint import blueprint
from controlplane.views.catalogue import about, grouped
from controlplane.views.policies import catalogue
from controlplane.wiring import Plane
from tests.web import a_plane


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A plane with the sandbox's policies."""
    home: Path = tmp_path_factory.mktemp("home")
    with a_plane(home) as found:
        yield found


def headings(plane: Plane, by: str, wanted: str = "") -> dict[str, list[str]]:
    """Return heading -> policies."""
    snapshot = plane.registry.snapshot()
    with plane.store.read() as conn:
        entries = [about(entry, snapshot) for entry in catalogue(conn)]
    found = grouped(entries, by, wanted)  # type: ignore[arg-type]
    return {heading: [f"{one['kind']}/{one['name']}" for one in group] for heading, group in found}


def test_a_blueprint_says_who_is_right_how_fast_and_who_watches(plane: Plane) -> None:
    found = blueprint(plane.registry.snapshot(), "inventory")
    assert [(one.entity, one.field, one.system, one.locations) for one in found.rights] == [
        ("stock", "", "wms", ("WH1",)), ("stock", "available_to_sell", "shop", ("WH1",)),
    ]  # fmt: skip
    assert [(one.name, one.promise) for one in found.ways] == [
        ("stock-levels", timedelta(minutes=1)), ("stock-offers", timedelta(minutes=1)),
    ]  # fmt: skip
    assert found.owner is not None
    assert found.comparison is not None
    assert found.escalation is not None


def test_a_domain_that_is_not_there_is_named_with_those_that_are(plane: Plane) -> None:
    with pytest.raises(NotFoundError, match="there are: finance, incidents, inventory"):
        blueprint(plane.registry.snapshot(), "nothing")


def test_every_policy_stands_under_one_heading_its_domain_first(plane: Plane) -> None:
    found = headings(plane, "domain")
    assert found["inventory"][:2] == ["Domain/inventory", "Flow/stock-levels"]
    assert "RetryPolicy/default" in found["several domains"]
    assert list(found)[-1] == "several domains"
    assert sum(map(len, found.values())) == len(plane.registry.snapshot().documents)


def test_the_catalogue_goes_by_owner_too_and_keeps_what_holds_every_word(plane: Plane) -> None:
    assert "Flow/stock-levels" in headings(plane, "owner")["warehouse-ops"]
    assert headings(plane, "kind", "flow WAREHOUSE stock")["Flow"] == ["Flow/stock-levels"]
    assert headings(plane, "domain", "no such thing") == {}
