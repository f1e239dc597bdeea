"""What a person may change of a record that waits, and when a second person has to agree: pure decisions on JSON values.

A field is named by its path, as in `lines[0].sku`; `*` stands for every item or key. The row of a delimited file is
spread into its columns, so that `body.row.plu` is one field of it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rules import rows
from rules.paths import joined, named, segments
from rules.policy.kinds import Correction


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs; None where there was nothing, or is nothing any more."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Ruling:
    """What policy says to a correction."""

    refused: tuple[str, ...] = ()
    """Why it may not be made; empty when it may."""
    approval: tuple[str, ...] = ()
    """Why a second person has to agree; empty when nobody has to."""


def rule(policy: Correction, changes: Sequence[Change], worth: Decimal | None, fault: str = "") -> Ruling:
    """Return what policy says to these changes of a record that is worth so much.

    A protected field may be filled in where it was missing, or put right where it is what the record waits for
    (`fault`), if a second person agrees.
    """
    refused, approval = [], []
    for change in changes:
        if named(change.path, policy.protected_fields):
            missing = change.before in (None, "")
            if missing or (fault and str(change.before) == fault):
                approval.append(f"{change.path} is protected")
            else:
                refused.append(change.path)
        elif named(change.path, policy.approve_fields):
            approval.append(f"{change.path} was changed")
    if policy.approve_above is not None and worth is not None and abs(worth) > policy.approve_above:
        approval.append(f"it is worth {worth}, more than {policy.approve_above}")
    return Ruling(tuple(refused), tuple(approval))


# --- differences ---


def changes(before: Any, after: Any) -> list[Change]:
    """Return every value that differs between two records, by path; a part that came or went is told value by value."""
    return list(_changes(spread(before), spread(after), ()))


def _changes(before: Any, after: Any, at: tuple[str | int, ...]) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from _changes(before.get(name, GONE), after.get(name, GONE), (*at, name))
    elif isinstance(before, list) and isinstance(after, list):
        for position in range(max(len(before), len(after))):
            old, new = (side[position] if position < len(side) else GONE for side in (before, after))
            yield from _changes(old, new, (*at, position))
    elif type(before) is not type(after) or before != after:
        yield from _replaced(before, after, at)


class _Gone:
    """Nothing is there; a JSON null is something."""


GONE: Any = _Gone()


def _replaced(before: Any, after: Any, at: tuple[str | int, ...]) -> Iterator[Change]:
    old, new = dict(_leaves(before, at)), dict(_leaves(after, at))
    for parts in [*old, *(parts for parts in new if parts not in old)]:
        yield Change(joined(parts), old.get(parts), new.get(parts))


def _leaves(value: Any, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for part, each in inner for leaf in _leaves(each, (*at, part))]
    if found:
        yield from found
    elif value is not GONE:
        yield at, value


def values(record: Any) -> dict[str, Any]:
    """Return every value of a record by its path."""
    return {joined(parts): value for parts, value in _leaves(spread(record), ())}


# --- edits ---


def edited(record: Any, put: Mapping[str, Any], remove: Sequence[str] = ()) -> Any:
    """Return the record with these values put at these paths, and others removed.

    Raises ValueError naming a path that leads nowhere; a name that is not there yet may only be the last of its path.
    """
    found = spread(copy.deepcopy(record))
    for path, value in put.items():
        _apply(found, segments(path), path, lambda holder, key, value=value: _put(holder, key, copy.deepcopy(value)))
    for path in remove:
        _apply(found, segments(path), path, _take_out)
    return gathered(found, record)


def _apply(value: Any, parts: list[str], path: str, act: Any) -> None:
    part, rest = parts[0], parts[1:]
    keys = _keys(value, part, path, last=not rest)
    for key in keys:
        if rest:
            _apply(value[key], rest, path, act)
        else:
            act(value, key)


def _keys(value: Any, part: str, path: str, *, last: bool) -> list[Any]:
    """Return what a part of a path means here; of a list from the back, so that taking out moves nothing still to come."""
    found: list[Any] = []
    if isinstance(value, list):
        found = [at for at in reversed(range(len(value))) if part in ("*", str(at))]
    elif isinstance(value, dict):
        found = list(value) if part == "*" else [part] if part in value or last else []
    if not found:
        raise ValueError(
            f"'{path}' leads nowhere: there is no '{part}' in this record; look at it, and correct the path"
        )
    return found


def _put(holder: Any, key: Any, value: Any) -> None:
    holder[key] = value


def _take_out(holder: Any, key: Any) -> None:
    if isinstance(holder, list) or key in holder:
        del holder[key]


# --- rows of files ---


def spread(record: Any) -> Any:
    """Return the record with the row of a file, kept as text beside its header, taken apart into its columns."""
    body = record.get("body") if isinstance(record, dict) else None
    if not isinstance(body, dict) or not isinstance(body.get("header"), str) or not isinstance(body.get("row"), str):
        return record
    found = rows.fields(body["header"], body["row"])
    return record if found is None else {**record, "body": {**body, "row": found}}


def gathered(record: Any, original: Any = None) -> Any:
    """Return the record with such columns put together into a row again; as it was in `original` where nothing changed.

    Raises ValueError for a column that the header does not have.
    """
    body = record.get("body") if isinstance(record, dict) else None
    if not isinstance(body, dict) or not isinstance(body.get("header"), str) or not isinstance(body.get("row"), dict):
        return record
    if spread(original) == record:
        return original
    return {**record, "body": {**body, "row": rows.line(body["header"], body["row"])}}
