"""Plugins, found by entry point: what we ship is registered the way an outsider's is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from controlplane.errors import NotFoundError

Family = Literal[
    "commands", "connectors", "probes", "comparisons", "processes", "dashboards", "simulators", "conformance"
]


@cache
def registered(family: Family) -> dict[str, EntryPoint]:
    """Return the plugins of a family by name, sorted, without importing any of them."""
    found = {point.name: point for point in entry_points(group=f"trueup.{family}")}
    return dict(sorted(found.items()))


def load(family: Family, name: str) -> Any:
    """Import one plugin. Raises NotFoundError naming the plugins there are."""
    points = registered(family)
    if name not in points:
        raise NotFoundError(
            f"no plugin '{name}' in the family trueup.{family}; there are: {', '.join(points) or 'none'}. "
            "Install the package that has it, or correct the name"
        )
    return points[name].load()


def load_all(family: Family) -> Iterator[tuple[str, Any]]:
    """Import every plugin of a family, in the order of their names."""
    for name in registered(family):
        yield name, load(family, name)
