"""Policies as text, the way people write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from rules.policy.kinds import KINDS


def to_yaml(document: Mapping[str, Any]) -> str:
    """Write a document as YAML with its keys in the order of its kind; reading it back gives the same document."""
    return yaml.safe_dump(in_order(document), sort_keys=False, allow_unicode=True, width=110)


def in_order(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with its keys in the order of its kind (a database may have lost it); as it is when it is malformed."""
    model = KINDS.get(str(document.get("kind")))
    try:
        return model.model_validate(document).model_dump(mode="json") if model else dict(document)
    except ValidationError:
        return dict(document)


def begun(kind: str, name: str) -> str:
    """Return the beginning of a policy as YAML: what its kind cannot do without, each key with what it means. It is no policy yet."""
    spec = KINDS[kind].model_fields["spec"].annotation
    needed = [(key, field) for key, field in spec.model_fields.items() if field.is_required()] if spec else []
    keys = [
        f"  {field.alias or key}:" + (f"  # {field.description}" if field.description else "") for key, field in needed
    ]
    head = yaml.safe_dump({"apiVersion": "trueup/v1", "kind": kind, "metadata": {"name": name}}, sort_keys=False)
    return "\n".join([f"{head}spec:" if keys else f"{head}spec: {{}}", *keys]) + "\n"
