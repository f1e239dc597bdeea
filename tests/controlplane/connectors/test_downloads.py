"""A file that breaks off is read on, where it is surely the same file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors import jsonl
from controlplane.connectors.downloads import RESUMED
from controlplane.connectors.http import HttpClient
from controlplane.connectors.redaction import Redactor
from controlplane.errors import UnavailableError
from tests.controlplane.connectors.conftest import START, Given

FILE = b"".join(b'{"n":%d}\n' % number for number in range(200_000))


class Breaking:
    """A store of files that breaks each answer off after so many bytes; and may hold another file meanwhile."""

    def __init__(self, after: int, *, mark: str = '"1"', ranges: bool = True, renewed: bool = False) -> None:
        self.after, self.mark, self.ranges, self.renewed = after, mark, ranges, renewed
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.give(self)

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def give(self, handler: BaseHTTPRequestHandler) -> None:
        told = handler.headers.get("range", "")
        self.asked.append(told)
        mark = '"2"' if self.renewed and told else self.mark
        ranged = bool(told) and self.ranges and handler.headers.get("if-range") == mark
        begin = int(told.removeprefix("bytes=").rstrip("-")) if ranged else 0
        handler.send_response(206 if ranged else 200)
        if ranged:
            handler.send_header("Content-Range", f"bytes {begin}-{len(FILE) - 1}/{len(FILE)}")
        if self.ranges:
            handler.send_header("Accept-Ranges", "bytes")
        if mark:
            handler.send_header("ETag", mark)
        handler.send_header("Content-Length", str(len(FILE) - begin))
        handler.end_headers()
        handler.wfile.write(FILE[begin : begin + self.after])
        handler.close_connection = True

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def breaking() -> Iterator[Callable[..., Breaking]]:
    made: list[Breaking] = []

    def begin(after: int, **habits: Any) -> Breaking:
        made.append(Breaking(after, **habits))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def test_a_file_that_breaks_off_is_read_on_from_where_it_did(breaking: Callable[..., Breaking]) -> None:
    store = breaking(len(FILE) // 3)
    context = Given(store.url, clock=ManualClock(START)).context()
    got = [row["n"] for _, row in jsonl.rows(HttpClient(context, Redactor()).parts("/file"))]
    assert got == list(range(200_000))
    assert store.asked[0] == ""
    assert len(store.asked) >= 3, "each time from where it broke off"
    assert len(set(store.asked)) == len(store.asked)


@pytest.mark.parametrize("habits", [{"mark": ""}, {"mark": 'W/"1"'}, {"ranges": False}, {"renewed": True}], ids=str)
def test_what_may_be_another_file_by_now_is_not_read_on(
    breaking: Callable[..., Breaking], habits: dict[str, Any]
) -> None:
    store = breaking(len(FILE) // 3, **habits)
    context = Given(store.url, clock=ManualClock(START)).context()
    with pytest.raises(UnavailableError):
        list(jsonl.rows(HttpClient(context, Redactor()).parts("/file")))


def test_a_file_that_does_not_get_on_is_given_up(breaking: Callable[..., Breaking]) -> None:
    store = breaking(len(FILE) // 2)
    context = Given(store.url, clock=ManualClock(START)).context()
    coming = HttpClient(context, Redactor()).parts("/file")
    next(coming)
    store.after = 0
    with pytest.raises(UnavailableError):
        list(coming)
    assert len(store.asked) == 1 + RESUMED
