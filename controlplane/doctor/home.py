"""The settings and the home folder: what is set, what can be written to, what is readable by whom."""

from __future__ import annotations

import difflib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from controlplane.doctor.answers import Answer, ok, warning, wrong
from controlplane.doctor.subject import Subject
from controlplane.errors import KeyMissingError, UnavailableError
from controlplane.sealing import Keys
from controlplane.settings import Settings
from controlplane.store.place import Place

LOW, TOO_LOW = 2**30, 100 * 2**20
"""Bytes of free space below which it is a warning, and below which it is wrong."""
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "fuse.glusterfs", "ceph"})
"""File systems over which SQLite's locks and shared memory cannot be trusted."""
PRIVATE = ("cli-token", "people.txt", "audit-key.pem", "seal-keys.json")


def settings(subject: Subject) -> Iterator[Answer]:
    """Say what is set, and which variable is probably misspelt: an unknown one is passed over in silence."""
    given = subject.settings
    database = make_url(given.store_url).render_as_string(hide_password=True)
    yield ok("settings", f"home {given.home.resolve()}, {given.url}, engine {given.engine}, database {database}")
    known = [f"TRUEUP_{name.upper()}" for name in Settings.model_fields]
    for name in sorted(subject.environment):
        meant = difflib.get_close_matches(name, known, n=1, cutoff=0.85) if name not in known else []
        if meant and name.startswith("TRUEUP"):
            yield warning("settings", f"{name} is set and is no setting", f"did you mean {meant[0]}?", name)


def anchors(subject: Subject) -> Iterator[Answer]:
    """See whether anything outside vouches for the action log."""
    if not subject.settings.audit_anchors.strip():
        told = "checkpoints of the action log stay on this machine: whoever owns it can write the log anew"
        yield warning("anchors", told, "name a place outside in TRUEUP_AUDIT_ANCHORS, such as s3://bucket/trueup")
        return
    for uri in subject.settings.anchor_places:
        try:
            Place(uri).names()
        except UnavailableError as error:
            yield wrong("anchors", str(error), "mend the place; what it lacks is written to it later")
        else:
            yield ok("anchors", f"checkpoints of the action log go to {uri}")


def keys(subject: Subject) -> Iterator[Answer]:
    """See that the keys of sealed records are here, and shared where several processes need them."""
    found = Keys(subject.settings)
    if not subject.settings.home.exists():
        return
    try:
        ring = found.ring()
    except KeyMissingError as error:
        if found.path is not None and not found.path.exists() and not subject.settings.seal_keys:
            yield warning(
                "keys",
                str(error),
                "start the plane once, or restore the file from a backup: nothing else opens what is sealed",
            )
        else:
            yield wrong("keys", str(error), "restore them from a backup: nothing else opens what is sealed")
        return
    yield ok("keys", f"{len(ring.keys)} keys for sealed records in {found.where}; {ring.keys[-1].id} seals")
    if not subject.settings.is_sqlite and not subject.settings.seal_keys:
        told = (
            f"the keys of sealed records lie in {found.where}, which another machine of the installation does not see"
        )
        yield warning(
            "keys", told, "with more than one plane or worker, give all the same keys by TRUEUP_SEAL_KEYS", "shared"
        )


def home(subject: Subject) -> Iterator[Answer]:
    """See that the folder can be written to and has space."""
    folder = subject.settings.home
    if not folder.exists():
        yield warning("home", f"{folder} is not there", "start the plane once (`trueup up`), or correct TRUEUP_HOME")
        return
    reason = _refusal(folder)
    if reason:
        remedy = "give TRUEUP_HOME a folder that can be written to, or correct its owner and mode"
        yield wrong("home", f"{folder} cannot be written to: {reason}", remedy)
        return
    yield ok("home", f"{folder.resolve()} can be written to")
    yield _space(folder, subject.settings)


def _refusal(folder: Path) -> str:
    """Try it: rights alone do not tell, for instance on a file system that is mounted read-only."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-"):
            return ""
    except OSError as error:
        return str(error.strerror)


def _space(folder: Path, given: Settings) -> Answer:
    free = shutil.disk_usage(folder).free
    path = Path(make_url(given.store_url).database or "") if given.is_sqlite else None
    size = path.stat().st_size if path and path.exists() else 0
    told = f"{free / 2**30:,.1f} GiB free" + (f", the database has {size / 2**20:,.0f} MiB" if size else "")
    remedy = "make room, or move TRUEUP_HOME to a larger disk; what cannot be stored is refused"
    if free < TOO_LOW:
        return wrong("space", told, remedy)
    if free < max(LOW, size):
        return warning("space", told, remedy)
    return ok("space", told)


def file_system(subject: Subject) -> Iterator[Answer]:
    """See that SQLite does not lie on a network file system."""
    if not subject.settings.is_sqlite:
        return
    path = Path(make_url(subject.settings.store_url).database or "").resolve()
    kind = kind_of(path, _mounts())
    if kind in NETWORK:
        remedy = "put the database on a local disk, or use PostgreSQL (TRUEUP_DATABASE_URL)"
        yield wrong("file system", f"{path} lies on {kind}, where SQLite's locks cannot be trusted", remedy)
    elif kind:
        yield ok("file system", f"the database lies on {kind}")


def _mounts() -> list[tuple[str, str]]:
    """Return (mount point, kind) of what is mounted; empty where the system does not tell."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    # blanks in a mount point are written as \040
    return [(fields[1].replace("\\040", " "), fields[2]) for fields in map(str.split, lines) if len(fields) > 2]


def kind_of(path: Path, mounts: Iterable[tuple[str, str]]) -> str:
    """Return the kind of file system that a path lies on: that of the longest mount point above it; empty if none is."""
    above = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(above, key=lambda found: found[0])[1] if above else ""


def permissions(subject: Subject) -> Iterator[Answer]:
    """See that nobody but the owner reads the secrets, the command line's token and the first passwords."""
    folder, secrets = subject.settings.home, subject.settings.secrets
    files = [path for name in PRIVATE if (path := folder / name).is_file()]
    if secrets.is_dir():
        files += sorted(path for path in secrets.iterdir() if path.is_file())
    open_files = [path for path in files if path.stat().st_mode & 0o077]
    for path in open_files:
        yield _too_open(path)
    if files and not open_files:
        yield ok("permissions", f"{len(files)} files with secrets, readable by their owner only")


def _too_open(path: Path) -> Answer:
    detail, remedy = f"{path} has the mode {stat.filemode(path.stat().st_mode)}", f"chmod 600 {path}"
    if reachable(path):
        return wrong("permissions", f"{detail}: others than its owner can read it", remedy, path.name)
    return warning("permissions", f"{detail}; only a folder above it keeps others out", remedy, path.name)


def reachable(path: Path) -> bool:
    """Whether a file is readable for somebody else: its own mode lets them, and so does every folder above it."""
    mode = path.stat().st_mode
    above = [folder.stat().st_mode for folder in path.resolve().parents]
    for read, enter in ((stat.S_IRGRP, stat.S_IXGRP), (stat.S_IROTH, stat.S_IXOTH)):
        if mode & read and all(folder & enter for folder in above):
            return True
    return False


def owner(subject: Subject) -> Iterator[Answer]:
    """Say when somebody else than the owner of the folder asks: then what is seen here is not what the plane sees."""
    folder = subject.settings.home
    if folder.exists() and (uid := folder.stat().st_uid) != os.geteuid():
        detail = f"{folder} belongs to user {uid}, and this is user {os.geteuid()}"
        yield warning(
            "owner", detail, "run this as the user that the plane runs as: it may see other rights and secrets"
        )
