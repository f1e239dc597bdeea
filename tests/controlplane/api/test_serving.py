"""A server that ends leaves nothing behind, and cuts nobody off."""

from __future__ import annotations

import threading
from contextlib import suppress

import httpx
import pytest
from flask import Flask

from controlplane.api.serving import serving


@pytest.fixture
def app() -> Flask:
    found = Flask("served")
    found.add_url_rule("/", view_func=lambda: "here")
    return found


def test_no_thread_stays_though_a_client_keeps_its_connection_open(app: Flask) -> None:
    before = set(threading.enumerate())
    with httpx.Client(trust_env=False) as client:
        with serving(app, "web", host="127.0.0.1", port=0, threads=3) as port:
            assert client.get(f"http://127.0.0.1:{port}/").text == "here"
            assert set(threading.enumerate()) > before
        assert set(threading.enumerate()) == before


def test_a_request_under_way_is_answered_and_a_new_one_is_refused(app: Flask) -> None:
    begun, go_on, told, refused = threading.Event(), threading.Event(), list[str](), list[str]()

    @app.get("/slow")
    def slow() -> str:
        begun.set()
        go_on.wait(3)
        return "done"

    def ask(url: str) -> None:
        told.append(httpx.get(f"{url}/slow", trust_env=False).text)

    def meanwhile(url: str) -> None:
        with suppress(httpx.ConnectError):
            while not go_on.is_set():
                httpx.get(url, trust_env=False)
        refused.append("late" if told else "refused")
        go_on.set()

    with serving(app, "web", host="127.0.0.1", port=0, threads=3) as port:
        url = f"http://127.0.0.1:{port}"
        asking = threading.Thread(target=ask, args=(url,))
        asking.start()
        begun.wait(5)
        waiting = threading.Thread(target=meanwhile, args=(url,))
        waiting.start()
    asking.join(5)
    waiting.join(5)
    assert (told, refused) == (["done"], ["refused"])


def test_several_addresses_are_served_and_ended_as_one(app: Flask) -> None:
    before = set(threading.enumerate())
    with serving(app, "web", listen="127.0.0.1:0 127.0.0.1:0", threads=2) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text == "here"
    assert set(threading.enumerate()) == before
