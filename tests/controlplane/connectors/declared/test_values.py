"""How a manifest's values are read, of what systems write in their own way."""

from __future__ import annotations

import pytest

from controlplane.connectors.declared.values import Scope, Shape, evaluate
from controlplane.errors import BadInputError


def read(told: str, **shape: str) -> object:
    return evaluate(
        Shape.model_validate({"path": "told", **shape}), Scope({"told": told}, lambda _, code: code, {}), "day"
    )


@pytest.mark.parametrize(("told", "zone", "day"), [
    ("2026-11-28", {"zone": "Europe/Berlin"}, "2026-11-28"),  # a day is a day, whatever hour it begins at elsewhere
    ("2026-11-28", {}, "2026-11-28"),
    ("2026-11-27T23:30:00Z", {"zone": "Europe/Berlin"}, "2026-11-28"),
    ("2026-11-27T23:30:00Z", {}, "2026-11-27"),
    ("2026-11-28T00:30:00", {"zone": "Europe/Berlin"}, "2026-11-28"),
])  # fmt: skip
def test_a_day_is_the_systems_own(told: str, zone: dict[str, str], day: str) -> None:
    assert read(told, **{"as": "date", **zone}) == day


@pytest.mark.parametrize("told", ["2026-13-01", "28.11.2026", "2026-11-28T00:30:00", ""])
def test_what_is_no_day_or_names_no_zone_is_refused(told: str) -> None:
    with pytest.raises(BadInputError, match="cannot be read as date"):
        read(told, **{"as": "date"})
