"""Logging in to Kafka: by SASL over the wire of a real client, and by TLS only to whom somebody vouches for."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.connectors.builtin.kafka.connector import KafkaConnector
from controlplane.errors import UnavailableError
from tests.integration.kafka_login import AUTHENTICATE, HANDSHAKE, METADATA, LoginBroker
from tests.integration.puts import context_of

Serve = Callable[..., LoginBroker]


@pytest.fixture
def broker() -> Iterator[Serve]:
    """Brokers that want one login."""
    made: list[LoginBroker] = []

    def serve(secured: ssl.SSLContext | None = None) -> LoginBroker:
        made.append(LoginBroker("me", "hush-hush", "events", secured))
        return made[-1]

    yield serve
    for one in made:
        one.close()


def connector(broker: LoginBroker, scheme: str = "kafka", word: str = "hush-hush") -> KafkaConnector:
    endpoint = f"{scheme}://127.0.0.1:{broker.port}"
    return KafkaConnector(context_of(endpoint, {"topic": "events", "group": "g"}, 3.0, user="me", password=word))


def test_user_and_password_are_told_before_anything_is_asked(broker: Serve) -> None:
    there = broker()
    connector(there).ping()
    assert set(there.logins) == {("me", "hush-hush")}
    assert there.asked.index(HANDSHAKE) < there.asked.index(AUTHENTICATE) < there.asked.index(METADATA)


def test_a_login_that_is_refused_names_the_secrets_and_tells_none(broker: Serve) -> None:
    there = broker()
    with pytest.raises(UnavailableError, match=r"refuses us.*check the secrets user and password") as raised:
        connector(there, word="wrong-word").ping()
    assert "wrong-word" not in str(raised.value)
    assert METADATA not in there.asked


def test_a_broker_whose_certificate_nobody_vouches_for_hears_no_login(broker: Serve, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    about = ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, *about], check=True, capture_output=True)
    secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secured.load_cert_chain(certificate, key)
    there = broker(secured)
    with pytest.raises(UnavailableError, match="is not reached") as raised:
        connector(there, "kafkas").ping()
    assert "hush" not in str(raised.value)
    assert there.refusals, "the client ended the handshake"
    assert (there.logins, there.asked) == ([], [])
