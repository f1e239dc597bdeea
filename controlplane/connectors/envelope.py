"""A canonical message as somebody sends it to us, over HTTP or through a broker: a CloudEvents 1.0 event in JSON, read strictly.

    {"specversion": "1.0", "id": "…", "source": "wms", "type": "stock.level", "subject": "0042@WH1",
     "time": "2026-03-02T09:00:00Z", "schemaversion": 1, "causationid": "…", "traceparent": "00-…", "data": {…}}

`source` is the name of a System, `id` what makes a repetition known (one fact, one id). `schemaversion`, `causationid` and
`traceparent` may be left out. Whether a flow takes it, and its data are as its type says, is seen by the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from controlplane.errors import BadInputError
from controlplane.store.text import NULL_ESCAPED
from controlplane.telemetry.tracing import Caller, caller

LONGEST = 190
AHEAD = timedelta(minutes=5)
"""How far a sender's clock may be ahead of ours."""
FIRST_YEAR = 1971
"""Nothing that is told of happened before."""
TAKEN = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "schemaversion",
         "causationid", "traceparent", "tracestate", "data")  # fmt: skip
KNOWN = frozenset(TAKEN)
NEEDED = frozenset({"id", "source", "type", "subject", "time", "data"})


@dataclass(slots=True)
class Envelope:
    """A message whose attributes were read and found good."""

    event_id: str
    source: str
    type: str
    subject: str
    occurred_at: datetime
    data: dict[str, Any]
    version: int | None = None
    """The schema version that `data` is written in; None: the newest."""
    causation_id: str | None = None
    trace: Caller | None = None


def open_envelope(raw: bytes, now: datetime) -> Envelope:
    """Read one event. Raises BadInputError naming the attribute, the rule and the remedy; nothing is stored."""
    found = parse_json(raw)
    if not isinstance(found, dict):
        raise BadInputError("an event is a JSON object with CloudEvents attributes; this is none")
    _attributes(found)
    data = found["data"]
    if not isinstance(data, dict):
        raise BadInputError("`data` is a JSON object as the message type says; see docs/messages.md")
    return Envelope(
        event_id=found["id"], source=found["source"], type=found["type"], subject=found["subject"],
        occurred_at=_time(found["time"], now), data=data, version=_version(found),
        causation_id=found.get("causationid"), trace=_trace(found.get("traceparent")),
    )  # fmt: skip


def parse_json(raw: bytes) -> Any:
    """Read JSON as RFC 8259 has it, and no key twice; numbers with a fraction exactly. Raises BadInputError.

    Most events hold nothing that has to be looked at closely, and are read by the fast reader. It drops a key that stands
    twice, which the quotes tell: without escapes each string has two, in what came as in what was read. It reads numbers with
    a fraction as floats, so what stands outside of the quotes must hold none.
    """
    if b"\\" not in raw:
        parts = raw.split(b'"')
        plain = b"".join(parts[::2])
        if b"." not in plain and b"e" not in plain and b"E" not in plain:
            try:
                found = orjson.loads(raw)
            except orjson.JSONDecodeError:
                return _read_closely(raw)
            if _quotes(found) == len(parts) - 1:
                return found
    return _read_closely(raw)


def _quotes(found: Any) -> int:
    """Count the quotes of what was read, written again; -1 for what is nested deeper than the writer goes."""
    try:
        return orjson.dumps(found).count(b'"')
    except TypeError:
        return -1


def _read_closely(raw: bytes) -> Any:
    try:
        text = raw.decode("utf-8")
        found = _DECODER.decode(text)
        if "\\" in text:
            _storable(found)
        return found
    except UnicodeEncodeError:
        raise BadInputError(
            "the JSON holds half a surrogate pair, which is no character; send whole characters"
        ) from None
    except UnicodeDecodeError as error:
        raise BadInputError(f"the body is not UTF-8 (byte {error.start}); encode JSON as UTF-8") from None
    except RecursionError:
        raise BadInputError("the JSON is nested deeper than any message is; send the event as documented") from None
    except json.JSONDecodeError as error:
        raise BadInputError(f"not JSON: {error.msg} at character {error.pos}; send one JSON object an event") from None
    except ValueError as error:  # a number with more digits than Python reads
        raise BadInputError(f"the JSON holds a number that cannot be read: {error}") from None


def _storable(found: Any) -> None:
    """Refuse what JSON can escape and no database keeps as text."""
    text = json.dumps(found, default=str, ensure_ascii=False)
    text.encode("utf-8")
    if NULL_ESCAPED.search(text):
        raise BadInputError("the JSON holds the character U+0000, which no text has; leave it out")


def pairs(told: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON. Raises BadInputError for a key that stands twice."""
    found = dict(told)
    if len(found) != len(told):
        names = [name for name, _ in told]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInputError(f"the key '{twice}' stands twice in one object; which one is meant cannot be known")
    return found


def constant(name: str) -> NoReturn:
    """Raise BadInputError: NaN and Infinity are no JSON."""
    raise BadInputError(f"{name} is not JSON; leave the value out, or send null where it may be unknown")


_DECODER = json.JSONDecoder(object_pairs_hook=pairs, parse_constant=constant, parse_float=Decimal)


def _attributes(found: dict[str, Any]) -> None:
    if not found.keys() >= NEEDED:
        missing = next(name for name in TAKEN if name in NEEDED and name not in found)
        raise BadInputError(f"the attribute '{missing}' is missing; an event has {', '.join(sorted(NEEDED))}")
    if not found.keys() <= KNOWN:
        unknown = min(found.keys() - KNOWN)
        raise BadInputError(
            f"the attribute '{unknown}' is not taken; leave it out, or put it into data if it belongs there"
        )
    if found.get("specversion", "1.0") != "1.0":
        raise BadInputError(f"specversion {found['specversion']!r} is not known; send CloudEvents 1.0")
    for value in (found["id"], found["source"], found["type"], found["subject"]):
        if type(value) is not str or not 0 < len(value) <= LONGEST or not value.isprintable():
            name = next(name for name in ("id", "source", "type", "subject") if found[name] is value)
            raise BadInputError(f"the attribute '{name}' is printable text of 1 to {LONGEST} characters")
    cause = found.get("causationid")
    if cause is not None and not (isinstance(cause, str) and 0 < len(cause) <= 36):
        raise BadInputError(
            "the attribute 'causationid' is the id of the message that caused this one, up to 36 characters"
        )


def _time(given: Any, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise BadInputError(
            f"time {given!r} is not an instant; write it as RFC 3339, e.g. 2026-03-02T09:00:00Z"
        ) from None
    if found.tzinfo is None:
        raise BadInputError(f"time {given!r} has no zone, so nobody knows which instant it is; add Z or an offset")
    if found.year < FIRST_YEAR:
        raise BadInputError(f"time {given} lies before {FIRST_YEAR}; set the sender's clock, and send again")
    if found - now > AHEAD:
        raise BadInputError(
            f"time {given} lies ahead of our clock ({now:%Y-%m-%dT%H:%M:%SZ}); set the sender's clock, and send again"
        )
    return found


def _version(found: Mapping[str, Any]) -> int | None:
    version = found.get("schemaversion")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise BadInputError("the attribute 'schemaversion' is a whole number, e.g. 1; leave it out for the newest")
    return version


def _trace(given: Any) -> Caller | None:
    if given is None:
        return None
    told = caller(given) if isinstance(given, str) else None
    if told is None:
        raise BadInputError(
            "the attribute 'traceparent' is not as W3C Trace Context has it; leave it out if you have none"
        )
    return told
