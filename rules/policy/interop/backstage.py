"""Owners as entities of a Backstage catalogue (https://backstage.io/docs/features/software-catalog/descriptor-format), and back."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rules.policy.interop.shape import ANNOTATION, Exported, Policies, given
from rules.policy.kinds import API_VERSION

VERSION = "backstage.io/v1alpha1"
POLICY = f"{ANNOTATION}/policy"
"""The annotation by which an entity of theirs is one of our policies: Kind/name."""
KINDS = {"Domain": "System", "Flow": "Component", "System": "Resource"}
"""Our kind -> theirs. What they call a system is a set of components: a domain of ours."""
NAMESPACE = "default"
USERNAME = f"{ANNOTATION}/username"
"""The annotation that keeps an account's name where Backstage does not take it as an entity's."""
NAMED = re.compile(r"(?=.{1,63}\Z)[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*")
LONGEST = 54
"""Characters of a name that are kept before a hash."""


def catalog(policies: Policies) -> Iterator[Exported]:
    """Yield one catalog-info.yaml: groups and users of teams, and domains, flows and systems with their owners."""
    documents = [*_groups(policies), *_owned(policies)]
    if documents:
        lost = (
            "everything of a policy but its owner, its name and what it belongs to: export the policies themselves",
            "how a member is reached (contact), and the channel of a team but as an annotation",
            f"usernames that are no entity name: changed, with the real one in the annotation {USERNAME}",
        )
        yield Exported("catalog-info.yaml", tuple(documents), lost)


def entity_name(username: str) -> str:
    """Return the name of the User entity of an account: itself where Backstage takes it, else one that is the same each time.

    Letters and digits with one of `-_.` between them, 63 at most. What is not taken becomes `-`, and a piece of the username's hash
    keeps two of them apart.
    """
    if NAMED.fullmatch(username):
        return username
    plain = re.sub(r"[^A-Za-z0-9]+", "-", username).strip("-")[:LONGEST].strip("-") or "user"
    return f"{plain}-{hashlib.sha256(username.encode()).hexdigest()[:8]}"


def _head(kind: str, name: str, title: str = "", text: str = "", **annotations: str) -> dict[str, Any]:
    told = {f"{ANNOTATION}/{key}": value for key, value in annotations.items() if value}
    return {
        "apiVersion": VERSION,
        "kind": kind,
        "metadata": given(name=name, title=title, description=text, annotations=told),
    }


def _groups(policies: Policies) -> Iterator[dict[str, Any]]:
    people: dict[str, tuple[str, list[str]]] = {}
    for name, team in policies.of("Team"):
        meta = team.metadata
        head = _head("Group", name, meta.title, meta.description, policy=f"Team/{name}", channel=team.spec.channel)
        members = [entity_name(one.username) for one in team.spec.members]
        yield head | {"spec": {"type": "team", "children": [], "members": members}}
        for one in team.spec.members:
            people.setdefault(one.username, (one.name, []))[1].append(name)
    for username, (name, teams) in sorted(people.items()):
        told = entity_name(username)
        head = _head("User", told, username="" if told == username else username)
        yield head | {"spec": {"profile": {"displayName": name}, "memberOf": teams}}


def _owned(policies: Policies) -> Iterator[dict[str, Any]]:
    for kind, theirs in KINDS.items():
        for name, document in policies.of(kind):
            meta, spec = document.metadata, document.spec
            own = {"owner": f"group:{NAMESPACE}/{spec.owner}"}
            if kind == "Flow":
                used = sorted({one.system for one in spec.targets} | ({spec.source} - {"plane"}))
                own = {"type": "integration", "lifecycle": "production", **own, "system": spec.domain,
                       "dependsOn": [f"resource:{NAMESPACE}/{system}" for system in used]}  # type: ignore[dict-item]  # fmt: skip
            elif kind == "System":
                own = {"type": spec.role, **own}
            yield _head(theirs, name, meta.title, meta.description, policy=f"{kind}/{name}") | {"spec": own}


def owners(entities: Sequence[Mapping[str, Any]], policies: Policies) -> tuple[list[dict[str, Any]], list[str]]:
    """Read owners from catalogue entities; return documents to plan, and what was left out and why.

    A Group with members becomes a Team (what is known of its members stays), and a policy that an entity stands for, by the
    annotation or by kind and name, gets that entity's owner. An owner that resolves to no team with members is told, not taken.
    """
    told: list[str] = []
    teams = dict(_teams(entities, policies, told))
    known = {name for name, _ in policies.of("Team")} | set(teams)
    changed = []
    for entity in entities:
        found = _meant(entity, policies)
        if found is None:
            continue
        kind, document = found
        team = _reference(str((entity.get("spec") or {}).get("owner", "")), "group")
        name = document.metadata.name
        if team is None or team not in known:
            who = (entity.get("spec") or {}).get("owner")
            told.append(
                f"{kind}/{name}: '{who}' is no group with members and no Team; its owner stays '{document.spec.owner}'"
            )
        elif team != document.spec.owner:
            wanted = document.model_dump(mode="json")
            wanted["spec"]["owner"] = team
            changed.append(wanted)
    return [*teams.values(), *changed], told


def _teams(
    entities: Iterable[Mapping[str, Any]], policies: Policies, told: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    names: dict[str, str] = {}
    members: dict[str, list[str]] = defaultdict(list)
    real: dict[str, str] = {}
    for entity in entities:
        name, spec = _name(entity), entity.get("spec") or {}
        if entity.get("kind") == "User":
            real[name] = str(((entity.get("metadata") or {}).get("annotations") or {}).get(USERNAME) or name)
            names[real[name]] = (spec.get("profile") or {}).get("displayName", real[name])
            for group in spec.get("memberOf") or []:
                members[_reference(str(group), "group") or ""].append(real[name])
    for entity in entities:
        if entity.get("kind") != "Group":
            continue
        name, spec, metadata = _name(entity), entity.get("spec") or {}, entity.get("metadata") or {}
        listed = [_reference(str(one), "user") or "" for one in spec.get("members") or []]
        people = sorted({*(real.get(one, one) for one in listed), *members[name]} - {""})
        if not people:
            told.append(f"Group/{name}: nobody is its member, and a Team has at least one; it was left out")
            continue
        yield name, _team(name, metadata, people, names, policies.get("Team", name))


def _team(
    name: str, metadata: Mapping[str, Any], people: Sequence[str], names: Mapping[str, str], known: Any
) -> dict[str, Any]:
    """Return a team, with what is known of it beside what the catalogue says."""
    before = {one.username: one.model_dump(mode="json") for one in known.spec.members} if known else {}
    told = given(title=metadata.get("title"), description=metadata.get("description"))
    channel = (metadata.get("annotations") or {}).get(f"{ANNOTATION}/channel")
    members = [{"username": one, "name": one, **before.get(one, {}), **given(name=names.get(one))} for one in people]
    document: dict[str, Any] = known.model_dump(mode="json") if known else {"apiVersion": API_VERSION, "kind": "Team"}
    return document | {
        "metadata": {**document.get("metadata", {"name": name}), **told},
        "spec": {**document.get("spec", {}), **given(channel=channel), "members": members},
    }


def _meant(entity: Mapping[str, Any], policies: Policies) -> tuple[str, Any] | None:
    """The policy that an entity stands for, and its kind."""
    annotated = ((entity.get("metadata") or {}).get("annotations") or {}).get(POLICY, "")
    kind, _, name = str(annotated).partition("/")
    if not name:
        kind = next((ours for ours, theirs in KINDS.items() if theirs == entity.get("kind")), "")
        name = _name(entity)
    document = policies.get(kind, name)
    return (kind, document) if document is not None and hasattr(document.spec, "owner") else None


def _name(entity: Mapping[str, Any]) -> str:
    return str((entity.get("metadata") or {}).get("name", ""))


def _reference(text: str, kind: str) -> str | None:
    """Return the name in an entity reference ([kind:][namespace/]name) of that kind and of the default namespace; else None."""
    own, found, rest = text.rpartition(":")
    namespace, _, name = rest.rpartition("/")
    if (found and own.lower() != kind) or (namespace and namespace.lower() != NAMESPACE):
        return None
    return name or None
