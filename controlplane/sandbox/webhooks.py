"""The vendors' webhooks: written once, signed, sent in order of time, retried by each vendor's own schedule."""

import base64
import hashlib
import heapq
import hmac
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from controlplane.sandbox.agenda import Counters
from controlplane.sandbox.clock import Clock, iso_ms
from controlplane.sandbox.faults import Faults
from controlplane.sandbox.journal import Journal
from controlplane.sandbox.records import Outgoing, Unsubscribed
from controlplane.sandbox.scenario import FaultSpec
from controlplane.sandbox.store import Shelf
from controlplane.sandbox.streams import stream

TOGETHER = 200
"""Webhooks that are taken at once, at most."""
AT_ONCE = 4
"""Requests that are under way at the same time."""
LAG = timedelta(seconds=1)
"""Time between a change and the vendor's first attempt to tell of it."""


@dataclass(frozen=True)
class Habit:
    """How a vendor delivers: where to, how long it waits, the pauses (s) between attempts, and what it tells of."""

    path: str
    timeout: float
    pauses: tuple[float, ...]
    topics: tuple[str, ...]


HABITS = {
    # 8 retries over 4 h; the vendor does not publish the single pauses
    "shop": Habit(
        "/hooks/shop",
        5.0,
        (10, 60, 300, 900, 1800, 2700, 3600, 4800),
        ("orders/create", "orders/updated", "inventory_levels/update", "fulfillments/create", "refunds/create"),
    ),
    "wms": Habit(
        "/hooks/wms",
        10.0,
        (10, 60, 300, 900, 3600),
        ("Inventory Update", "Order Allocated", "Shipment Update", "PO Update", "Return Update"),
    ),
}


