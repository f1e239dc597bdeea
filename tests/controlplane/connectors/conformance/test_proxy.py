"""The proxy of the conformance suite does to a request what was ordered, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from controlplane.connectors.conformance import faults
from controlplane.connectors.conformance.proxy import Proxy
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.connectors.scripted import Reply, ScriptedServer


@pytest.fixture
def server() -> Iterator[BadServer]:
    found = BadServer()
    found.script(Habit(200, b'{"rows": [{"price": "1.50"}]}', X_Left="7"))
    yield found
    found.close()


@pytest.fixture
def proxy(server: BadServer) -> Iterator[Proxy]:
    found = Proxy(f"{server.url}/api")
    yield found
    found.close()


def ask(proxy: Proxy, path: str = "/rows?limit=2", **more: str) -> httpx.Response:
    return httpx.post(proxy.endpoint + path, content=b'{"a": 1}', headers=more, timeout=2, trust_env=False)


def test_what_nobody_ordered_anything_for_passes_as_it_is(server: BadServer, proxy: Proxy) -> None:
    answer = ask(proxy, authorization="Bearer x")
    method, path, headers, body = server.asked[0]
    assert (method, path, body) == ("POST", "/api/rows?limit=2", b'{"a": 1}')
    assert headers["authorization"] == "Bearer x"
    assert headers["host"] == proxy.endpoint.split("/")[2]
    assert (answer.status_code, answer.headers["x-left"], answer.json()) == (200, "7", {"rows": [{"price": "1.50"}]})


def test_each_of_several_cookies_passes() -> None:
    server = ScriptedServer(lambda _: Reply(headers={"Set-Cookie": "session=1; HttpOnly\nusercontext=2"}))
    found = Proxy(server.url)
    assert ask(found).headers.get_list("set-cookie") == ["session=1; HttpOnly", "usercontext=2"]
    found.close()
    server.close()


@pytest.mark.parametrize("reached", [True, False])
def test_a_connection_is_cut_before_or_after_the_effect(server: BadServer, proxy: Proxy, reached: bool) -> None:
    with proxy.strike(faults.cut(reached=reached)) as counts, pytest.raises(httpx.TransportError):
        ask(proxy)
    assert counts == [1]
    assert len(server.asked) == int(reached)


def test_a_status_is_answered_before_or_after_the_effect(server: BadServer, proxy: Proxy) -> None:
    with proxy.strike(faults.status(429, Retry_After="7")):
        answer = ask(proxy)
    assert (answer.status_code, answer.headers["retry-after"], server.asked) == (429, "7", [])
    with proxy.strike(faults.status(500, reached=True)):
        assert ask(proxy).status_code == 500
    assert len(server.asked) == 1


def test_a_request_that_hangs_is_let_go_when_the_fault_is_over(proxy: Proxy) -> None:
    with proxy.strike(faults.hang(reached=True)), pytest.raises(httpx.ReadTimeout):
        httpx.get(proxy.endpoint, timeout=0.2, trust_env=False)
    assert ask(proxy).status_code == 200


def test_half_an_answer_looks_whole_and_is_no_json(proxy: Proxy) -> None:
    with proxy.strike(faults.truncated()):
        answer = ask(proxy)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()


def test_members_of_an_answer_are_changed_however_deep(proxy: Proxy) -> None:
    change = faults.members(lambda name, value: "9.99" if name == "price" else value)
    with proxy.strike(faults.altered(change)):
        assert ask(proxy).json() == {"rows": [{"price": "9.99"}]}
    with proxy.strike(faults.altered(faults.objects(lambda found: {**found, "new": 1}))):
        assert ask(proxy).json() == {"rows": [{"price": "1.50", "new": 1}], "new": 1}


def test_a_fault_strikes_what_it_aims_at_after_so_many_and_so_often(proxy: Proxy) -> None:
    aimed = faults.status(503).at(lambda asked: asked.path.endswith("/b")).after(1, times=1)
    with proxy.strike(aimed) as counts, proxy.watching() as asked:
        told = [ask(proxy, path).status_code for path in ("/b", "/a", "/b", "/b")]
    assert told == [200, 200, 503, 200]
    assert counts == [1]
    assert [one.path for one in asked] == ["/api/b", "/api/a", "/api/b", "/api/b"]


def test_a_system_that_is_not_there_is_a_connection_that_is_cut() -> None:
    proxy = Proxy("http://127.0.0.1:9/api")
    with pytest.raises(httpx.TransportError):
        ask(proxy)
    proxy.close()
