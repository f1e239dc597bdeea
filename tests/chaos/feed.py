"""A source that posts messages until each is acknowledged, as real ones do: in order per key, and some of them twice."""

from __future__ import annotations

import itertools
import json
import random
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

SOURCE = "feed"
DOCUMENT, LEVEL = "receipt.received", "stock.level"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
LAST = (5, 3, 5)
"""How every level ends: the last value is one that was there before."""


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent."""

    id: str
    type: str
    subject: str
    time: datetime
    data: dict[str, Any]

    @property
    def version(self) -> int:
        """The place of a level in the source's own order: its change time in microseconds since the epoch."""
        return (self.time - EPOCH) // timedelta(microseconds=1)

    @property
    def body(self) -> bytes:
        """The event as JSON, in structured mode, in one line."""
        told = {
            "specversion": "1.0", "id": self.id, "source": SOURCE, "type": self.type, "subject": self.subject,
            "time": self.time.isoformat(), "datacontenttype": "application/json", "data": self.data,
        }  # fmt: skip
        return json.dumps(told).encode()


def receipt(number: int, place: int) -> Event:
    """Goods received: a document of its own. `place`: its place in the run."""
    ref, at = f"R-{number:06}", BEGIN + timedelta(milliseconds=place)
    lines = [{"sku": f"S-{number % 97:03}", "quantity": 1 + number % 7}]
    data = {
        "receipt": ref, "purchase_order": f"PO-{number // 10:05}", "location": "WH1", "received_at": at.isoformat(),
        "lines": lines,
    }  # fmt: skip
    return Event(f"receipt-{number:06}", DOCUMENT, ref, at, data)


def level(sku: str, value: int, place: int) -> Event:
    """What the source holds of a SKU at a place in the run; its change time grows with the place."""
    at = BEGIN + timedelta(milliseconds=place)
    data = {
        "sku": sku, "location": "WH1", "on_hand": value, "allocated": 0, "available": value, "in_transit": 0,
        "source_at": at.isoformat(),
    }  # fmt: skip
    return Event(f"level-{sku}-{place:07}", LEVEL, f"{sku}@WH1", at, data)


def season(seed: int, documents: int, keys: int, updates: int) -> list[Event]:
    """Return a run: documents and level updates mixed; each key gets `updates` values, the last three of them 5, 3, 5."""
    chance = random.Random(seed)
    slots = [None] * documents + [f"K-{key:03}" for key in range(keys) for _ in range(updates)]
    chance.shuffle(slots)
    left, numbers = Counter(slots), itertools.count()
    events = []
    for place, sku in enumerate(slots):
        left[sku] -= 1
        if sku is None:
            events.append(receipt(next(numbers), place))
        else:
            value = chance.randrange(100) if left[sku] >= len(LAST) else LAST[-1 - left[sku]]
            events.append(level(sku, value, place))
    return events


Send = Callable[[httpx.Client, Sequence[Event]], httpx.Response]


def by_webhook(client: httpx.Client, batch: Sequence[Event]) -> httpx.Response:
    """Post events to the source's webhook, one request each; return the first answer that is no success, or the last."""
    for event in batch:
        answer = client.post(
            f"/hooks/{SOURCE}", content=event.body, headers={"Content-Type": "application/cloudevents+json"}
        )
        if answer.is_error:
            break
    return answer


def by_api(token: str) -> Send:
    """Return what posts events to the API, as one NDJSON request."""

    def send(client: httpx.Client, batch: Sequence[Event]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
        body = b"\n".join(event.body for event in batch)
        return client.post("/api/v1/messages", content=body, headers=headers)

    return send


class RefusedError(Exception):
    """The plane refuses what was posted, so that posting it again is useless."""


class Feed:
    """Posts events over several lanes, each key always on the same one, and goes on with a key when it is acknowledged."""

    def __init__(
        self,
        url: str,
        events: Sequence[Event],
        send: Send,
        *,
        seed: int,
        lanes: int = 4,
        many: int = 1,
        again: float = 0.05,
        may: Callable[[Feed], bool] | None = None,
    ) -> None:
        """`many`: events in a request, at most; `again`: share of requests that are sent a second time after they were
        acknowledged; `may`: whether to post more now."""
        self.events = list(events)
        self.acknowledged: list[Event] = []
        self.documents = 0
        """How many of them are documents."""
        self.repeated = 0
        """Requests that were sent again, on purpose or because nothing was answered."""
        self._url, self._send, self._many, self._again = url, send, many, again
        self._may = may or (lambda _: True)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._errors: list[BaseException] = []
        parts = [[event for event in events if lane_of(event, lanes) == lane] for lane in range(lanes)]
        self._threads = [
            threading.Thread(
                target=self._run, args=(part, random.Random(seed + lane)), name=f"lane-{lane}", daemon=True
            )
            for lane, part in enumerate(parts)
        ]

    @property
    def done(self) -> bool:
        """Whether everything was acknowledged. Raises what a lane has run into."""
        if self._errors:
            raise self._errors[0]
        return not any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Begin to post."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop posting; what is under way is finished."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _run(self, events: list[Event], chance: random.Random) -> None:
        try:
            with httpx.Client(base_url=self._url, trust_env=False, timeout=30) as client:
                while events and not self._stop.is_set():
                    size = chance.randint(1, self._many)
                    batch, events = events[:size], events[size:]
                    self._post(client, batch, chance)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the feed
            self._errors.append(error)

    def _post(self, client: httpx.Client, batch: list[Event], chance: random.Random) -> None:
        while not self._may(self) and not self._stop.wait(0.02):
            pass
        tries = 0
        while not self._stop.is_set():
            tries += 1
            if self._taken(client, batch):
                break
            self._stop.wait(0.1)
        else:
            return
        with self._lock:
            self.acknowledged += batch
            self.documents += sum(event.type == DOCUMENT for event in batch)
            self.repeated += tries - 1
        if chance.random() < self._again and self._taken(client, batch):
            with self._lock:
                self.repeated += 1

    def _taken(self, client: httpx.Client, batch: list[Event]) -> bool:
        """Whether the plane has acknowledged the batch. Raises RefusedError when it never will."""
        try:
            answer = self._send(client, batch)
        except httpx.TransportError:
            return False
        wrong = answer.is_client_error and answer.status_code != httpx.codes.TOO_MANY_REQUESTS
        if wrong or answer.status_code == httpx.codes.MULTI_STATUS:  # some lines were refused
            raise RefusedError(f"{answer.request.url} answered {answer.status_code}: {answer.text[:500]}")
        return answer.is_success


def lane_of(event: Event, lanes: int) -> int:
    """Return the lane of an event: that of its key, in every run."""
    return zlib.crc32(event.subject.encode()) % lanes