def sign(secret: str, body: bytes) -> str:
    """Base64 of the HMAC-SHA256 of the raw body."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


class Outbox:
    """Webhooks not yet delivered. `post` is called with the world locked, `send` without."""

    def __init__(
        self,
        shelf: Shelf[Outgoing],
        unsubscribed: Shelf[Unsubscribed],
        *,
        plane: str,
        secrets: Callable[[str], str],
        faults: Faults,
        journal: Journal,
        clock: Clock,
        counters: Counters,
        seed: int,
    ) -> None:
        self._shelf, self._plane, self._secrets = shelf, plane.rstrip("/"), secrets
        self._unsubscribed = unsubscribed
        self._faults, self._journal, self._clock = faults, journal, clock
        self._counters, self._seed = counters, seed
        self._client = httpx.Client(trust_env=False)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._heap = [(entry.due, entry.order) for entry in shelf]
        heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._shelf)

    def subscriptions(self, system: str) -> list[tuple[int, str, str]]:
        """What a system tells of, and where: (number, topic, address)."""
        habit = HABITS[system]
        return [
            (number, topic, self._plane + habit.path)
            for number, topic in enumerate(habit.topics, 1)
            if self._unsubscribed.get(f"{system}|{topic}") is None
        ]

    def unsubscribe(self, system: str, topic: str) -> None:
        """Tell of it no more."""
        self._unsubscribed.put(f"{system}|{topic}", Unsubscribed(system=system, topic=topic))

    def post(self, system: str, topic: str, body: dict[str, Any], keys: list[str], headers: dict[str, str]) -> None:
        """Owe the plane a webhook; faults decide now what becomes of it. `headers` get signature and id added.

        What nobody subscribes to is not told.
        """
        if self._unsubscribed.get(f"{system}|{topic}") is not None:
            return
        number = self._counters.next("webhook")
        raw = json.dumps(body, separators=(",", ":"))
        name = str(uuid.UUID(int=stream(self._seed, "webhook", number).getrandbits(128), version=4))
        now = self._clock.now()
        entry = Outgoing(
            id=name,
            system=system,
            topic=topic,
            path=HABITS[system].path,
            headers=headers | self._identity(system, name, raw),
            body=raw,
            keys=keys,
            created_at=now,
            due=now + LAG,
            order=number,
        )
        self._fall_to_fault(entry)

    def next_at(self) -> datetime | None:
        """When the earliest attempt is due, or None."""
        entry = self._first()
        return entry.due if entry else None

    def take(self, until: datetime) -> list[Outgoing]:
        """The webhooks whose attempts are due first and at the same instant, at or before `until`; they stay owed until settled.

        They may be sent at once: no two of them tell of the same thing.
        """
        found: list[Outgoing] = []
        told: set[tuple[str, str]] = set()
        while (entry := self._first()) and entry.due <= until and len(found) < TOGETHER:
            about = {(entry.system, key) for key in entry.keys}
            if found and (entry.due != found[0].due or told & about):
                break
            heapq.heappop(self._heap)
            told |= about
            found.append(entry)
        return found

    def _first(self) -> Outgoing | None:
        while self._heap:
            due, order = self._heap[0]
            entry = self._shelf.get(str(order))
            if entry and entry.due == due:
                return entry
            heapq.heappop(self._heap)
        return None

    def _owe(self, entry: Outgoing) -> None:
        self._shelf.put(str(entry.order), entry)
        heapq.heappush(self._heap, (entry.due, entry.order))

    def send(self, entries: list[Outgoing]) -> list[bool]:
        """One attempt of each over HTTP, several at a time; True where the plane answered 2xx in time."""
        if len(entries) == 1:
            return [self._send(entries[0])]
        return list(self._pool.map(self._send, entries))

    def _send(self, entry: Outgoing) -> bool:
        try:
            answer = self._client.post(
                self._plane + entry.path,
                content=entry.body.encode(),
                headers=entry.headers,
                timeout=HABITS[entry.system].timeout,
            )
        except httpx.HTTPError:
            return False
        return answer.is_success

    def settle(self, entry: Outgoing, delivered: bool) -> None:
        """Book the attempt: done, to be tried again, or given up."""
        pauses = HABITS[entry.system].pauses
        if delivered:
            self._note(entry, entry.fate, delivered_at=iso_ms(self._clock.now()))
        elif entry.attempt >= len(pauses):
            self._note(entry, "failed")
        else:
            entry.due = self._clock.now() + timedelta(seconds=pauses[entry.attempt])
            entry.attempt += 1
            self._owe(entry)
            return
        self._shelf.drop(str(entry.order))

    def hold(self, entry: Outgoing, seconds: float) -> None:
        """Its system is down: nothing leaves for now."""
        entry.due = self._clock.now() + timedelta(seconds=seconds)
        self._owe(entry)

    def close(self) -> None:
        """Let go of connections."""
        self._pool.shutdown()
        self._client.close()

    def _fall_to_fault(self, entry: Outgoing) -> None:
        if self._strikes("lost_webhook", entry):
            self._note(entry, "lost")
            return
        late = self._strikes("late_webhook", entry)
        passed = self._strikes("reordered_webhook", entry)
        if fault := late or passed:
            entry.fate = "late" if late else "reordered"
            entry.due += timedelta(seconds=self._delay(fault, entry))
        if self._strikes("duplicate_webhook", entry):
            entry.fate = "duplicated"
            twin = entry.model_copy(update={"order": self._counters.next("webhook"), "due": entry.due + LAG})
            self._owe(twin)
        self._owe(entry)

    def _delay(self, fault: FaultSpec, entry: Outgoing) -> float:
        if fault.up_to is not None:
            return stream(self._seed, "late", entry.order).uniform(0, fault.up_to)
        return 20.0 if fault.seconds is None else fault.seconds

    def _strikes(self, kind: str, entry: Outgoing) -> FaultSpec | None:
        return self._faults.strike(kind, entry.system, topic=entry.topic, keys=entry.keys)

    def _identity(self, system: str, name: str, raw: str) -> dict[str, str]:
        signature = sign(self._secrets(f"{system}_webhook_secret"), raw.encode())
        common = {"Content-Type": "application/json"}
        if system == "shop":
            event = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
            named = {"X-Shopify-Hmac-Sha256": signature, "X-Shopify-Webhook-Id": name, "X-Shopify-Event-Id": event}
            return common | named
        return common | {"X-Shiphero-Hmac-Sha256": signature, "X-Shiphero-Message-ID": name}

    def _note(self, entry: Outgoing, fate: str, **more: Any) -> None:
        self._journal.write(
            "webhook",
            id=entry.id,
            system=entry.system,
            topic=entry.topic,
            keys=entry.keys,
            fate=fate,
            created_at=iso_ms(entry.created_at),
            attempts=entry.attempt + (fate != "lost"),
            **more,
        )
