"""What a page is drawn for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.wiring import Plane


@dataclass(frozen=True, slots=True)
class Asked:
    """A visit: the plane, the key in the path (empty where there is none), the query."""

    plane: Plane
    key: str
    query: Mapping[str, str]
