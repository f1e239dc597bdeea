"""Put policies in force that a test needs, past the change requests and the lint: connectors of the kit declare little."""

from __future__ import annotations

from typing import Any

from controlplane.registry import revisions
from rules.policy.kinds import API_VERSION, KINDS, Document
from tests.controlplane.sync.kit import House


def change(house: House, kind: str, name: str, /, **spec: Any) -> Document:
    """Change parts of a policy's spec; return it as it is then."""
    with house.store.read() as connection:
        old = revisions.current(connection, kind, name)
    assert old is not None, f"no {kind} {name}"
    return add(house, kind, name, **{**old["document"]["spec"], **spec})


def add(house: House, kind: str, name: str, /, **spec: Any) -> Document:
    """Put a policy in force; return it."""
    given = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    document = KINDS[kind].model_validate(given)
    with house.store.write() as connection:
        revisions.write(connection, house.clock, [document], author="test", origin="test", reason="test")
    return document
