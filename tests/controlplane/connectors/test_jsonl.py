"""JSON Lines: whole lines of a body that comes in any parts, each fault named by its line; files that are got part by part."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.connectors import jsonl
from controlplane.connectors.http import HttpClient, elsewhere
from controlplane.connectors.jsonl import LineError
from controlplane.connectors.redaction import Redactor
from controlplane.errors import RejectedError, ThrottledError, UnavailableError, UnreadableError
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]


def cut(body: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        yield body[at : at + size]
        at += size
    yield body[at:]


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3), max_size=9),
    st.lists(st.integers(0, 12), max_size=20),
    st.booleans(),
)
def test_lines_are_the_same_however_the_body_is_cut(
    told: list[dict[str, object]], sizes: list[int], ended: bool
) -> None:
    text = "\n".join(json.dumps(one, ensure_ascii=False) for one in told) + ("\n" if ended else "")
    assert [row for _, row in jsonl.rows(cut(text.encode(), sizes))] == told


def test_empty_lines_are_left_out_and_counted_and_windows_ends_are_none() -> None:
    assert list(jsonl.rows([b'{"a":1}\r\n\n', b'  \n{"a":2}'])) == [(1, {"a": 1}), (4, {"a": 2})]


@pytest.mark.parametrize(
    ("body", "line", "told"),
    [
        (b'{"a":1}\n{"a":\n', 2, "is not JSON"),
        (b"[1]\n", 1, "is list, not an object"),
        (b'{"a":1}\n\n\xff\xfe\n', 3, "is not JSON"),
        (b'{"a":1}\n{"cut":"in the mid', 2, "is not JSON"),
    ],
)
def test_a_line_that_is_no_object_is_refused_by_its_number(body: bytes, line: int, told: str) -> None:
    with pytest.raises(LineError, match=f"line {line} {told}") as caught:
        list(jsonl.rows([body]))
    assert caught.value.line == line


def test_a_line_that_does_not_end_is_given_up_before_it_fills_the_memory() -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        yield b'{"a":1}\n'
        while True:
            taken.append(1)
            yield b"x" * 1000

    with pytest.raises(LineError, match="line 2 is longer than 5000 bytes"):
        list(jsonl.rows(endless(), longest=5000))
    assert len(taken) == 6


def client(url: str) -> HttpClient:
    return HttpClient(Given(url).context(), Redactor())


def test_a_file_larger_than_any_answer_that_is_taken_comes_in_parts(scripted: Begin) -> None:
    line = b'{"n":"' + b"x" * 2**16 + b'"}\n'
    server = scripted(lambda _: Reply(body=line * 1100))
    http, count = HttpClient(Given(server.url, timeout=60.0).context(), Redactor()), 0  # 72 MB take long beside load
    for part in http.parts("/file"):
        assert len(part) <= 2**18
        count += len(part)
    assert count == len(line) * 1100 > 64 * 2**20


@contextmanager
def breaking_off(told: bytes) -> Iterator[str]:
    """Serve one request with less than the hundred bytes that are promised."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + told)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=5)


def test_a_file_that_breaks_off_is_unavailable_and_never_whole() -> None:
    got = []
    with breaking_off(b'{"a":1}\n{"a":2}\n') as url, pytest.raises(UnavailableError):
        got.extend(jsonl.rows(client(url).parts("/file")))
    assert len(got) < 3


@pytest.mark.parametrize(("status", "error"), [(403, RejectedError), (429, ThrottledError), (503, UnavailableError)])
def test_a_file_that_is_refused_raises_what_the_status_means(
    bad_server: BadServer, status: int, error: type[Exception]
) -> None:
    bad_server.script(Habit(status, b"no"))
    with pytest.raises(error):
        list(client(bad_server.url).parts("/file"))


def test_a_place_is_free_again_when_the_file_is_left_in_the_middle(scripted: Begin) -> None:
    server = scripted(lambda _: Reply(body=b"x" * 2**20))
    http = HttpClient(Given(server.url, concurrency=1).context(), Redactor())
    coming = http.parts("/file")
    next(coming)
    coming.close()  # type: ignore[attr-defined]  # a generator
    assert http.send("GET", "/next", write=False).status == 200


def test_what_signs_an_address_elsewhere_is_not_kept_as_evidence(bad_server: BadServer) -> None:
    bad_server.script(Habit(404, b"gone: verysecretsignature"))
    context = Given("http://127.0.0.1:1").context()
    given = Given(bad_server.url).context()
    with (
        elsewhere(given, f"{bad_server.url}/results/a.jsonl?sig=verysecretsignature") as (http, path),
        pytest.raises(RejectedError) as caught,
    ):
        list(http.parts(path))
    assert bad_server.asked[0][1] == "/results/a.jsonl?sig=verysecretsignature"
    assert "verysecret" not in f"{caught.value} {caught.value.evidence}"
    for address in ("ftp://host/file", "nothing", "https://user@host/file"):
        with pytest.raises(UnreadableError, match="at an address that is none"), elsewhere(context, address):
            pass
