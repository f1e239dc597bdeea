"""One system's records without what is personal in them, and the whole beside it in an envelope.

JSON is hidden field by field, and so is the row of a file that a connector keeps beside its header. Of any other format nobody
knows which part tells of a person: it is sealed whole, and shown as `sealed, N bytes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from controlplane.errors import BadInputError
from controlplane.sealing.keys import Keyring
from rules.correction import Change
from rules.personal import MASK, Hide, Personal, Shown, given_back, hiding, masking, scrubbed, shown, telling, tokens
from rules.policy.kinds import Showing

NOT_READ = object()
UNREAD = frozenset({"body", "body.row"})
"""Paths of a text that nobody could take apart: all of it counts as personal."""


@dataclass(frozen=True, slots=True)
class Shield:
    """What policy says of the personal fields of a system's records, and the keys that hide them."""

    personal: Personal
    keys: Keyring

    # --- bytes as they came ---

    def body(self, label: str, raw: bytes) -> tuple[bytes, bytes | None]:
        """Return a body as people may see it, and its envelope; the body itself and None where nothing of it is personal.

        Raises KeyMissingError where there is something to seal and nothing to seal it with.
        """
        found = self._shown(raw)
        if not found.hidden:
            return raw, None
        return _bytes(found.value), self.keys.ring().seal(label, raw)

    def batch(self, label: str, raw: bytes) -> tuple[bytes, bytes | None]:
        """As `body`, of a body that holds one document a line."""
        lines = [self._shown(line) for line in raw.split(b"\n")]
        if not any(line.hidden for line in lines):
            return raw, None
        return b"\n".join(_bytes(line.value) for line in lines), self.keys.ring().seal(label, raw)

    def whole(self, label: str, body: bytes, sealed: bytes | None) -> bytes:
        """Return a body as it came. Raises SealError, KeyMissingError."""
        return body if sealed is None else self.keys.ring().open(label, sealed)

    def _shown(self, raw: bytes) -> Shown:
        found = parsed(raw)
        if isinstance(found, dict | list):
            return self._fields(found, self._hide, raw)
        text = raw.decode("utf-8", errors="replace")
        return _whole(text, _size(raw)) if text.strip() else Shown(text, ())

    def _fields(self, found: Any, hide: Hide, raw: bytes | None = None) -> Shown:
        try:
            return shown(found, self.personal, hide)
        except RecursionError:  # nested deeper than anybody reads
            return _whole("", _size(raw or b""))

    # --- records as people work on them ---

    def record(self, label: str, record: Any) -> tuple[Any, bytes | None]:
        """Return a record of quarantine as people may see it, and its envelope or None."""
        found = self._seen(record, self._hide)
        if not found.hidden:
            return record, None
        return found.value, self.keys.ring().seal(label, json.dumps(record).encode())

    def whole_record(self, label: str, record: Any, sealed: bytes | None) -> Any:
        """Return a record as it is. Raises SealError, KeyMissingError."""
        return record if sealed is None else json.loads(self.keys.ring().open(label, sealed))

    def traced(self, record: Any) -> Any:
        """Return a record as histories and the action log keep it: what is personal is hashed, so that a change of it shows."""
        return self._seen(record, self._hash, traced=True).value

    def traced_changes(self, changes: Sequence[Change], *about: Any) -> list[Change]:
        """Return differences between records the same way."""
        hidden = frozenset(value for one in about for value in self._hidden(one))
        mask = hiding(telling(hidden))
        return [
            Change(one.path, *(self._traced_at(one.path, value, hidden, mask) for value in (one.before, one.after)))
            for one in changes
        ]

    def _traced_at(self, path: str, value: Any, hidden: Container[str], mask: Callable[[str], str]) -> Any:
        if value in (None, "") or isinstance(value, bool):
            return value
        unread = isinstance(value, str) and path in UNREAD
        if unread or self.personal.at(path) or (isinstance(value, str) and not value.isdigit() and value in hidden):
            return self._hash("hash", value)
        return mask(value) if isinstance(value, str) else value

    def given_back(self, sent: Any, seen: Any, record: Any) -> Any:
        """Return a record that a person sent who saw `seen` of it, with the rest put back. Raises BadInputError."""
        try:
            return given_back(sent, seen, record)
        except ValueError as error:
            raise BadInputError(str(error)) from None

    def _seen(self, record: Any, hide: Hide, *, traced: bool = False) -> Shown:
        """Hide in a record: what stands in its body by the body's own paths, what stands beside it by those of the record."""
        if not isinstance(record, Mapping) or "body" not in record:
            return self._fields(record, hide)
        beside = self._fields({name: value for name, value in record.items() if name != "body"}, hide)
        body = record["body"]
        if isinstance(body, dict | list):
            inner = self._fields(body, hide)
        elif isinstance(body, str) and body.strip():
            inner = _whole(body, hide("hash", body) if traced else _size(body.encode(errors="replace")))
        else:
            inner = Shown(body, ())
        return Shown({**record, **beside.value, "body": inner.value}, (*beside.hidden, *inner.hidden))

    # --- words about a record ---

    def text(self, text: str, *about: Any) -> str:
        """Return words about records (as bytes, or as people work on them) without what is personal in those."""
        hidden = [value for one in about for value in self._hidden(one)]
        return scrubbed(text, hidden) if hidden else text

    def scrub(self, error: BaseException, about: Any) -> None:
        """Take the same out of what an error says, and the errors behind it."""
        hidden = self._hidden(about)
        seen: set[int] = set()
        at: BaseException | None = error if hidden else None
        while at is not None and id(at) not in seen:
            seen.add(id(at))
            at.args = tuple(scrubbed(arg, hidden) if isinstance(arg, str) else arg for arg in at.args)
            at = at.__cause__ or at.__context__

    def _hidden(self, about: Any) -> tuple[str, ...]:
        if isinstance(about, bytes):
            found = parsed(about)
            about = {"body": about.decode(errors="replace") if found is NOT_READ else found}
        return self._seen(about, masking).hidden

    # --- what stands for a value ---

    def _hide(self, showing: Showing, value: Any) -> str:
        return MASK if showing == "mask" else self._hash(showing, value)

    def _hash(self, _: Showing, value: Any) -> str:
        return self.keys.ring().hashed(str(value))


def parsed(raw: bytes, *, exact: bool = False) -> Any:
    """Return a JSON document, or NOT_READ for what is none. `exact`: whole numbers of any length, which takes longer."""
    if not exact:
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(raw)
    try:
        return json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return NOT_READ


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number that JSON, or a database, knows")


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value, ensure_ascii=False).encode()


def _size(raw: bytes) -> str:
    return f"sealed, {len(raw)} bytes"


def _whole(text: str, stands: str) -> Shown:
    return Shown(stands, (text, *tokens(text)))
