"""What the tables of samples share: where the vendors' files lie, and what comes of a record when nothing can be looked up."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.connectors.contract import Connector
from controlplane.errors import BadInputError, ConnectorError
from controlplane.plugins import load
from rules.model.messages import parse
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.simulators import SPECS

NOBODY = "http://127.0.0.1:1"
"""Where nobody answers: what has to be looked up is told by that."""


def at_hand(vendor: str) -> pytest.MarkDecorator:
    """Skip, and say so, where a vendor's files are not at hand."""
    folder = SPECS / vendor
    return pytest.mark.skipif(
        not folder.is_dir(), reason=f"no sample files at {folder}: set TRUEUP_SHARED to the folder that holds specs/"
    )


def files_of(vendor: str) -> set[str]:
    """Every file of a vendor."""
    folder = SPECS / vendor
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def alone(name: str, options: dict[str, Any], secrets: dict[str, str]) -> Connector:
    """A connector that reaches nobody."""
    kind: type[Connector] = load("connectors", name)
    given = dict.fromkeys(kind.manifest.secrets, "secret") | secrets
    return kind(Given(NOBODY, given, options, timeout=0.05).context(frozenset(given)))


def outcome(connector: Connector, topic: str, body: bytes) -> str:
    """`read: TYPES`, `of no interest`, `looked up` (the rest is asked of the vendor), or `refused: REASON`."""
    try:
        drafts = connector.translate(topic, body)
    except BadInputError as error:
        return f"refused: {error}"
    except ConnectorError:
        return "looked up"
    for draft in drafts:
        parse(draft.type, draft.data)
    return f"read: {' '.join(draft.type for draft in drafts)}" if drafts else "of no interest"
