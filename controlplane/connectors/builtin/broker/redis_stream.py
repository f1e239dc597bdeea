"""A stream of Redis, read by a consumer group of the plane's own. Senders XADD with the event in the field `event`.

What was read stays pending with the group until it is acknowledged, so it is read again after a crash, oldest first. XAUTOCLAIM is
not used for that: it forgets what was trimmed away meanwhile, and nobody would hear of it. What was trimmed before it was read is
told as a gap, a record that waits for a person.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import ResponseError

from controlplane.connectors.builtin.broker import redis_list
from controlplane.connectors.builtin.broker.address import Address, Login
from controlplane.connectors.contract import Record, Waiting
from controlplane.connectors.events import GAP
from controlplane.errors import RejectedError

FIELD = b"event"
CONSUMER = "trueup"
HIGHEST = 2**64 - 1
"""The last number that Redis gives within a millisecond."""
READ = """\
local function field(flat, name)
  for i = 1, #flat, 2 do if flat[i] == name then return flat[i + 1] end end
end
local function newer(one, other)
  local a, b = one:match('(%d+)-(%d+)')
  local c, d = other:match('(%d+)-(%d+)')
  if a ~= c then return tonumber(a) > tonumber(c) end
  return tonumber(b) > tonumber(d)
end
local last = '0-0'
local stream = redis.call('XINFO', 'STREAM', KEYS[1])
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  if field(group, 'name') == ARGV[1] then
    last = field(group, 'last-delivered-id')
    local seen = field(group, 'entries-read')
    local first, added = field(stream, 'first-entry'), field(stream, 'entries-added')
    if seen and added and (not first or newer(first[1], last)) then
      local gone = added - field(stream, 'length')
      if gone > seen then
        return {'gap', last, first and first[1] or '', field(stream, 'last-generated-id'), gone - seen, gone}
      end
    end
  end
end
local found = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], '>')
return {'read', found and found[1][2] or {}, last}
"""
"""Reads what is new, unless something before it is gone: in one step, so that nothing is trimmed between looking and reading."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries that were gone before they were read."""

    after: str
    """Id of the last entry that was read."""
    before: str
    """Id of the first that is there; empty where none is."""
    newest: str
    count: int
    gone: int
    """All that the stream ever had and has not any more."""

    def resume(self) -> str:
        """Return the id behind which reading goes on."""
        if not self.before:
            return self.newest
        moment, number = (int(part) for part in self.before.split("-"))
        return f"{moment}-{number - 1}" if number else f"{moment - 1}-{HIGHEST}"


class Broker(redis_list.Broker):
    """A database of Redis, and a stream and a consumer group in it."""

    def __init__(self, address: Address, login: Login, record_of: Callable[[bytes], Record]) -> None:
        super().__init__(address, login, record_of)
        self.group = address.group

    def look(self) -> None:
        """Log in, and see that what is there is a stream. Raises UnavailableError, RejectedError."""
        with self.named(), self.connected() as client:
            found = client.type(self.queue)
            if found not in (b"stream", b"none"):
                raise RejectedError(
                    f"{self.login.system}: the key '{self.queue}' at {self.address} is a {found.decode()}, and a group reads a stream; "
                    "leave out the option group, name another queue in the System policy, or remove the key"
                )

    def open(self) -> Feed:
        """Read the stream; stream and group are made if there are none. Raises UnavailableError, RejectedError."""
        self.look()
        with self.named():
            client = self.connected()
            try:
                self._group(client)
            except BaseException:
                client.close()
                raise
        return Feed(self, client)

    def waiting(self) -> Waiting:
        """Return how many are pending or unread; unknown where Redis lost count. Raises UnavailableError."""
        with self.named(), self.connected() as client:
            if not client.exists(self.queue):
                return Waiting(None, note=f"there is no stream '{self.queue}' at {self.address}")
            groups = {one["name"].decode(): one for one in client.xinfo_groups(self.queue)}
            if self.group not in groups:
                return Waiting(
                    None, note=f"the stream '{self.queue}' has no group '{self.group}' yet, so nothing was ever read"
                )
            return self._counted(client, groups[self.group])

    def _counted(self, client: Any, group: dict[str, Any]) -> Waiting:
        pending = client.xpending_range(self.queue, self.group, "-", "+", 1)
        unread = client.xrange(self.queue, b"(" + group["last-delivered-id"], count=1)
        oldest = [
            _moment(one) for one in [*(entry["message_id"] for entry in pending), *(entry[0] for entry in unread)]
        ]
        at = min((one for one in oldest if one is not None), default=None)
        if group.get("lag") is None:
            return Waiting(
                None, at, "Redis does not know the group's lag: entries were deleted, or it is older than 7.0"
            )
        return Waiting(int(group["pending"] + group["lag"]), at)

    def _group(self, client: Any) -> None:
        """Make the group, before the first entry that is there; what was gone by then was never ours to read."""
        try:
            there = client.xinfo_stream(self.queue)
            gone = there["entries-added"] - there["length"] if "entries-added" in there else None
        except ResponseError:  # there is no stream
            gone = 0
        try:
            client.xgroup_create(self.queue, self.group, "0", mkstream=True, entries_read=gone)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


