"""Celery's lists in Redis, read by a worker that outlasts what is no task.

Anybody who may write to a Redis may put anything into a list. Kombu takes it off, cannot read it, and the error ends the worker, and the
next one that takes the next such thing. Here it is thrown away and told: a list holds nothing that is not in the database.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis

log = structlog.get_logger()
TRANSPORT = f"{__name__}:Transport"
"""How Celery is told of it (`broker_transport`)."""
UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What reading JSON raises, with the types that kombu knows in it. A lost connection is none of them."""


class Channel(redis.Channel):
    """Takes tasks off lists."""

    handed_on = False
    """Whether what was taken off last could be read: an error is of whoever takes it, then."""

    def _brpop_read(self, **options: Any) -> Any:
        self.handed_on = False
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu has few types
        except UNREADABLE as error:
            if self.handed_on:
                raise
            _told("a list", error)
            raise Empty from None


class Transport(redis.Transport):
    """Hands on what is a task in its envelope, and nothing else."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        for channel in self.channels:
            channel.handed_on = True
        try:
            self._check(message)
        except (*UNREADABLE, AttributeError) as error:
            _told(queue, error)
            return
        super()._deliver(message, queue)  # type: ignore[no-untyped-call]

    def _check(self, message: Any) -> None:
        """Raise unless it can be made a message, and given back should that be needed."""
        read = self.channels[0].Message(message, channel=self.channels[0])
        hash(read.delivery_tag)
        _ = read.delivery_info["exchange"], read.delivery_info["routing_key"]


def _told(queue: str, error: BaseException) -> None:
    log.error(
        "what lay in a queue is no task and was thrown away; see who else writes to this Redis",
        queue=queue, error=type(error).__name__,
    )  # fmt: skip
