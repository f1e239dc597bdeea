"""The load generator, against a real server on loopback."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.dispatch import jobs, load

Taken = list[bytes]


class Server(ThreadingHTTPServer):
    taken: Taken
    status = 200


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append(body)
        answer = b'{"accepted": true}'
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[:5])
        self.wfile.flush()
        self.wfile.write(answer[5:])  # an answer that comes in pieces is still one

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.taken = []
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_flood_sends_every_request_once_over_its_clients(server: Server) -> None:
    with load.Crowd(server.server_port, 8) as crowd:
        measured = load.flood(crowd, load.requests("/", "token", 3, 50))
    assert sorted(server.taken) == [jobs.event(number) for number in range(3, 53)]
    assert measured["messages"] == 50
    assert measured["rate"] > 0


def test_paced_requests_are_timed_from_when_they_were_due(server: Server) -> None:
    due: dict[int, float] = {}
    with load.Crowd(server.server_port, 4) as crowd:
        load.pace(crowd, load.requests("/", "token", 10, 20), 10, 500.0, due.__setitem__)
    assert sorted(server.taken) == [jobs.event(number) for number in range(10, 30)]
    gaps = [due[number + 1] - due[number] for number in range(10, 29)]
    assert gaps == pytest.approx([1 / 500] * 19)


def test_an_answer_other_than_2xx_ends_the_load_with_what_was_said(server: Server) -> None:
    server.status = 503
    with load.Crowd(server.server_port, 1) as crowd, pytest.raises(RuntimeError, match="503"):
        load.flood(crowd, load.requests("/", "token", 0, 4))
