"""The registry against the files it is kept in, and against how the systems are set: what differs, and what is not known.

Files are read here and now; how the systems are set the plane has read, a quarter of an hour ago at most.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from controlplane.client import PlaneClient
from controlplane.registry import exchange
from rules.policy.reading import Entry
from rules.settings import Standing

PATIENCE = 10.0
"""Wall seconds that git may take."""
Step = Literal["only in the files", "only in force", "different"]
STEPS: Mapping[str, Step] = {"new": "only in the files", "not in the files": "only in force", "changed": "different"}


@dataclass(frozen=True, slots=True)
class Document:
    """A policy that is not the same in the files and in force."""

    kind: str
    name: str
    step: Step
    revision: int | None
    """In force."""
    fields: tuple[tuple[str, Any, Any], ...]
    """(path, in force, in the files)."""

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        fields = [{"path": path, "in_force": there, "in_files": here} for path, there, here in self.fields]
        return asdict(self) | {"fields": fields}


@dataclass(frozen=True, slots=True)
class Live:
    """A setting at a system, or a system whose settings are not known (`name` is empty then)."""

    system: str
    name: str
    standing: Standing
    promised: str
    actual: str | None
    remedy: str
    note: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What a git work tree was at when its files were read."""

    hash: str
    changed: bool
    """The files that were read are not as the commit has them."""

    def __str__(self) -> str:
        return f"commit {self.hash}{', with changes that are not committed' if self.changed else ''}"


def documents(online: PlaneClient, entries: Sequence[Entry]) -> list[Document]:
    """Hold files, which are the whole registry, against what is in force; return what differs, by kind and name."""
    return [
        Document(one.kind, one.name, STEPS[one.step], one.revision, one.fields)
        for one in exchange.plan(online, entries)
        if one.step in STEPS
    ]


def live(online: PlaneClient) -> list[Live]:
    """Return every setting that the plane knows of its systems, and every system that it knows none of."""
    return [row for system in online.get("systems")["systems"] for row in _of(system["name"], system["settings"])]


def _of(system: str, found: Mapping[str, Any]) -> Iterator[Live]:
    if found["unread"] is not None:
        yield Live(system, "", Standing.UNKNOWN, "", None, "", found["unread"])
    for row in found["rows"]:
        stands = Standing(row["standing"])
        yield Live(system, row["name"], stands, row["promised"], row["actual"], row["remedy"], row["note"])


def commit_of(path: Path) -> Commit | None:
    """Return the commit of the git work tree that a file or folder lies in; None where there is no git or no commit."""
    folder = path if path.is_dir() else path.parent
    head = _git(folder, "rev-parse", "--verify", "HEAD")
    if head is None:
        return None
    return Commit(head.strip(), bool(_git(folder, "status", "--porcelain", "--", str(path.resolve()))))


def _git(folder: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, and a path that the caller named
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def told(
    commits: Mapping[str, Commit | None], documents: Sequence[Document], settings: Sequence[Live]
) -> dict[str, Any]:
    """Return all of it as JSON."""
    return {
        "files": [
            {"path": path, "commit": commit and commit.hash, "uncommitted_changes": commit and commit.changed}
            for path, commit in commits.items()
        ],
        "documents": [one.told() for one in documents],
        "settings": [asdict(one) for one in settings],
    }
