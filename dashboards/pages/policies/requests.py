"""The list of change requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.views.states import Light
from dashboards.components.parts import state_column
from dashboards.components.text import ago, worded

OF_REQUEST = {
    "draft": Light.INFO, "in_review": Light.WARN, "approved": Light.OK, "scheduled": Light.OK, "effective": Light.OK,
    "superseded": Light.UNKNOWN, "rolled_back": Light.UNKNOWN, "rejected": Light.UNKNOWN, "withdrawn": Light.UNKNOWN,
    "expired": Light.UNKNOWN, "conflict": Light.BREACH,
}  # fmt: skip
COLUMNS = [
    state_column("state", "State", minWidth=120),
    {"field": "policy", "headerName": "Policy", "minWidth": 180},
    {"field": "title", "headerName": "Change", "flex": 2, "minWidth": 200},
    {"field": "author", "headerName": "By", "minWidth": 90},
    {"field": "age", "headerName": "Asked", "minWidth": 100},
]
OWED = "review owed"


def told(state: str) -> str:
    """Return a state in words."""
    return state.replace("_", " ")


def row(one: Mapping[str, Any], now: Any) -> dict[str, Any]:
    """Return a request as a row."""
    state = OWED if one["review_owed"] else told(one["state"])
    light = Light.WARN if one["review_owed"] else OF_REQUEST[one["state"]]
    return {
        "id": one["id"], "state": worded(light, state), "policy": f"{one['kind']}/{one['name']}",
        "title": one["title"], "author": one["author"], "age": ago(one["created_at"], now),
        "link": f"/policies?request={one['id']}",
    }  # fmt: skip
