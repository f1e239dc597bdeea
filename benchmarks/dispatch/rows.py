"""The rows of the plane's own tables that the floors and the fillings write, put together in one place.

Names and number of columns come from `controlplane.store.tables`: a column that is new there and may not be NULL is asked for
by name (`complete`), so that the floor keeps writing what the plane writes. Values are raw: what the driver hands to the
database, with instants as microseconds and JSON as text.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import orjson
from sqlalchemy import Table

from benchmarks.dispatch import jobs
from controlplane.store import tables as t
from rules.ids import fact, new_id

DAY = 86_400_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
REVISION = "00000000-0000-7000-8000-000000000000"
OCCURRED = int(datetime.fromisoformat(jobs.OCCURRED).timestamp() * 1e6)


def complete(table: Table, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every column of the table, NULL where nothing is known of it.

    Raises KeyError naming a column that must not be NULL and that nothing here fills.
    """
    row = {str(column.name): known.get(column.name) for column in table.columns}
    for column in table.columns:
        if row[column.name] is None and not column.nullable:
            raise KeyError(
                f"{table.name}.{column.name} may not be NULL: say in benchmarks/dispatch/rows.py what it holds"
            )
    return row


def accepted(body: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what accepting one NDJSON body writes: its `intake` row, and a `message` row for each line."""
    at = datetime.now(UTC)
    now = time.time_ns() // 1000
    intake_id = new_id(at)
    intake = {
        "id": intake_id, "system": jobs.SOURCE, "channel": "api", "topic": jobs.TYPE, "event_key": f"api:{intake_id}",
        "headers": "{}", "body": body, "received_at": now, "trace_id": TRACE, "state": "translated",
        "translated_at": now,
    }  # fmt: skip
    events = [orjson.loads(line) for line in body.splitlines()]
    messages = [_message(told, at, now, intake_id, line) for line, told in enumerate(events, 1)]
    return complete(t.intake, intake), messages


def _message(told: dict[str, Any], at: datetime, now: int, intake_id: str, line: int) -> dict[str, Any]:
    known = {
        "id": new_id(at), "type": told["type"], "schema_version": 1, "source": told["source"],
        "subject": told["subject"], "dedupe_key": told["id"], "fingerprint": fact(told["source"], told["id"]), "occurred_at": OCCURRED,
        "accepted_at": now, "intake_id": intake_id, "intake_line": line, "trace_id": TRACE,
        "data": orjson.dumps(told["data"]).decode(), "state": "accepted", "registry_version": 1,
    }  # fmt: skip
    return complete(t.message, known)


def owed(message: Mapping[str, Any], sqlite: bool) -> dict[str, Any]:
    """Return the row of a message's delivery, due at once."""
    now = message["accepted_at"]
    no, yes = (0, 1) if sqlite else (False, True)
    known = {
        "id": message["id"], "message_id": message["id"], "flow": jobs.FLOW, "target": jobs.TARGET,
        "entity": jobs.ENTITY, "subject": message["subject"], "order_key": message["subject"],
        "idempotency_key": f"{jobs.TYPE}:{message['subject']}:{jobs.TARGET}:{jobs.ENTITY}:{jobs.SOURCE}:document", "coalesce": no,
        "payload": message["data"], "state": "pending", "head": yes, "due_at": now, "deadline_at": now + DAY,
        "promise_at": now + 60_000_000, "attempts": 0, "fence": 0, "pause_base": 0, "created_at": now, "trace_id": TRACE,
        "retry_revision": REVISION, "registry_version": 1,
    }  # fmt: skip
    return complete(t.delivery, known)


_tries = count(1)
_PROCESS = f"{os.getpid() & 0xFFFF:04x}"
_TRY = complete(
    t.attempt,
    {
        "id": "", "delivery_id": "", "number": 1, "kind": "write", "system": jobs.TARGET, "flow": jobs.FLOW,
        "started_at": 0, "finished_at": 0, "outcome": "delivered", "detail": "",
        "retry_revision": REVISION,
    },
)  # fmt: skip


def attempt(delivery_id: str, now: int) -> dict[str, Any]:
    """Return the row of a first try that delivered. Its id sorts by time like the plane's own."""
    at = f"{now // 1000:012x}"
    made = f"{at[:8]}-{at[8:]}-7000-8000-{_PROCESS}{next(_tries):08x}"
    return _TRY | {"id": made, "delivery_id": delivery_id, "started_at": now, "finished_at": now}


@dataclass(frozen=True, slots=True)
class Expressions:
    """The same rows as SQL over the column `i` of a series, for filling millions of them inside the database."""

    sqlite: bool
    now: int
    """Microseconds; rows are spread over the day before."""
    revision: str
    """Of the retry policy."""
    finished: bool
    """Delivered already: never sent, so that all may carry the same data, which is quicker to write."""

    def message(self) -> dict[str, str]:
        """Return column -> expression of a message that was accepted through the API."""
        known = {
            "id": self._id(1), "type": f"'{jobs.TYPE}'", "schema_version": "1", "source": f"'{jobs.SOURCE}'",
            "subject": self._text("RC-{9}"), "dedupe_key": self._text("evt-{9}"), "fingerprint": self._hash(),
            "occurred_at": str(OCCURRED), "accepted_at": self._at(), "trace_id": self._trace(), "data": self._data(),
            "state": "'processed'", "processed_at": self._at(), "registry_version": "1",
        }  # fmt: skip
        return _filled(t.message, known)

    def delivery(self) -> dict[str, str]:
        """Return column -> expression of the message's delivery, one to a key, due since it was accepted."""
        known = {
            "id": self._id(2), "message_id": self._id(1), "flow": f"'{jobs.FLOW}'", "target": f"'{jobs.TARGET}'",
            "entity": f"'{jobs.ENTITY}'", "subject": self._text("RC-{9}"), "order_key": self._text("RC-{9}"),
            "idempotency_key": self._text(f"{jobs.TYPE}:RC-{{9}}:{jobs.TARGET}:{jobs.ENTITY}:{jobs.SOURCE}:document"),
            "coalesce": self._flag(False), "payload": self._data(),
            "state": "'delivered'" if self.finished else "'pending'", "head": self._flag(not self.finished),
            "due_at": self._at(), "deadline_at": f"{self._at()} + {DAY}", "promise_at": f"{self._at()} + 60000000",
            "attempts": str(int(self.finished)), "fence": str(int(self.finished)), "pause_base": "0",
            "created_at": self._at(), "trace_id": self._trace(), "retry_revision": f"'{self.revision}'",
            "registry_version": "1",
        }  # fmt: skip
        done = {"finished_at": self._at(), "outcome": "'delivered'", "detail": "''"}
        return _filled(t.delivery, known | done if self.finished else known)

    def attempt(self) -> dict[str, str]:
        """Return column -> expression of the delivery's one try."""
        known = {
            "id": self._id(3), "delivery_id": self._id(2), "number": "1", "kind": "'write'",
            "system": f"'{jobs.TARGET}'", "flow": f"'{jobs.FLOW}'", "started_at": self._at(),
            "finished_at": self._at(), "outcome": "'delivered'", "detail": "''",
            "retry_revision": f"'{self.revision}'",
        }  # fmt: skip
        return _filled(t.attempt, known)

    def _padded(self, width: int, expression: str = "i") -> str:
        return f"printf('%0{width}d', {expression})" if self.sqlite else f"lpad(({expression})::text, {width}, '0')"

    def _hex(self, width: int, expression: str) -> str:
        return f"printf('%0{width}x', {expression})" if self.sqlite else f"lpad(to_hex({expression}), {width}, '0')"

    def _id(self, kind: int) -> str:
        """A UUIDv7 of the day before that sorts by i: all that is made later sorts behind it."""
        made = f"{(self.now - DAY) // 1000:012x}"
        return f"'{made[:8]}-{made[8:]}-7000-800{kind}-' || {self._hex(12, 'i')}"

    def _at(self) -> str:
        return f"{self.now - DAY} + i"

    def _text(self, pattern: str) -> str:
        before, after = pattern.split("{9}")
        return f"'{before}' || {self._padded(9)} || '{after}'"

    def _data(self) -> str:
        shape = orjson.dumps(jobs.data(0)).decode()
        text = f"'{shape}'" if self.finished else self._text(shape.replace(jobs.reference(0), "RC-{9}"))
        return text if self.sqlite else f"CAST({text} AS JSONB)"

    def _flag(self, value: bool) -> str:
        return str(int(value)) if self.sqlite else str(value).lower()

    def _hash(self) -> str:
        """A fact (`rules.ids.fact`) of what counts its events: the number, and a hash."""
        if self.sqlite:  # a function that `fill` lends
            return f"fact('{jobs.SOURCE}', {self._text('evt-{9}')})"
        return f"decode({self._hex(8, 'i')} || md5(i::text), 'hex')"

    def _trace(self) -> str:
        return "lower(hex(randomblob(16)))" if self.sqlite else "md5((-i)::text)"


def _filled(table: Table, known: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in complete(table, known).items() if value is not None}
