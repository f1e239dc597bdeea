"""An exchange of RabbitMQ that events are put into: persistent, confirmed, and mandatory, so that none is thrown away for want of a queue.

RabbitMQ knows no repetition and cannot be asked for one event: what is told again after an unknown outcome may lie there twice.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from amqp import Connection, Message
from amqp.exceptions import AccessRefused, AMQPError, MessageNacked, NotFound

from controlplane.connectors.builtin.broker import rabbitmq
from controlplane.connectors.contract import Write
from controlplane.connectors.events import CONTENT_TYPE, event_of, headers_of
from controlplane.errors import UnknownOutcomeError
from rules.outcomes import Outcome, Result

PERSISTENT = 2


class Outlet(rabbitmq.Broker):
    """A virtual host of RabbitMQ, and an exchange in it."""

    confirms = True

    def look(self) -> None:
        """Log in. Raises UnavailableError."""
        with self.named():
            self.connected().close()

    def put(self, request: Write) -> Outcome:
        """Publish an event and wait until the broker has it. Raises ConnectorError."""
        with self.named():
            connection = self.connected()
        try:
            return self._put(connection, request)
        finally:
            with suppress(Exception):
                connection.close()

    def find(self, request: Write, now: datetime) -> Outcome:
        """Answer UNKNOWN: nothing can be looked up."""
        return Outcome(Result.UNKNOWN, "RabbitMQ cannot be asked for one event; look at those who read it")

    def _put(self, connection: Connection, request: Write) -> Outcome:
        address, returned = self.address, list[Any]()
        message = Message(
            event_of(request), delivery_mode=PERSISTENT, content_type=CONTENT_TYPE, message_id=request.idempotency_key,
            application_headers=headers_of(request),
        )  # fmt: skip
        key = address.routing_key or request.entity
        try:
            with connection.channel() as channel:
                channel.events["basic_return"].add(lambda *told: returned.append(told))
                channel.basic_publish(
                    message,
                    address.exchange,
                    key,
                    mandatory=True,
                    timeout=self.login.timeout,
                    confirm_timeout=self.login.timeout,
                )
        except (NotFound, AccessRefused) as error:
            remedy = f"see that there is an exchange '{address.exchange}', and that the user may write to it"
            raise self.login.unavailable(address, "did not take the event", remedy, error) from error
        except MessageNacked as error:
            raise UnknownOutcomeError(
                f"{self.login.system}: a queue at {address} refused the event; another may have it"
            ) from error
        except (AMQPError, OSError) as error:
            raise UnknownOutcomeError(
                f"{self.login.system}: {address} did not confirm an event; it may lie there"
            ) from error
        if returned:
            remedy = "bind a queue, or correct exchange and routing_key in the System policy"
            what = f"has no queue for what goes to '{address.exchange}' by '{key}', and gave it back"
            raise self.login.unavailable(address, what, remedy, returned[0][0])
        return Outcome(Result.DELIVERED)
