"""Policies as text, the way people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from rules.policy.kinds import KINDS
from rules.policy.text import CORE

FOLDED = re.compile("[\x85\u2028\u2029]")
"""Line breaks of YAML 1.1 that plain and single-quoted text loses when it is read."""


class _Dumper(yaml.SafeDumper):
    """Quotes what either schema of YAML would read as something else than text: 1.1 for others' tools, 1.2 core for ours."""


for _name, _pattern, _first in CORE:
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if FOLDED.search(value) else None)


_Dumper.add_representer(str, _text)


def to_yaml(document: Mapping[str, Any]) -> str:
    """Write a document as YAML with its keys in the order of its kind; reading it back gives the same document."""
    return yaml.dump(in_order(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


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
