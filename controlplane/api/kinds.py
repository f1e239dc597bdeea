"""/api/v1/schemas: what each kind of policy has to look like, as JSON Schema, for editors and for checks before a commit."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from controlplane.api.contract import contract
from controlplane.api.routes import PREFIX
from controlplane.api.schemas import OBJECT, TEXT, AsAnswered
from controlplane.errors import NotFoundError
from rules.policy.kinds import KINDS
from rules.policy.reading import nearest

kinds = Blueprint("kinds", __name__, url_prefix="/api/v1")
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@kinds.get("/schemas")
@contract({"schemas": [{"kind": TEXT, "about": TEXT, "path": TEXT}]})
def get_schemas() -> Response:
    """Every kind of policy, and where its JSON Schema is."""
    return jsonify(schemas=[{"kind": kind, "about": _about(kind), "path": f"{PREFIX}schemas/{kind}"} for kind in KINDS])


@kinds.get("/schemas/<kind>")
@contract(OBJECT)
def get_schema(kind: str) -> Response:
    """The JSON Schema (2020-12) of one kind of policy. It says the shape; what else has to hold, docs/policies.md."""
    if kind not in KINDS:
        raise NotFoundError(f"there is no kind of policy '{kind}'; {nearest(kind, KINDS, 'kinds')}")
    found = KINDS[kind].model_json_schema(schema_generator=AsAnswered)
    return jsonify({"$schema": DIALECT, **found, "description": _about(kind)})


def _about(kind: str) -> str:
    spec = KINDS[kind].model_fields["spec"].annotation
    return (spec.__doc__ or "").strip().split("\n")[0] if spec else ""
