"""Policy packs: folders of YAML. Read, checked as a whole, and put in force once, when the registry is empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from controlplane import audit
from controlplane.clock import Clock
from controlplane.errors import NotFoundError, PolicyError
from controlplane.registry import revisions
from controlplane.registry.manifests import declared_connectors, uninstalled
from controlplane.registry.registry import Registry, current_version
from controlplane.store import Store
from rules.policy.abilities import Manifests
from rules.policy.lint import lint
from rules.policy.problems import Problem
from rules.policy.reading import Entry, read_policies

ENDINGS = frozenset({".yaml", ".yml", ".json"})
GENESIS = "genesis"


def shipped_packs() -> dict[str, Path]:
    """Return the packs that come with Trueup: name to folder."""
    root = Path(str(files("rules"))) / "packs"
    return {folder.name: folder for folder in sorted(root.iterdir()) if folder.is_dir() and any(_files(folder))}


def pack_folder(name: str) -> Path:
    """Return the folder of a shipped pack, or the folder or file of that path. Raises NotFoundError naming the packs there are."""
    packs = shipped_packs()
    if name in packs:
        return packs[name]
    if Path(name).exists():
        return Path(name)
    raise NotFoundError(f"there is no pack '{name}'; give a folder, or one of: {', '.join(packs)}")


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix in ENDINGS and path.is_file())


def texts(paths: Iterable[Path]) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Read files, and folders whole; return (file, text) pairs and what could not be read."""
    read: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for given in paths:
        found = list(_files(given)) if given.is_dir() else [given]
        if not found:
            problems.append(
                _cannot(given, "no policy file is in the folder", "add a .yaml file, or name another folder")
            )
        for path in found:
            try:
                read.append((str(path), path.read_text(encoding="utf-8-sig")))
            except UnicodeDecodeError as error:
                problems.append(_cannot(path, f"not UTF-8 (byte {error.start})", "save the file as UTF-8"))
            except OSError as error:
                problems.append(_cannot(path, f"cannot be read: {error.strerror}", "correct the path or its rights"))
    return read, problems


def _cannot(path: Path, rule: str, remedy: str) -> Problem:
    return Problem(str(path), 1, 1, "", "", "", rule, remedy)


def read(paths: Iterable[Path]) -> tuple[list[Entry], list[Problem]]:
    """Read policies, each by itself; return what was well formed, and every problem of the others."""
    found, unreadable = texts(paths)
    entries, refused = read_policies(found)
    return entries, [*unreadable, *refused]


def check(paths: Iterable[Path], manifests: Manifests | None = None) -> tuple[list[Entry], list[Problem]]:
    """Read and lint policies as one whole; return what was well formed, and every problem in the order of places."""
    entries, unread = read(paths)
    return entries, sorted([*unread, *lint(entries, manifests, unread), *uninstalled(entries)])


def load_genesis(store: Store, clock: Clock, registry: Registry, pack: str | Path) -> int:
    """Put a pack (a shipped one's name, or a folder or file) in force when the registry is empty; return how many documents.

    Raises NotFoundError for an unknown name, PolicyError with every problem, a line each.
    """
    if registry.snapshot().version:
        return 0
    folder = pack if isinstance(pack, Path) else pack_folder(pack)
    entries, problems = check([folder], declared_connectors())
    if problems:
        raise PolicyError("\n".join(map(str, problems)))
    return install(store, clock, entries, folder.name)


def install(store: Store, clock: Clock, entries: Sequence[Entry], pack: str) -> int:
    """Write linted documents as the registry's first version; return 0 when somebody else was first."""
    documents = [entry.document for entry in entries]
    with store.write() as conn:
        revisions.take_turn(conn)
        if current_version(conn) or not documents:
            return 0
        revisions.write(conn, clock, documents, author=GENESIS, origin=GENESIS, reason=f"pack {pack}")
        loaded = {f"{row['kind']}/{row['name']}": row["hash"] for row in revisions.in_force(conn)}
        audit.record(
            conn, clock, actor=GENESIS, action="registry.load", subject=f"pack/{pack}", after={"loaded": loaded}
        )
    return len(documents)
