"""Logging in to Kafka: by SASL over the wire of a real client, and by TLS only to whom somebody vouches for."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from controlplane.connectors.builtin.kafka.connector import KafkaConnector
from controlplane.errors import SettingsError, UnavailableError
from tests.integration.authority import Authority
from tests.integration.kafka_login import AUTHENTICATE, HANDSHAKE, METADATA, LoginBroker, Plain, Scram
from tests.integration.puts import context_of

Serve = Callable[..., LoginBroker]
WORD = "hush-hush"


@pytest.fixture
def broker() -> Iterator[Serve]:
    """Brokers that want one login."""
    made: list[LoginBroker] = []

    def serve(secured: ssl.SSLContext | None = None, login: Callable[[], Plain | Scram] | None = None) -> LoginBroker:
        made.append(LoginBroker("me", login or partial(Plain, WORD), "events", secured))
        return made[-1]

    yield serve
    for one in made:
        one.close()


def connector(
    broker: LoginBroker,
    scheme: str = "kafka",
    word: str = WORD,
    mechanism: str = "PLAIN",
    host: str = "127.0.0.1",
    **more: str,
) -> KafkaConnector:
    options = {"topic": "events", "group": "g", "sasl": mechanism}
    endpoint = f"{scheme}://{host}:{broker.port}"
    return KafkaConnector(context_of(endpoint, options, 3.0, user="me", password=word, **more))


# --- SASL ---


def test_user_and_password_are_told_before_anything_is_asked(broker: Serve) -> None:
    there = broker()
    connector(there).ping()
    assert set(there.logins) == {("me", WORD)}
    assert there.asked.index(HANDSHAKE) < there.asked.index(AUTHENTICATE) < there.asked.index(METADATA)


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_scram_lets_in_and_never_tells_the_password(broker: Serve, digest: str) -> None:
    there = broker(login=partial(Scram, WORD, digest))
    connector(there, mechanism=f"SCRAM-SHA-{digest[3:]}").ping()
    assert {user for user, _ in there.logins} == {"me"}
    assert WORD not in str(there.logins)
    assert METADATA in there.asked


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_that_is_refused_names_the_secrets_and_tells_none(broker: Serve, mechanism: str) -> None:
    there = broker(login=partial(Plain, WORD) if mechanism == "PLAIN" else partial(Scram, WORD, f"sha{mechanism[-3:]}"))
    with pytest.raises(UnavailableError, match=r"refuses us.*check the secrets user and password") as raised:
        connector(there, word="wrong-word", mechanism=mechanism).ping()
    assert "wrong-word" not in str(raised.value)
    assert METADATA not in there.asked


def test_a_broker_that_does_not_know_the_password_itself_is_asked_nothing(broker: Serve) -> None:
    there = broker(login=partial(Scram, WORD, knows=False))
    with pytest.raises(UnavailableError, match="refuses us"):
        connector(there, mechanism="SCRAM-SHA-256").ping()
    assert there.logins
    assert METADATA not in there.asked


def test_a_mechanism_that_the_cluster_does_not_speak_names_the_option(broker: Serve) -> None:
    there = broker(login=partial(Scram, WORD))
    with pytest.raises(UnavailableError, match=r"refuses us.*the option sasl"):
        connector(there, mechanism="PLAIN").ping()
    assert there.logins == []


# --- TLS ---


def test_a_broker_whose_certificate_nobody_vouches_for_hears_no_login(broker: Serve, tmp_path: Path) -> None:
    there = broker(Authority(tmp_path, "ours").server("IP:127.0.0.1"))
    with pytest.raises(UnavailableError, match="is not reached") as raised:
        connector(there, "kafkas").ping()
    assert "hush" not in str(raised.value)
    assert there.refusals, "the client ended the handshake"
    assert (there.logins, there.asked) == ([], [])


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_broker_that_the_authority_of_ca_vouches_for_is_logged_in_to(
    broker: Serve, tmp_path: Path, mechanism: str
) -> None:
    ours = Authority(tmp_path, "ours")
    login = partial(Plain, WORD) if mechanism == "PLAIN" else partial(Scram, WORD, "sha512")
    there = broker(ours.server("IP:127.0.0.1"), login)
    connector(there, "kafkas", mechanism=mechanism, ca=ours.certificate.read_text()).ping()
    assert there.logins
    assert METADATA in there.asked


def test_a_broker_that_another_authority_vouches_for_hears_no_login(broker: Serve, tmp_path: Path) -> None:
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    there = broker(others.server("IP:127.0.0.1"))
    with pytest.raises(UnavailableError, match="is not reached"):
        connector(there, "kafkas", ca=ours.certificate.read_text()).ping()
    assert (there.logins, there.asked) == ([], [])


def test_a_certificate_for_another_name_is_no_proof(broker: Serve, tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    there = broker(ours.server("DNS:kafka.elsewhere.example"))
    with pytest.raises(UnavailableError, match="is not reached"):
        connector(there, "kafkas", ca=ours.certificate.read_text()).ping()
    assert (there.logins, there.asked) == ([], [])


def test_a_ca_that_is_no_certificate_is_named_and_not_shown(broker: Serve) -> None:
    there = broker()
    with pytest.raises(
        SettingsError, match=r"the secret 'ca' holds no certificate in PEM .*refer to the file"
    ) as raised:
        connector(there, "kafkas", ca="path/of/some.pem").ping()
    assert "some.pem" not in str(raised.value)


def test_a_ca_beside_a_cluster_spoken_to_in_the_open_is_refused_before_a_password_is_told(
    broker: Serve, tmp_path: Path
) -> None:
    there = broker()
    with pytest.raises(SettingsError, match="write kafkas://"):
        connector(there, ca=Authority(tmp_path, "ours").certificate.read_text()).ping()
    assert there.asked == []
