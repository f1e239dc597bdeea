"""Whether the registry would hold with a document in it: the one place that asks, for drafts, for what is applied and for the editor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from controlplane.access import disabled, people
from controlplane.errors import PolicyError
from controlplane.registry import revisions
from controlplane.registry.manifests import uninstalled
from controlplane.registry.registry import Snapshot
from controlplane.store.text import dumps
from rules.policy.abilities import Manifests
from rules.policy.keepable import unattended
from rules.policy.kinds import Document
from rules.policy.lint import lint
from rules.policy.problems import NOWHERE, Origin, Path, Problem, problem
from rules.policy.reading import Entry, read_document
from rules.policy.secrets import refusal
from rules.policy.text import RawDocument, read_text

Named = tuple[str, str]
"""Kind and name."""
About = tuple[str | None, str | None]
"""Kind and name that a text has to be of; None where any will do."""
ANY: About = (None, None)


def problems_of(conn: Connection, snapshot: Snapshot, entry: Entry, manifests: Manifests | None) -> list[Problem]:
    """Return what would be wrong with the registry if the document were in it, the whole looked at; its own problems first.

    What is wrong elsewhere already, by rules that are younger than the policies, does not lock the registry.
    """
    return problems_of_all(conn, snapshot, [entry], manifests)


def problems_of_all(
    conn: Connection, snapshot: Snapshot, entries: Sequence[Entry], manifests: Manifests | None, *, staffed: bool = True
) -> list[Problem]:
    """Return the same of several documents that come into the registry together. `staffed`: whether it is asked who is left."""
    own = {(entry.document.kind, entry.document.name): entry for entry in entries}
    known = {key: Entry(document) for key, document in snapshot.documents.items()}
    gone = disabled(conn) if staffed else frozenset[str]()
    before = set(_whole(known, manifests, gone))
    found = [
        each
        for each in _whole({**known, **own}, manifests, gone)
        if (each.kind, each.name) in own or each not in before
    ]
    if staffed:
        found += _left_alone(conn, known, own)
    return sorted(found, key=lambda one: (one.line == 0, one))


def _left_alone(conn: Connection, known: Mapping[Named, Entry], own: Mapping[Named, Entry]) -> list[Problem]:
    """Return what would get an owner of whom nobody has an account; what has one already may be mended piece by piece."""
    here = people(conn)
    before = {_about(*flaw) for flaw in unattended(list(known.values()), here)}
    return [
        problem(entry.origin, entry.document.kind, entry.document.name, path, rule, remedy)
        for entry, path, rule, remedy in unattended(list({**known, **own}.values()), here)
        if _about(entry, path, rule, remedy) not in before
    ]


def _about(entry: Entry, _path: Path, rule: str, _remedy: str) -> tuple[str, str, str]:
    return entry.document.kind, entry.document.name, rule


def _whole(entries: Mapping[Named, Entry], manifests: Manifests | None, gone: frozenset[str]) -> list[Problem]:
    listed = list(entries.values())
    return [*lint(listed, manifests, gone=gone), *uninstalled(listed)]


def problems_in(
    conn: Connection, snapshot: Snapshot, text: str, manifests: Manifests | None, about: About = ANY
) -> list[Problem]:
    """Return everything that is wrong with a text as one policy, each with its line; and with the registry, once it can be read."""
    entry, problems = read_one(text)
    if entry is None:
        return sorted(problems)
    return [*_another(entry, about), *problems_of(conn, snapshot, entry, manifests)]


def read_one(text: str) -> tuple[Entry | None, list[Problem]]:
    """Read the one policy of a text, with its lines; or return every reason why there is none."""
    documents, problems = read_text(text, "")
    if problems:
        return None, problems
    if len(documents) != 1:
        rule = f"one policy is wanted here, and there are {len(documents) or 'none'}"
        where = documents[1].origin if documents else Origin(marks={(): (1, 1)})
        return None, [problem(where, "", "", (), rule, "write one document, without '---'")]
    return read_document(documents[0])


def _another(entry: Entry, about: About) -> list[Problem]:
    """Return a problem where the text is another policy than it has to be."""
    kind, name = entry.document.kind, entry.document.name
    found = []
    if about[0] not in (None, kind):
        remedy = f"write kind: {about[0]}"
        found.append(
            problem(
                entry.origin,
                kind,
                name,
                ("kind",),
                f"this is the policy {'/'.join(part for part in about if part)}",
                remedy,
            )
        )
    if about[1] not in (None, name):
        rule, remedy = f"a policy keeps its name, '{about[1]}'", f"write name: {about[1]}"
        found.append(problem(entry.origin, kind, name, ("metadata", "name"), rule, remedy))
    return found


def as_stored(kind: str, name: str, document: Any) -> dict[str, Any]:
    """Return the document as it will be stored. Raises PolicyError with a line per problem."""
    found = as_document(document)
    if refused := refusal(found):  # before anything is stored: what stands in a draft stands in the action log for good
        raise PolicyError(refused)
    if (found.kind, found.name) != (kind, name):
        raise PolicyError(
            f"the document is {found.kind}/{found.name}, and the request is for {kind}/{name}; correct one"
        )
    content = revisions.dump(found)
    if (
        json.loads(dumps(content)) != content
    ):  # what is stored would be another document than the one whose hash is approved
        raise PolicyError(
            f"{kind}/{name}: the document holds a character that is not kept (U+0000, or half of one); take it out"
        )
    return content


def as_document(content: Any) -> Document:
    """Read a document's values. Raises PolicyError with a line per problem."""
    entry, problems = read_document(RawDocument(content, NOWHERE))
    if entry is None:
        raise PolicyError("\n".join(map(str, problems)))
    return entry.document
