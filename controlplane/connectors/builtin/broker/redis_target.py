"""A stream of Redis that events are put into. Redis knows no repetition, so a marker is set in the same step as the entry is added.

The marker (`<stream>:sent:<key>`) holds the entry's id for a week. While it is there the same event is not added again, and reading back
asks for it. Marker and entry are written by one script, so that a Redis that loses the one has lost the other as well.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from redis.exceptions import ConnectionError as Broken
from redis.exceptions import TimeoutError as Late

from controlplane.connectors.builtin.broker import redis_list
from controlplane.connectors.contract import Write
from controlplane.connectors.events import KEY, event_of
from controlplane.errors import UnknownOutcomeError
from rules.outcomes import Outcome, Result

KEPT = timedelta(days=7)
"""How long a marker is kept."""
MARGIN = timedelta(hours=1)
PUT = """\
local known = redis.call('GET', KEYS[2])
if known then return {0, known} end
local id = redis.call('XADD', KEYS[1], '*', 'event', ARGV[1], ARGV[2], ARGV[3])
redis.call('SET', KEYS[2], id, 'EX', ARGV[4])
return {1, id}
"""


class Outlet(redis_list.Broker):
    """A database of Redis, and a stream in it."""

    def look(self) -> None:
        """Log in. Raises UnavailableError."""
        with self.named(), self.connected() as client:
            client.ping()

    def put(self, request: Write) -> Outcome:
        """Add an event to the stream, unless it is known. Raises ConnectorError."""
        stream, key = self.address.stream, request.idempotency_key
        with self.named(), closing(self.connected()) as client:
            client.ping()  # from here on a connection that breaks leaves it unknown what happened
            script = client.register_script(PUT)
            args = [event_of(request), KEY, key, int(KEPT.total_seconds())]
            try:
                added, entry = script(keys=[stream, self._marker(key)], args=args)
            except (Broken, Late) as error:
                raise UnknownOutcomeError(
                    f"{self.login.system}: {self.address} did not answer; the event may be there"
                ) from error
        return Outcome(Result.DELIVERED if added else Result.ALREADY_DELIVERED, native_id=entry.decode())

    def find(self, request: Write, now: datetime) -> Outcome:
        """Look for the event's marker. Raises ConnectorError."""
        with self.named(), closing(self.connected()) as client:
            entry = client.get(self._marker(request.idempotency_key))
            if entry is not None:
                return Outcome(Result.ALREADY_DELIVERED, native_id=entry.decode())
            if doubt := self._doubt(client, request, now):
                return Outcome(Result.UNKNOWN, f"there is no marker of it, and {doubt}; look into the stream")
        return Outcome(Result.ABSENT, "there is no marker of it")

    def _doubt(self, client: Any, request: Write, now: datetime) -> str:
        if request.owed_since is None or now - request.owed_since > KEPT - MARGIN:
            return f"one is kept for {KEPT.days} days only"
        told = client.info("memory")
        if int(told.get("maxmemory", 0)) and told.get("maxmemory_policy") != "noeviction":
            return f"Redis may have evicted it ({told.get('maxmemory_policy')})"
        return ""

    def _marker(self, key: str) -> str:
        return f"{self.address.stream}:sent:{key}"
