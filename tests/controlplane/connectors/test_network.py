"""The guarded way to the network: looked up once, all answers checked, connected to one that was; by HTTP, TLS and raw."""

from __future__ import annotations

import datetime as dt
import ssl
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controlplane.connectors.builtin.broker.connector import BrokerConnector
from controlplane.connectors.http import HttpClient
from controlplane.connectors.network import Door
from controlplane.connectors.outcomes import outcome_of
from controlplane.connectors.redaction import Redactor
from controlplane.connectors.transport import PinnedTransport
from controlplane.errors import BlockedAddressError, UnavailableError
from rules.addresses import Pair
from rules.outcomes import Result
from tests.addresses import opened
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.connectors.conftest import Given

NAME = "shop.test"
LOOPBACK = "127.0.0.1"


class Names:
    """A resolver whose answers the test gives in turn; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers, self.asked = list(answers), []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


def client(url: str, resolve: Names, *internal: str) -> HttpClient:
    given = Given(url, internal=frozenset(map(Pair.read, internal)), resolve=resolve)
    return HttpClient(given.context(), Redactor())


def test_a_name_of_which_one_address_is_private_is_refused_before_anything_is_sent(bad_server: BadServer) -> None:
    names = Names(["93.184.216.34", "10.0.0.7"])
    http = client("http://shop.example/", names)
    with pytest.raises(BlockedAddressError) as found:
        http.send("POST", "/orders", write=True, json={"n": 1})
    told = str(found.value)
    assert told == (
        "System 'theirs': no connection was made: shop.example:80 leads to 10.0.0.7, which is private; if that is meant, add "
        "'shop.example:80' to spec.internal of the System policy; else correct the endpoint in the System policy"
    )
    assert found.value.evidence["request"]["url"] == "http://shop.example/orders"
    assert outcome_of(found.value).result is Result.UNAVAILABLE


def test_the_metadata_service_is_refused_by_address_and_by_name() -> None:
    for url, answer in (
        ("http://169.254.169.254", []),
        ("http://vendor.example", ["169.254.169.254"]),
        ("http://[fd00:ec2::254]", []),
    ):
        with pytest.raises(BlockedAddressError, match="metadata service of a cloud; no policy can allow that"):
            client(url, Names(answer)).send("GET", "/latest/meta-data/", write=False)


def test_a_stated_pair_is_reached_and_another_port_of_its_host_is_not(bad_server: BadServer) -> None:
    with BadServerBeside() as beside:
        pair = f"{LOOPBACK}:{port_of(bad_server.url)}"
        assert client(bad_server.url, Names([]), pair).send("GET", "/", write=False).status == 200
        with pytest.raises(BlockedAddressError, match="is loopback; if that is meant, add"):
            client(beside.url, Names([]), pair).send("GET", "/", write=False)
        assert beside.asked == []


class BadServerBeside:
    """A second server, for what must not be reached."""

    def __enter__(self) -> BadServer:
        self._server = BadServer()
        return self._server

    def __exit__(self, *_: object) -> None:
        self._server.close()


def test_the_connection_goes_to_the_address_that_was_checked_and_keeps_the_name(bad_server: BadServer) -> None:
    port = port_of(bad_server.url)
    names = Names([LOOPBACK], ["10.0.0.7"])  # whoever looked it up a second time would be led elsewhere
    http = client(f"http://{NAME}:{port}", names, f"{LOOPBACK}:{port}")
    assert http.send("GET", "/", write=False).status == 200
    assert names.asked == [(NAME, port)]
    assert bad_server.asked[0][2]["host"] == f"{NAME}:{port}"


def test_each_new_connection_is_checked_anew(bad_server: BadServer) -> None:
    port = port_of(bad_server.url)
    names = Names([LOOPBACK], ["169.254.169.254"])
    http = client(f"http://{NAME}:{port}", names, f"{LOOPBACK}:{port}")
    bad_server.script(Habit(cut=True))
    with pytest.raises(UnavailableError, match="no answer"):
        http.send("GET", "/", write=False)
    with pytest.raises(BlockedAddressError):
        http.send("GET", "/", write=False)


def test_the_next_address_is_tried_when_one_does_not_answer(bad_server: BadServer) -> None:
    port = port_of(bad_server.url)
    names = Names(["127.0.0.9", LOOPBACK])
    http = client(f"http://{NAME}:{port}", names, f"127.0.0.9:{port}", f"{LOOPBACK}:{port}")
    assert http.send("GET", "/", write=False).status == 200


def test_a_name_that_leads_nowhere_is_an_outage() -> None:
    http = client("http://no.example", Names([]))
    with pytest.raises(UnavailableError, match=r"nothing was sent: 'no\.example' leads to no address"):
        http.send("GET", "/", write=False)


def test_a_redirect_to_a_blocked_address_is_not_followed_by_who_follows_redirects(bad_server: BadServer) -> None:
    port = port_of(bad_server.url)
    door = Door("theirs", opened(bad_server.url))
    with (
        BadServerBeside() as beside,
        httpx.Client(
            transport=PinnedTransport(door, httpx.Limits()), follow_redirects=True, trust_env=False
        ) as following,
    ):
        for target in (
            f"{beside.url}/inside",
            "http://169.254.169.254/latest",
            "http://[::1]/x",
            "http://2130706433/x",
        ):
            bad_server.script(Habit(302, b"", Location=target))
            with pytest.raises(BlockedAddressError):
                following.get(bad_server.url)
        bad_server.script(Habit(302, b"", Location=f"http://{LOOPBACK}:{port}/there"), Habit())
        assert following.get(bad_server.url).status_code == 200
        assert beside.asked == []


def test_the_shared_client_follows_no_redirect(bad_server: BadServer) -> None:
    with BadServerBeside() as beside:
        bad_server.script(Habit(302, b"", Location=f"{beside.url}/inside"))
        http = client(bad_server.url, Names([]), f"{LOOPBACK}:{port_of(bad_server.url)}")
        answer = http.send("GET", "/", write=False, accept=(302,))
        assert (answer.status, beside.asked) == (302, [])


def test_proxies_of_the_environment_are_passed_over(bad_server: BadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with BadServerBeside() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        http = client(bad_server.url, Names([]), f"{LOOPBACK}:{port_of(bad_server.url)}")
        assert http.send("GET", "/", write=False).status == 200
        assert proxy.asked == []


# --- TLS ---


class SecureServer:
    """A server on loopback whose certificate is for one name; it keeps the names that it was asked by."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "cert.pem"
        self.sni: list[str | None] = []
        self.hosts: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.hosts.append(self.headers["host"])
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certified(NAME, self.certificate))
        context.sni_callback = lambda _, name, __: self.sni.append(name)
        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a refused handshake is what is tested
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _certified(name: str, path: Path) -> Path:
    """Write a certificate for the name, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[SecureServer]:
    """A server that speaks TLS."""
    server = SecureServer(tmp_path)
    yield server
    server.close()


def trusting(secure: SecureServer, names: Names) -> httpx.Client:
    """A client that trusts the server's certificate, and reaches it through an allowed pair."""
    door = Door("theirs", frozenset({Pair(LOOPBACK, secure.port)}), names)
    verify = ssl.create_default_context(cafile=str(secure.certificate))
    return httpx.Client(transport=PinnedTransport(door, httpx.Limits(), verify), trust_env=False)


