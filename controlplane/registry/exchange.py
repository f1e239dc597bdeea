"""Policies between files and the running plane: what files would change, and the registry as files that are the same every time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from controlplane.client import PlaneClient
from controlplane.errors import BadInputError, PolicyError, TrueupError
from rules.changes import UNDECIDED
from rules.policy import interop
from rules.policy.difference import changed_fields
from rules.policy.reading import Entry, read_policies
from rules.policy.secrets import refusal
from rules.policy.writing import to_yaml

OURS = "trueup"
"""The form that policies are written and read in."""
Step = Literal["new", "changed", "same", "not in the files"]


@dataclass(frozen=True, slots=True)
class Change:
    """What files would do to one policy."""

    kind: str
    name: str
    step: Step
    revision: int | None = None
    """In force now."""
    fields: tuple[tuple[str, Any, Any], ...] = ()
    """(path, in force, in the files)."""
    document: dict[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        """Return it as JSON, without the document."""
        found = asdict(self)
        del found["document"]
        fields = [{"path": path, "before": before, "after": after} for path, before, after in self.fields]
        return found | {"fields": fields}


def in_force(online: PlaneClient) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the policies that govern now, by kind and name, in that order."""
    rows = online.get("policies")["policies"]
    keys = sorted((str(row["kind"]), str(row["name"])) for row in rows)
    return {(kind, name): online.get(f"policies/{kind}/{name}")["policy"] for kind, name in keys}


def plan(online: PlaneClient, entries: Sequence[Entry]) -> list[Change]:
    """Hold files against what is in force, by kind and name. What the files do not name is left alone, and told.

    Raises PolicyError for a secret that stands in them by value, which could not be proposed either.
    """
    refused = [why for one in entries if (why := refusal(one.document))]
    if refused:
        raise PolicyError("\n".join(refused))
    known = in_force(online)
    wanted = {(one.document.kind, one.document.name): one.document.model_dump(mode="json") for one in entries}
    changes = []
    for kind, name in sorted({*known, *wanted}):
        policy, document = known.get((kind, name)), wanted.get((kind, name))
        revision = policy["revision"] if policy else None
        if document is None:
            changes.append(Change(kind, name, "not in the files", revision))
        elif policy is None:
            changes.append(Change(kind, name, "new", None, (), document))
        else:
            fields = tuple(changed_fields(policy["document"], document))
            changes.append(Change(kind, name, "changed" if fields else "same", revision, fields, document))
    return changes


def propose(online: PlaneClient, changes: Sequence[Change], reason: str) -> Iterator[tuple[Change, dict[str, Any]]]:
    """Open a change request for each policy that is new or changed, and ask for review; yield each with what it became.

    One that proposes just this, and is not decided yet, is not opened again.
    """
    wanted = [change for change in changes if change.step in ("new", "changed")]
    waiting = list(online.pages("change-requests", "change_requests")) if wanted else []
    for change in wanted:
        same = _proposed(online, waiting, change)
        if same is not None:
            yield change, same
        else:
            asked = {
                "kind": change.kind, "name": change.name, "document": change.document, "reason": reason,
                "title": f"{change.kind} {change.name}: {'new' if change.step == 'new' else _summary(change)}",
            }  # fmt: skip
            made = online.post("change-requests", asked)
            yield change, _submitted(online, made["id"])


def _submitted(online: PlaneClient, request: str) -> dict[str, Any]:
    """Ask for review; a draft that the plane refuses is withdrawn again, so that it lies in nobody's way."""
    try:
        found: dict[str, Any] = online.post(f"change-requests/{request}/submit")
    except TrueupError:
        online.post(f"change-requests/{request}/withdraw", {"reason": "the registry would not hold with it"})
        raise
    return found


def _proposed(online: PlaneClient, waiting: Sequence[dict[str, Any]], change: Change) -> dict[str, Any] | None:
    for row in waiting:
        if (row["kind"], row["name"]) == (change.kind, change.name):
            found: dict[str, Any] = online.get(f"change-requests/{row['id']}")
            if found["document"] == change.document and found["state"] in UNDECIDED:
                return found
    return None


def _summary(change: Change) -> str:
    paths = [path for path, _, _ in change.fields]
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more


@dataclass(frozen=True, slots=True)
class Text:
    """A file of an export."""

    name: str
    text: str
    not_carried: tuple[str, ...] = ()
    """What of the policies is not in it."""


def texts(online: PlaneClient, form: str = OURS) -> Iterator[Text]:
    """Yield every policy in force as YAML, in our form or one of `interop.FORMATS`: the same registry gives the same bytes.

    Raises BadInputError for a form that there is not.
    """
    if form not in (OURS, *interop.FORMATS):
        there_are = ", ".join((OURS, *interop.FORMATS))
        raise BadInputError(f"'{form}' is no format that policies are exported in; write one of {there_are}")
    found = in_force(online)
    if form == OURS:
        for (kind, name), policy in found.items():
            yield Text(f"{kind}/{name}.yaml", to_yaml(policy["document"]))
    else:
        for file in interop.FORMATS[form](_policies(found)):
            yield Text(file.name, interop.rendered(file), file.not_carried)


def owners(online: PlaneClient, paths: Sequence[Path]) -> tuple[list[Entry], list[str]]:
    """Read a Backstage catalogue (files, or folders read whole); return policies to plan, and what was left out and why.

    Raises BadInputError for what is no YAML, PolicyError for what makes no policy.
    """
    entities: list[dict[str, Any]] = []
    for path in paths:
        for file in sorted(path.rglob("*.yaml")) if path.is_dir() else [path]:
            entities += _entities(file)
    documents, told = interop.owners(entities, _policies(in_force(online)))
    entries, problems = read_policies([("catalogue", "---\n".join(map(to_yaml, documents)))])
    if problems:
        raise PolicyError("the catalogue makes no policies:\n" + "\n".join(map(str, problems)))
    return entries, told


def _entities(file: Path) -> list[dict[str, Any]]:
    try:
        found = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadInputError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInputError(f"{file} is no YAML: {error}") from error
    strange = [one for one in found if one is not None and not _is_entity(one)]
    if strange:
        raise BadInputError(
            f"{file}: an entity is a mapping with kind, metadata and spec, not {str(strange[0])[:60]!r}"
        )
    return [one for one in found if one]


def _is_entity(found: Any) -> bool:
    """Whether it has the shape of one; what its parts say is for whoever reads them."""
    for path in (("metadata", "annotations"), ("spec", "profile")):
        part = found
        for name in path:
            if not isinstance(part, dict):
                return False
            part = part.get(name) or {}
        if not isinstance(part, dict):
            return False
    return True


def _policies(found: Mapping[tuple[str, str], Mapping[str, Any]]) -> interop.Policies:
    return interop.Policies(policy["document"] for policy in found.values())


def write(files: Sequence[Text], folder: Path) -> list[str]:
    """Write files beneath a folder; return the YAML files there that are none of them."""
    written = set()
    for file in files:
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
        written.add(path)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.yaml") if path not in written)
