"""What the formats share: the policies that are exported, and a file that says what it could not take."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import yaml

from rules.policy import kinds as k

ANNOTATION = "trueup.io"
"""The prefix of what only we understand."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One file of another format: its documents, and what of the policies they do not carry."""

    name: str
    documents: tuple[dict[str, Any], ...]
    not_carried: tuple[str, ...] = ()


class Policies:
    """The documents in force, by kind and name, each in that order."""

    def __init__(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Take them as the API gives them. Raises pydantic.ValidationError for one that is malformed."""
        read = [k.KINDS[str(one["kind"])].model_validate(one) for one in documents]
        self._documents = {(one.kind, one.metadata.name): one for one in read}

    def of(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield (name, document) of a kind."""
        for (found, name), document in sorted(self._documents.items()):
            if found == kind:
                yield name, document

    def get(self, kind: str, name: str) -> Any:
        """Return a document, or None."""
        return self._documents.get((kind, name))


def title_of(document: k.Document) -> str:
    """What people call it."""
    return document.metadata.title or document.metadata.name


def given(**values: Any) -> dict[str, Any]:
    """Return what is said: nothing that is empty."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {}, ())}


def seconds(duration: timedelta) -> int | float:
    """Return a duration in seconds, whole where it is."""
    found = duration.total_seconds()
    return int(found) if found.is_integer() else found


def rendered(file: Exported) -> str:
    """Return the text of a file: the same policies give the same bytes."""
    head = "".join(
        textwrap.fill(f"not carried: {' '.join(line.split())}", 110, initial_indent="# ", subsequent_indent="#   ")
        + "\n"
        for line in file.not_carried  # YAML knows more ends of a line than textwrap does
    )
    bodies = [yaml.safe_dump(one, sort_keys=False, allow_unicode=True, width=110) for one in file.documents]
    return head + "---\n".join(bodies)