def test_tls_is_by_the_name_though_the_connection_is_to_the_address(secure: SecureServer) -> None:
    with trusting(secure, Names([LOOPBACK])) as client:
        assert client.get(f"https://{NAME}:{secure.port}/").status_code == 200
    assert (secure.sni, secure.hosts) == ([NAME], [f"{NAME}:{secure.port}"])


def test_a_certificate_for_another_name_is_refused(secure: SecureServer) -> None:
    with (
        trusting(secure, Names([LOOPBACK])) as client,
        pytest.raises(httpx.ConnectError, match="certificate verify failed"),
    ):
        client.get(f"https://other.test:{secure.port}/")
    assert (secure.sni, secure.hosts) == (["other.test"], [])


def test_a_certificate_that_nobody_vouches_for_is_refused_by_the_shared_client(secure: SecureServer) -> None:
    http = client(f"https://{NAME}:{secure.port}", Names([LOOPBACK]), f"{LOOPBACK}:{secure.port}")
    with pytest.raises(UnavailableError, match="certificate verify failed"):
        http.send("GET", "/", write=False)
    assert secure.hosts == []


# --- brokers ---


def broker(endpoint: str, resolve: Names, *internal: str) -> BrokerConnector:
    internal_pairs = frozenset(map(Pair.read, internal))
    given = Given(endpoint, options={"queue": "sales"}, internal=internal_pairs, resolve=resolve)
    return BrokerConnector(given.context())


@pytest.mark.parametrize("scheme", ["amqp", "amqps", "redis", "rediss"])
def test_a_broker_at_a_blocked_address_is_not_connected_to(scheme: str, bad_server: BadServer) -> None:
    port = port_of(bad_server.url)
    for answer in ([LOOPBACK], ["93.184.216.34", "192.168.0.4"]):
        taking = broker(f"{scheme}://bus.example:{port}/0", Names(answer))
        for attempt in (taking.ping, taking.consume):
            with pytest.raises(BlockedAddressError, match=f"bus.example:{port} leads to {answer[-1]}"):
                attempt()


@pytest.mark.parametrize("scheme", ["amqps", "rediss"])
def test_a_broker_shows_its_certificate_for_the_name_in_the_policy(scheme: str, secure: SecureServer) -> None:
    names = Names([LOOPBACK], ["10.0.0.7"])
    taking = broker(f"{scheme}://{NAME}:{secure.port}/0", names, f"{LOOPBACK}:{secure.port}")
    with pytest.raises(UnavailableError, match="certificate verify failed"):
        taking.ping()
    assert (secure.sni, names.asked) == ([NAME], [(NAME, secure.port)])
