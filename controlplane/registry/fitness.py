"""What is wrong with the registry as a whole, and what a change would make wrong with it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from controlplane.access import disabled
from controlplane.registry.manifests import uninstalled
from controlplane.registry.registry import Snapshot
from rules.policy.abilities import Manifests
from rules.policy.kinds import Document
from rules.policy.lint import lint
from rules.policy.problems import Problem
from rules.policy.reading import Entry


def problems(conn: Connection, documents: Iterable[Document], manifests: Manifests | None) -> list[Problem]:
    """Return everything that is wrong with these documents, with the plugins and the people that there are now."""
    entries = [Entry(document) for document in documents]
    return sorted([*lint(entries, manifests, gone=disabled(conn)), *uninstalled(entries)])


def brought_in(conn: Connection, snapshot: Snapshot, document: Document, manifests: Manifests | None) -> list[Problem]:
    """Return what would be wrong with the registry if the document were in it, the whole looked at.

    What is wrong elsewhere already, by rules that are younger than the policies, does not lock the registry.
    """
    own = (document.kind, document.name)
    before = set(problems(conn, snapshot.documents.values(), manifests))
    whole = {**snapshot.documents, own: document}
    found = problems(conn, whole.values(), manifests)
    return [each for each in found if (each.kind, each.name) == own or each not in before]
