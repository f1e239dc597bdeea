"""A Kafka cluster: how it is logged in to, and which of its brokers may be spoken to.

The client (librdkafka) makes its own connections, so the door cannot hand it sockets. What can be done is done: the endpoint is looked
up by the door, and where there is no certificate to be checked the client gets the checked addresses alone; before anything else is
asked, every broker that the cluster tells of has to pass the door, and so at each opening, write and look. Between two of these looks a
broker that is told of anew, or a name that leads elsewhere meanwhile, is connected to by the client unchecked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from controlplane.connectors.builtin.kafka.address import Address, Login
from controlplane.errors import BlockedAddressError, ConnectorError, RejectedError
from rules.addresses import Pair

REFUSED = frozenset({
    KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED,
})  # fmt: skip
MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
SAID = 0.1
"""Seconds for which a client that failed is heard: it tells why in a call of its own."""
_SILENT = logging.getLogger("controlplane.kafka")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Cluster:
    """The way to one cluster. Raises SettingsError for certificates that are none."""

    def __init__(self, address: Address, login: Login) -> None:
        login.check(address)
        self.address, self.login = address, login
        self.trouble: KafkaError | None = None
        """What the client said last that ends everything."""

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return what a client is made with. Raises BlockedAddressError, OSError where the endpoint leads nowhere."""
        login, address = self.login, self.address
        found = login.door.addresses(address.host, address.port)
        # a certificate is for the name, and has to be checked against it
        hosts = [address.host] if address.secure else found
        sasl = {"sasl.mechanism": address.mechanism, "sasl.username": login.user, "sasl.password": login.password or ""}
        patience = max(1000, int(login.timeout * 1000))
        trusted = {"ssl.ca.pem": login.authorities} if login.authorities else {"ssl.ca.location": "probe"}
        protocol = f"{'SASL_' if login.user else ''}{'SSL' if address.secure else 'PLAINTEXT'}"
        return {
            "bootstrap.servers": ",".join(str(Pair(host, address.port)) for host in hosts),
            "security.protocol": protocol, "client.id": f"trueup {login.system}", "allow.auto.create.topics": False,
            "socket.timeout.ms": patience, "socket.connection.setup.timeout.ms": patience,
            "reconnect.backoff.max.ms": 1000, "error_cb": self._told, "logger": _SILENT, "log_level": 0,
            **(sasl if login.user else {}), **(trusted if address.secure else {}), **more,
        }  # fmt: skip

    def _told(self, error: KafkaError) -> None:
        refused = self.trouble is not None and self.trouble.code() in REFUSED  # that no broker is left follows from it
        if error.code() in REFUSED or (not refused and (error.fatal() or error.code() == KafkaError._ALL_BROKERS_DOWN)):
            self.trouble = error

    def partitions(self) -> dict[int, KafkaError | None]:
        """Check every broker that the cluster tells of; return the topic's partitions, each with what is wrong with it.

        Raises BlockedAddressError, UnavailableError, RejectedError where there is no such topic.
        """
        address, login = self.address, self.login
        self.trouble = None
        client = AdminClient(self.settings())
        try:
            told = client.list_topics(address.topic, timeout=login.timeout)
        except KafkaException as error:
            client.poll(SAID)
            raise KafkaException(self.trouble or error.args[0]) from error
        for broker in told.brokers.values():
            self._admit(str(broker.host), int(broker.port))
        topic = told.topics[address.topic]
        if topic.error is not None and topic.error.code() in MISSING:
            raise RejectedError(
                f"{login.system}: there is no topic '{address.topic}' at {address}; make it, or name another in the System policy"
            )
        if topic.error is not None:
            raise KafkaException(topic.error)
        found = topic.partitions.items()
        return {number: one.error or (None if one.leader >= 0 else _leaderless()) for number, one in found}

    def _admit(self, host: str, port: int) -> None:
        try:
            self.login.door.addresses(host, port)
        except BlockedAddressError as error:
            raise BlockedAddressError(
                f"{error}. It is a broker that the cluster at {self.address} tells of (advertised.listeners); each has to be allowed"
            ) from error

    @contextmanager
    def named(self) -> Iterator[None]:
        """Turn what the client raises into errors that say what to do."""
        try:
            yield
        except ConnectorError:
            raise
        except KafkaException as error:
            told = error.args[0]
            if isinstance(told, KafkaError) and told.code() in REFUSED:
                remedy = "check the secrets user and password, the option sasl, and what that user may do"
                raise self.login.unavailable(self.address, "refuses us", remedy, told.str()) from error
            remedy = "see that it runs and that the endpoint is right; what waits there is taken when it is back"
            raise self.login.unavailable(self.address, "is not reached", remedy, _words(told)) from error
        except OSError as error:
            remedy = "see that it runs and that the endpoint is right; what waits there is taken when it is back"
            raise self.login.unavailable(self.address, "is not reached", remedy, error) from error


def _leaderless() -> KafkaError:
    return KafkaError(KafkaError.LEADER_NOT_AVAILABLE)


def _words(told: object) -> str:
    return told.str() if isinstance(told, KafkaError) else str(told)
