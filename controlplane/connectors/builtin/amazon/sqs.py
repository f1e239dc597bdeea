"""A queue of SQS that Amazon tells notifications to, by the service's JSON protocol, each request signed by AWS's own rules.

What was received is hidden from others for a while and comes again unless it is deleted, which happens only after it is committed. While
it is held it is kept hidden; given up, it is shown again at once. A standard queue may give a message twice, in any order: a notification
is known by its own id.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from controlplane.connectors.buckets import AwsSignature
from controlplane.connectors.contract import Context, Flaw, Record, Waiting
from controlplane.connectors.http import Answer, HttpClient, with_evidence
from controlplane.connectors.redaction import Redactor
from controlplane.errors import ConnectorError, RejectedError, UnavailableError

URL, REGION = "queue_url", "queue_region"
KEY_ID, SECRET_KEY, TOKEN = "queue_key_id", "queue_secret_key", "queue_session_token"  # names of secrets
SECRETS = (KEY_ID, SECRET_KEY)
DEFAULT_REGION = "us-east-1"
BATCH = 10
"""Messages that one request takes, or deletes, at most."""
HELD = 100
"""Messages that are held at once, and committed together, at most."""
HIDDEN = 120
"""Seconds for which what was received is hidden, unless told; after half of them it is hidden anew."""
LONGEST_WAIT = 20
"""Seconds that the service waits for a first message at most."""
PROTOCOL = "application/x-amz-json-1.0"
_HOST = re.compile(r"^sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")


@dataclass(slots=True)
class _Taken:
    """A message that is held: its receipt, and until when it is hidden, in wall seconds."""

    receipt: str
    until: float


class Queue:
    """One queue: option `queue_url`, and `queue_region` where its host does not tell it. `hidden`: seconds, for what is received."""

    def __init__(self, context: Context, hidden: int = HIDDEN) -> None:
        self.hidden = hidden
        self._context, self._url = context, str(context.options.get(URL, ""))
        parts = urlsplit(self._url)
        named = _HOST.match(parts.hostname or "")
        region = str(context.options.get(REGION) or (named[1] if named else DEFAULT_REGION))
        secret = context.secret(SECRET_KEY)
        token = context.secret(TOKEN) if TOKEN in context.given else None
        endpoint = f"{parts.scheme}://{parts.netloc}"
        self._http = HttpClient(replace(context, endpoint=endpoint, rate=None), Redactor([secret, token or ""]))
        self._auth = AwsSignature(context.secret(KEY_ID), secret, token, "sqs", region)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def receive(self, most: int, wait: int) -> list[dict[str, Any]]:
        """Return messages that nobody else holds, and hide them. Raises ConnectorError."""
        asked = {"MaxNumberOfMessages": most, "WaitTimeSeconds": wait, "VisibilityTimeout": self.hidden}
        answer = self._ask("ReceiveMessage", **asked)
        try:
            found = answer.json().get("Messages") or []
            return [{name: str(one[name]) for name in ("MessageId", "ReceiptHandle", "Body")} for one in found]
        except (KeyError, TypeError, AttributeError):
            answer.fail("answered messages that break their contract")

    def delete(self, receipts: Sequence[str]) -> None:
        """Have messages forgotten. Raises ConnectorError naming those that were not."""
        self._batched("DeleteMessageBatch", receipts, {})

    def hide(self, receipts: Sequence[str], seconds: int) -> None:
        """Keep messages hidden for so long from now on; 0 shows them. Raises ConnectorError."""
        self._batched("ChangeMessageVisibilityBatch", receipts, {"VisibilityTimeout": seconds})

    def waiting(self) -> Waiting:
        """Return how many there are, held ones and delayed ones counted; SQS counts nearly. Raises ConnectorError."""
        names = ["", "NotVisible", "Delayed"]
        asked = [f"ApproximateNumberOfMessages{name}" for name in names]
        answer = self._ask("GetQueueAttributes", AttributeNames=asked)
        try:
            told = answer.json()["Attributes"]
            count = sum(int(told[name]) for name in asked)
        except (ArithmeticError, KeyError, TypeError, ValueError):
            answer.fail("answered attributes that break their contract")
        return Waiting(count, note="SQS tells the age of what waits to CloudWatch only" if count else "")

    def _batched(self, action: str, receipts: Sequence[str], more: Mapping[str, Any]) -> None:
        for at in range(0, len(receipts), BATCH):
            chosen = receipts[at : at + BATCH]
            entries = [{"Id": str(number), "ReceiptHandle": one, **more} for number, one in enumerate(chosen)]
            answer = self._ask(action, Entries=entries)
            body = answer.json()
            failed = body.get("Failed") or [] if isinstance(body, dict) else None
            if not isinstance(failed, list):
                answer.fail(f"answered {action} with something else")
            if failed:
                told = f"{self._context.system}: {action} left out {len(failed)} of {len(chosen)} messages: {failed[0]}"
                raise with_evidence(UnavailableError(f"{told}; they come again"), answer.evidence)

    def _ask(self, action: str, **content: Any) -> Answer:
        headers = {"content-type": PROTOCOL, "x-amz-target": f"AmazonSQS.{action}"}
        body = json.dumps({"QueueUrl": self._url, **content}).encode()
        try:
            return self._http.send("POST", "/", write=False, auth=self._auth, content=body, headers=headers)
        except RejectedError as error:  # a queue that is not there, or not ours, is a trouble of ours, no record's
            told = f"{self._context.system}, {action}: {error}; check {URL}, the secrets, and our rights at the queue"
            raise with_evidence(UnavailableError(told), error.evidence) from error


class NotificationFeed:
    """What was received and is not deleted; never more than `HELD`. For one thread."""

    def __init__(self, context: Context, queue: Queue, record_of: Callable[[bytes, str], Record]) -> None:
        self._context, self._queue, self._record_of = context, queue, record_of
        self._taken: list[_Taken] = []

    def take(self, seconds: float) -> Sequence[Record]:
        """Return what came; wait at most so long for the first, to the next whole second. Raises ConnectorError."""
        self._keep_hidden()
        room = HELD - len(self._taken)
        if room <= 0:
            self._context.clock.wait(threading.Event(), seconds / self._context.clock.pace)
            return []
        found = list(self._received(room, min(LONGEST_WAIT, max(1, math.ceil(seconds)))))
        return [self._record_of(one["Body"].encode(), one["MessageId"]) for one in found]

    def _received(self, room: int, wait: int) -> Iterator[dict[str, Any]]:
        while room > 0:
            until = self._wall() + self._queue.hidden
            messages = self._queue.receive(min(BATCH, room), wait)
            self._taken += [_Taken(one["ReceiptHandle"], until) for one in messages]
            yield from messages
            if len(messages) < BATCH:
                return
            room, wait = room - len(messages), 0

    def acknowledge(self) -> None:
        """Have the queue forget all that was given."""
        self._queue.delete([one.receipt for one in self._taken])
        self._taken = []

    def close(self) -> None:
        """Show again what was not acknowledged. Where that fails it shows by itself, after two minutes at most."""
        with suppress(ConnectorError):
            self._queue.hide([one.receipt for one in self._taken], 0)
        self._taken = []
        self._queue.close()

    def _wall(self) -> float:
        return self._context.clock.stopwatch() * self._context.clock.pace

    def _keep_hidden(self) -> None:
        now = self._wall()
        due = [one for one in self._taken if one.until - now < self._queue.hidden / 2]
        self._queue.hide([one.receipt for one in due], self._queue.hidden)
        for one in due:
            one.until = now + self._queue.hidden


def flaws(_endpoint: str, options: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what is wrong with the address of a queue."""
    url = options.get(URL)
    if url is None:
        return
    parts = urlsplit(str(url))
    whole = parts.scheme in ("https", "http") and parts.hostname and "@" not in parts.netloc and not parts.query
    if not whole or len(parts.path.strip("/").split("/")) != 2:
        yield (
            ("options", URL), f"'{url}' is no address of a queue",
            "write it as SQS tells it: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
        )  # fmt: skip