def _moment(identity: bytes) -> datetime | None:
    """Return when an entry was added, by its id; None where its sender made up an id that is no time."""
    try:
        return datetime.fromtimestamp(int(identity.partition(b"-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


class Feed:
    """What the group was given and has not acknowledged: never more than `prefetch`."""

    def __init__(self, broker: Broker, client: Any) -> None:
        self._broker, self._client = broker, client
        self._held: list[bytes] = []
        self._gap: Gap | None = None
        self._again = b"-"
        """Where reading of pending entries goes on; empty when all of them were given."""
        self._last = b"0-0"
        self._read = client.register_script(READ)

    def take(self, seconds: float) -> Sequence[Record]:
        """Return what was pending, then what is new; wait for the first."""
        room = self._broker.address.held - len(self._held)
        with self._broker.named():
            if self._gap is not None or room <= 0:
                threading.Event().wait(seconds)
                return []
            if self._again and (found := self._pending(room)):
                return found
            return self._new(room) or self._wait(seconds, room)

    def _pending(self, room: int) -> list[Record]:
        queue, group = self._broker.queue, self._broker.group
        waiting = [one["message_id"] for one in self._client.xpending_range(queue, group, self._again, "+", room)]
        self._again = b"(" + waiting[-1] if waiting else b""
        looked = self._client.pipeline(transaction=False)
        for identity in waiting:
            looked.xrange(queue, identity, identity)
        self._held += waiting
        return [
            self._record(found[0][1]) if found else self._lost(identity)
            for identity, found in zip(waiting, looked.execute() if waiting else [], strict=True)
        ]

    def _new(self, room: int) -> list[Record]:
        kind, *told = self._read(keys=[self._broker.queue], args=[self._broker.group, CONSUMER, room])
        if kind == b"gap":
            after, before, newest = (one.decode() for one in told[:3])
            self._gap = Gap(after, before, newest, int(told[3]), int(told[4]))
            return [self._missing(after=after, before=before or None, count=self._gap.count)]
        entries, self._last = told
        self._held += [identity for identity, _ in entries]
        return [self._record(dict(zip(flat[::2], flat[1::2], strict=True))) for _, flat in entries]

    def _wait(self, seconds: float, room: int) -> list[Record]:
        """Wait for the next entry without taking it."""
        came = self._client.xread({self._broker.queue: self._last}, count=1, block=max(1, int(seconds * 1000)))
        return self._new(room) if came else []

    def _record(self, fields: dict[bytes, bytes]) -> Record:
        """Return the event, or the whole entry where it holds none; that waits in quarantine."""
        if FIELD in fields:
            return self._broker.record_of(fields[FIELD])
        told = {
            name.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
            for name, value in fields.items()
        }
        return self._broker.record_of(json.dumps(told).encode())

    def _lost(self, identity: bytes) -> Record:
        return self._missing(entry=identity.decode(), count=1)

    def _missing(self, **told: object) -> Record:
        body = json.dumps({"stream": self._broker.queue, "group": self._broker.group, **told}).encode()
        return Record(GAP, f"{GAP}:{body.decode()}", body)

    def acknowledge(self) -> None:
        """Acknowledge what was given; behind a gap that is told, reading goes on."""
        with self._broker.named():
            done = self._client.pipeline(transaction=True)
            if self._held:
                done.xack(self._broker.queue, self._broker.group, *self._held)
            if self._gap is not None:
                done.xgroup_setid(
                    self._broker.queue, self._broker.group, self._gap.resume(), entries_read=self._gap.gone
                )
            done.execute()
        self._held, self._gap = [], None

    def close(self) -> None:
        """Let go of the connection; what is not acknowledged is pending still."""
        with suppress(Exception):
            self._client.close()
