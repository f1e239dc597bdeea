"""The chain as a file that can be checked without the plane: NDJSON of a heading, the actions and their checkpoints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from controlplane.audit.chain import COVERED, Walk
from controlplane.audit.checkpoints import Checkpoint
from controlplane.clock import Clock
from controlplane.errors import BadInputError
from controlplane.store import tables as t

FORMAT = 1
_COLUMNS = [*COVERED, "at", "hash"]


def export(connection: Connection, clock: Clock) -> Iterator[str]:
    """Yield the lines of an export, from one consistent view of the store."""
    head = connection.execute(select(t.audit_head)).mappings().one()
    told = {name: head[name] for name in ("installation", "seq", "hash")}
    yield _line({"type": "chain", "format": FORMAT, "exported_at": _text(clock.now()), **told})
    for row in connection.execute(select(t.action).order_by(t.action.c.seq)).mappings():
        yield _line({"type": "action", **{name: row[name] for name in _COLUMNS}, "at": _text(row["at"])})
    c = t.audit_checkpoint.c
    for body in connection.execute(select(c.body).order_by(c.seq)).scalars():
        yield _line({"type": "checkpoint", **json.loads(body)})


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


@dataclass(slots=True)
class Finding:
    """What an examination found."""

    installation: str = ""
    actions: int = 0
    problems: list[str] = field(default_factory=list)
    anchored_to: int = 0
    """The newest action that a checkpoint vouches for; 0: none."""
    anchored_at: datetime | None = None
    keys: list[str] = field(default_factory=list)
    """Names of the keys that signed."""
    trusted: bool = False
    """Whether it was said beforehand which keys may sign."""

    @property
    def tail(self) -> tuple[int, int] | None:
        """First and last of the actions that no checkpoint vouches for yet."""
        return (self.anchored_to + 1, self.actions) if self.anchored_to < self.actions else None


def examine(lines: Iterable[str | bytes], outside: Sequence[Checkpoint] = (), trusted: Sequence[str] = ()) -> Finding:
    """Check an export: the chain, the signatures, and both against each other.

    `outside`: checkpoints that were kept elsewhere. `trusted`: public keys (base64) that may have signed. Raises BadInputError for
    a file that is no export.
    """
    found, walk, inside, heading = Finding(trusted=bool(trusted)), Walk(), list[Checkpoint](), dict[str, Any]()
    hashes: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        told = _read(line, number)
        found.problems += _beyond(line, told, number)
        if number == 1:
            heading = _heading(told)
            found.installation = str(heading["installation"])
        elif told["type"] == "action":
            found.problems += walk.step(_action(told, number))
            hashes[walk.seq] = walk.hash
        elif told["type"] == "checkpoint":
            inside.append(Checkpoint.read(json.dumps(told), f"line {number}"))
        else:
            raise BadInputError(f"line {number}: is of the type {told['type']!r}, which an export does not have")
    if not heading:
        raise BadInputError("the file is empty; make an export with `trueup audit export FILE`")
    found.actions = walk.seq
    if (heading["seq"], heading["hash"]) != (walk.seq, walk.hash):
        found.problems.append(
            f"the export says that the chain ends at action {heading['seq']}, and it holds actions up to {walk.seq}"
        )
    for one in sorted({*inside, *outside}, key=lambda one: one.seq):
        _hold_against(found, one, hashes, trusted)
    return found


def installation_of(first: str | bytes) -> str:
    """Return whose export this is, by its first line. Raises BadInputError when it is none."""
    return str(_heading(_read(first, 1))["installation"])


def _hold_against(found: Finding, one: Checkpoint, hashes: Mapping[int, str], trusted: Sequence[str]) -> None:
    what = f"the checkpoint of action {one.seq} ({_text(one.at)}, key {one.key})"
    if fault := one.fault(trusted):
        found.problems.append(f"{what}: {fault}")
    elif one.installation != found.installation:
        found.problems.append(f"{what}: belongs to another installation ({one.installation})")
    elif one.seq > found.actions:
        found.problems.append(
            f"actions {found.actions + 1} to {one.seq}: cut off at the end; {what} has seen them; restore them from a backup"
        )
    elif hashes.get(one.seq) != one.hash:
        found.problems.append(f"{what}: saw another chain; some action up to {one.seq} was written anew")
    else:
        if one.key not in found.keys:
            found.keys.append(one.key)
        found.anchored_to, found.anchored_at = one.seq, one.at


def _read(line: str | bytes, number: int) -> dict[str, Any]:
    try:
        told = json.loads(line, parse_constant=_constant)
        json.dumps(told, ensure_ascii=False).encode()  # half a surrogate pair is written by nobody
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"line {number}: is not JSON ({error}); the file is no export, or was damaged") from None
    if not isinstance(told, dict) or "type" not in told:
        raise BadInputError(f"line {number}: has no type; the file is no export of the action log")
    return told


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


_KEYS = {
    "chain": {"type", "format", "exported_at", "installation", "seq", "hash"},
    "action": {"type", *_COLUMNS},
    "checkpoint": {"type", "checkpoint", "signature", "public_key"},
}
_SIGNED = {"format", "installation", "seq", "hash", "at", "key"}
"""What stands in a line of each type: nothing else is vouched for by a hash or a signature, so nothing else may stand there."""


def _beyond(line: str | bytes, told: dict[str, Any], number: int) -> list[str]:
    """Return what stands in a line beyond what an export writes: keys that are not ours, and keys that stand there twice."""
    doubled: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        doubled.extend(key for key, count in Counter(key for key, _ in found).items() if count > 1)
        return dict(found)

    json.loads(line, object_pairs_hook=pairs)
    strange = told.keys() - _KEYS.get(str(told["type"]), told.keys())
    inner = told.get("checkpoint") if told["type"] == "checkpoint" else None
    if isinstance(inner, dict):
        strange |= inner.keys() - _SIGNED
    what = "which no export writes and no hash covers; it was added after it was exported"
    return [f"line {number}: holds '{key}', {what}" for key in sorted(strange)] + [
        f"line {number}: holds '{key}' more than once, so that readers differ in what it says; it was changed after it was exported"
        for key in doubled
    ]


def _heading(told: dict[str, Any]) -> dict[str, Any]:
    if told["type"] != "chain" or not {"format", "installation", "seq", "hash"} <= told.keys():
        raise BadInputError("line 1: is not the heading of an export; make one with `trueup audit export FILE`")
    if told["format"] != FORMAT:
        raise BadInputError(
            f"line 1: an export of format {told['format']}; read it with the version that wrote it, or later"
        )
    return told


def _action(told: dict[str, Any], number: int) -> dict[str, Any]:
    missing = [name for name in _COLUMNS if name not in told]
    if missing:
        raise BadInputError(f"line {number}: the action lacks '{missing[0]}'")
    try:
        at = datetime.fromisoformat(told["at"])
    except (ValueError, TypeError) as error:
        raise BadInputError(f"line {number}: {error}") from None
    if type(told["seq"]) is not int or told["at"] != _text(at):
        found = f"{told['seq']!r}, {told['at']!r}"
        raise BadInputError(
            f"line {number}: 'seq' or 'at' is not as an export writes it ({found}); it was changed since"
        )
    return {**told, "at": at}
