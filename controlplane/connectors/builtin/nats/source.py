"""A stream read by a durable pull consumer of the plane's own: what was not acknowledged is given again, in its order.

The server gives again what was left unacknowledged only after a while, in whatever order, and new messages meanwhile. So what comes is held
back until all that was left is there, and is then given in the order of the stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from nats import errors
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import NotFoundError

from controlplane.connectors.builtin.nats.address import Address
from controlplane.connectors.builtin.nats.link import Link, named
from controlplane.connectors.contract import Record, Waiting
from controlplane.connectors.events import gap_of, record_at
from controlplane.errors import RejectedError

ACK_WAIT = 10.0
"""Seconds after which the server gives again what was not acknowledged; while it is held here the server is told so."""


def look(link: Link) -> ConsumerInfo | None:
    """Return the consumer, or None where there is none yet. Raises RejectedError for a stream or consumer that cannot be used."""
    address, login = link.address, link.login
    try:
        link.run(link.js.stream_info(address.stream), login.timeout)
    except NotFoundError as error:
        raise RejectedError(
            f"{login.system}: there is no stream '{address.stream}' at {address}; make it, or name another in the System policy"
        ) from error
    try:
        found: ConsumerInfo = link.run(link.js.consumer_info(address.stream, address.group), login.timeout)
    except NotFoundError:
        return None
    if flaw := _flaw(found.config, address):
        raise RejectedError(
            f"{login.system}: the consumer '{address.group}' of the stream '{address.stream}' at {address} {flaw}; remove it, or name "
            "another group in the System policy"
        )
    return found


def _flaw(config: ConsumerConfig, address: Address) -> str:
    if config.deliver_subject:
        return "is pushed to, and is not pulled from"
    if config.ack_policy not in (AckPolicy.EXPLICIT, None):
        return f"is acknowledged otherwise than each message by itself ({config.ack_policy})"
    if config.max_deliver not in (None, -1, 0):
        return f"throws away what was given {config.max_deliver} times"
    if (config.filter_subject or "") != address.subject:
        return f"reads the subject '{config.filter_subject or '>'}', and policy says '{address.subject or '>'}'"
    return ""


def waiting(link: Link) -> Waiting:
    """Return how many the consumer has not been given or has not acknowledged. Raises UnavailableError."""
    address, login = link.address, link.login
    try:
        found = link.run(link.js.consumer_info(address.stream, address.group), login.timeout)
    except NotFoundError:
        return Waiting(
            None,
            note=f"the stream '{address.stream}' at {address} or its consumer '{address.group}' is not there, so nothing was read",
        )
    if found.num_pending is None or found.num_ack_pending is None:
        return Waiting(None, note="the server does not tell how much is pending")
    count = int(found.num_pending + found.num_ack_pending)
    return Waiting(count, _oldest(link, found) if count else None)


def _oldest(link: Link, found: ConsumerInfo) -> datetime | None:
    floor = found.ack_floor.stream_seq if found.ack_floor else 0
    asked = link.js.get_msg(link.address.stream, seq=floor + 1, subject=link.address.subject or ">", next=True)
    try:
        at = link.run(asked, link.login.timeout).time
    except (NotFoundError, errors.Error):
        return None
    return at.astimezone(UTC) if isinstance(at, datetime) else None


class Feed:
    """What the consumer was given and has not acknowledged: never more than `prefetch`."""

    def __init__(self, link: Link) -> None:
        self._link, self._address, self._login = link, link.address, link.login
        with self._named():
            found = look(link)
            if found is None:
                found = link.run(link.js.add_consumer(link.address.stream, _config(link.address)), link.login.timeout)
            asked = link.js.pull_subscribe_bind(durable=link.address.group, stream=link.address.stream)
            self._pull = link.run(asked, link.login.timeout)
        self._held: list[Any] = []
        self._early: list[Any] = []
        """What came and is not given yet, because not all of what was left is there."""
        self._left = int(found.num_ack_pending or 0)
        self._given_before = found.delivered.stream_seq if found.delivered else 0
        self._seen = found.ack_floor.stream_seq if found.ack_floor else 0
        """The last message of the stream that was given, or that is acknowledged."""
        now = time.monotonic()
        self._patience, self._told_at = now + 3 * ACK_WAIT, now

    def _named(self) -> Any:
        return named(self._address, self._login)

    def take(self, seconds: float) -> Sequence[Record]:
        """Return what was left, then what is new; wait for the first."""
        with self._named():
            self._hold()
            room = self._address.held - len(self._held) - len(self._early)
            if room <= 0:
                self._link.run(asyncio.sleep(seconds), seconds + 1)
                return self._ordered([])
            return self._ordered(self._fetched(room, seconds))

    def _fetched(self, room: int, seconds: float) -> list[Any]:
        try:
            return self._link.run(self._pull.fetch(room, seconds), seconds + self._login.timeout)
        except (TimeoutError, errors.TimeoutError) as error:
            if not self._link.is_connected:
                raise errors.ConnectionClosedError from error
            return []

    def _hold(self) -> None:
        """Tell the server that what is held is being worked on."""
        if time.monotonic() - self._told_at < ACK_WAIT / 3:
            return
        self._told_at = time.monotonic()
        held = [*self._held, *self._early]
        if not self._link.is_alive():
            raise errors.ConnectionClosedError
        if held:
            self._link.run(_each(held, "in_progress"), self._login.timeout)

    def _ordered(self, came: list[Any]) -> list[Record]:
        self._early += came
        self._left -= sum(_seq(one) <= self._given_before for one in came)
        if self._left > 0 and time.monotonic() < self._patience:  # what was removed meanwhile does not come
            return []
        given, self._early = sorted(self._early, key=_seq), []
        self._held += given
        return [record for one in given for record in self._records(one)]

    def _records(self, message: Any) -> list[Record]:
        seq, address = _seq(message), self._address
        lost = seq - self._seen - 1
        found = [record_at(f"{address.stream}/{seq}", message.data)]
        if lost > 0 and not address.subject:  # of a part of a stream the others' numbers are missing
            found.insert(
                0, gap_of(stream=address.stream, group=address.group, after=self._seen, before=seq, count=lost)
            )
        self._seen = max(self._seen, seq)
        return found

    def acknowledge(self) -> None:
        """Acknowledge what was given, and wait until the server has it."""
        with self._named():
            held, self._held = self._held, []
            self._link.run(_acknowledged(held, self._login.timeout), self._login.timeout + 1)

    def close(self) -> None:
        """Give back what was not acknowledged, and end the connection."""
        with suppress(Exception):
            self._link.run(_each([*self._held, *self._early], "nak"), 1)
            self._link.is_alive()
        self._link.close()


def _config(address: Address) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=address.group, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT, max_deliver=-1,
        deliver_policy=DeliverPolicy.ALL, max_ack_pending=address.held, filter_subject=address.subject or None,
    )  # fmt: skip


def _seq(message: Any) -> int:
    return int(message.metadata.sequence.stream)


async def _each(messages: list[Any], what: str) -> None:
    for message in messages:
        await getattr(message, what)()


async def _acknowledged(messages: list[Any], timeout: float) -> None:
    """All but the last without an answer; they arrive in order, so its answer is theirs."""
    if messages:
        await _each(messages[:-1], "ack")
        await messages[-1].ack_sync(timeout=timeout)
