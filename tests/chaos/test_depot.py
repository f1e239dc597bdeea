"""The judge is judged first: each inlet keeps its guarantee and no more, each fault does what it is called after."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.chaos.depot.depot import PLAYS
from tests.chaos.depot.faults import KINDS, Fault, FaultBook
from tests.chaos.depot.journal import Arrivals
from tests.chaos.depot.process import DepotProcess
from tests.chaos.processes import wait_until

NOTHING = 0.3
"""Seconds that a caller waits for an answer that never comes."""


def numbers(depot: DepotProcess, inlet: str) -> list[str]:
    """The references of all effects at an inlet, in their order."""
    return [effect.ref for effect in depot.journal.effects(inlet)]


def values(depot: DepotProcess, inlet: str, ref: str) -> list[int | None]:
    """What a level was set to, in order."""
    return [effect.value for effect in depot.journal.effects(inlet) if effect.ref == ref]


# --- guarantees ---


def test_the_keyed_inlet_lets_one_key_take_effect_once_and_says_so(depot: DepotProcess) -> None:
    first = depot.send("POST", "/keyed/R-1", key="k1", lines=1).json()
    again = depot.send("POST", "/keyed/R-1", key="k1", lines=1).json()
    assert (first["verdict"], again["verdict"]) == ("effect", "duplicate")
    assert again["effect"] == first["effect"]
    assert numbers(depot, "keyed") == ["R-1"]


def test_the_keyed_inlet_cannot_know_that_two_keys_mean_one_document(depot: DepotProcess) -> None:
    for key in ("k1", "k2"):
        assert depot.send("POST", "/keyed/R-1", key=key).status_code == 200
    assert numbers(depot, "keyed") == ["R-1", "R-1"]


@pytest.mark.parametrize(("key", "lines", "status"), [("k1", 2, 422), ("", 1, 400)])
def test_the_keyed_inlet_refuses_a_key_with_another_document_and_a_document_without_key(
    depot: DepotProcess, key: str, lines: int, status: int
) -> None:
    depot.send("POST", "/keyed/R-1", key="k1", lines=1)
    assert depot.send("POST", "/keyed/R-1", key=key, lines=lines).status_code == status
    assert numbers(depot, "keyed") == ["R-1"]


def test_the_keyed_inlet_lets_one_of_many_simultaneous_requests_take_effect(depot: DepotProcess) -> None:
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: depot.send("POST", "/keyed/R-1", key="k").json()["verdict"], range(24)))
    assert sorted(said) == ["duplicate"] * 23 + ["effect"]
    assert numbers(depot, "keyed") == ["R-1"]


@pytest.mark.parametrize("inlet", ["readable", "none"])
def test_inlets_without_keys_take_the_same_document_as_often_as_it_comes(depot: DepotProcess, inlet: str) -> None:
    for _ in range(2):
        assert depot.send("POST", f"/{inlet}/R-1", key="k1").json()["verdict"] == "effect"
    assert numbers(depot, inlet) == ["R-1", "R-1"]


def test_only_readable_inlets_show_what_is_there(depot: DepotProcess) -> None:
    for inlet in ("keyed", "readable", "none"):
        depot.send("POST", f"/{inlet}/R%2F1", key="k1")
    found = depot.send("GET", "/readable/R%2F1").json()["effects"]
    assert [effect["idempotency_key"] for effect in found] == ["k1"]
    assert depot.send("GET", "/readable/R-2").status_code == 404
    assert {depot.send("GET", f"/{inlet}/R%2F1").status_code for inlet in ("keyed", "none")} == {405}


def test_a_level_by_version_is_taken_when_it_is_newer_and_refused_with_what_is_shown_when_not(
    depot: DepotProcess,
) -> None:
    for number, (version, value) in enumerate([(1, 5), (3, 3), (2, 9), (3, 8), (4, 5)]):
        depot.send("PUT", "/conditional/A@W", key=f"k{number}", version=version, value=value)
    refused = depot.send("PUT", "/conditional/A@W", key="late", version=2, value=9)
    assert refused.status_code == 409
    assert (refused.json()["shown"]["value"], refused.json()["shown"]["version"]) == (5, 4)
    assert values(depot, "conditional", "A@W") == [5, 3, 5]


def test_a_level_by_value_is_taken_only_on_top_of_what_is_shown(depot: DepotProcess) -> None:
    for number, (expected, value) in enumerate([(0, 5), (5, 3), (5, 9), (3, 5)]):
        depot.send("PUT", "/offers/A@W", key=f"k{number}", expected=expected, value=value)
    assert values(depot, "offers", "A@W") == [5, 3, 5]


def test_a_level_that_came_back_to_its_old_value_does_not_let_an_old_write_in_again(depot: DepotProcess) -> None:
    depot.send("PUT", "/offers/A@W", key="k0", expected=0, value=5)
    depot.send("PUT", "/offers/A@W", key="k1", expected=5, value=3)
    depot.send("PUT", "/offers/A@W", key="k2", expected=3, value=5)
    again = depot.send("PUT", "/offers/A@W", key="k1", expected=5, value=3)
    assert again.json()["verdict"] == "duplicate"
    assert values(depot, "offers", "A@W") == [5, 3, 5]


def test_a_conditional_level_that_rests_on_nothing_is_malformed(depot: DepotProcess) -> None:
    assert depot.send("PUT", "/conditional/A@W", key="k", value=5).status_code == 400
    assert depot.journal.effects("conditional") == []


def test_the_state_inlet_shows_whatever_came_last_though_it_be_older(depot: DepotProcess) -> None:
    for number, (version, value) in enumerate([(1, 5), (3, 3), (2, 5)]):
        depot.send("PUT", "/state/A@W", key=f"k{number}", version=version, value=value)
    assert depot.send("GET", "/state/A@W").json()["effects"][-1]["value"] == 5
    assert values(depot, "state", "A@W") == [5, 3, 5]


def test_the_journal_and_its_guarantees_outlast_a_kill(depot: DepotProcess) -> None:
    depot.send("POST", "/keyed/R-1", key="k1")
    depot.process.kill9()
    depot.start()
    assert depot.send("POST", "/keyed/R-1", key="k1").json()["verdict"] == "duplicate"
    assert numbers(depot, "keyed") == ["R-1"]


def test_an_unknown_inlet_and_a_body_that_is_not_json_are_refused(depot: DepotProcess) -> None:
    assert "keyed, readable, none" in depot.send("POST", "/wrong/R-1").json()["error"]
    assert httpx.post(f"{depot.url}/keyed/R-1", content=b"{", trust_env=False).status_code == 400


def test_a_request_that_broke_off_in_its_middle_has_no_effect(depot: DepotProcess) -> None:
    with socket.create_connection(("127.0.0.1", depot.port)) as caller:
        caller.sendall(b"POST /none/R-1 HTTP/1.1\r\nHost: depot\r\nContent-Length: 20\r\n\r\n{}")
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(1) == b""
    assert depot.journal.requests() == []


# --- faults ---


def test_there_is_a_play_for_every_kind_of_fault() -> None:
    assert set(PLAYS) == set(KINDS)


ANSWERED = [
    ("unavailable", {}, 503, {}, 0),
    ("unavailable", {"retry_after": 2}, 503, {"retry-after": "2"}, 0),
    ("throttled", {"retry_after": 0.5}, 429, {"retry-after": "0.5"}, 0),
    ("error_inside", {"code": "invalid"}, 200, {}, 0),
    ("poison", {}, 400, {}, 0),
    ("slow", {"ms": 20}, 200, {}, 1),
    ("garbled", {}, 200, {}, 1),
]


@pytest.mark.parametrize(("kind", "told", "status", "headers", "effects"), ANSWERED)
def test_a_fault_with_an_answer_has_its_status_and_its_effect(
    depot: DepotProcess, kind: str, told: dict[str, object], status: int, headers: dict[str, str], effects: int
) -> None:
    depot.order(kind, **told)
    answer = depot.send("POST", "/readable/R-1", key="k")
    assert answer.status_code == status
    assert headers.items() <= dict(answer.headers).items()
    assert len(depot.journal.effects()) == effects
    assert depot.send("POST", "/readable/R-1", key="k").json()["verdict"] == "effect", "one fault strikes once"


def test_an_error_inside_a_200_names_its_code(depot: DepotProcess) -> None:
    depot.order("error_inside", code="busy")
    assert depot.send("POST", "/readable/R-1").json()["error"]["code"] == "busy"


UNANSWERED = [
    ("silence", httpx.ReadTimeout, 0),
    ("effect_then_silence", httpx.ReadTimeout, 1),
    ("reset", (httpx.ReadError, httpx.RemoteProtocolError), 0),
    ("effect_then_reset", (httpx.ReadError, httpx.RemoteProtocolError), 1),
]


@pytest.mark.parametrize(("kind", "error", "effects"), UNANSWERED)
def test_a_fault_without_an_answer_leaves_its_effect_or_none(
    depot: DepotProcess, kind: str, error: type[Exception], effects: int
) -> None:
    depot.order(kind)
    with pytest.raises(error):
        depot.send("POST", "/readable/R-1", key="k", timeout=NOTHING)
    assert len(depot.journal.effects()) == effects


def test_a_late_effect_comes_after_the_connection_is_gone(depot: DepotProcess) -> None:
    depot.order("late_effect", ms=400)
    with pytest.raises(httpx.TransportError):
        depot.send("POST", "/readable/R-1", key="k")
    depot.settle()
    effect, request = depot.journal.effects()[0], depot.journal.requests()[0]
    assert effect.at - request.ended >= 0.35
    assert (request.status, request.verdict) == (None, "")


def test_a_late_effect_still_goes_by_the_inlets_guarantee(depot: DepotProcess) -> None:
    depot.order("late_effect", ms=200)
    with pytest.raises(httpx.TransportError):
        depot.send("POST", "/keyed/R-1", key="k")
    assert depot.send("POST", "/keyed/R-1", key="k").status_code == 200
    depot.settle()
    assert numbers(depot, "keyed") == ["R-1"]


def test_an_effect_after_the_lookup_is_not_seen_by_that_lookup(depot: DepotProcess) -> None:
    depot.order("effect_after_lookup")
    with pytest.raises(httpx.TransportError):
        depot.send("POST", "/readable/R-1", key="k")
    assert depot.journal.effects() == []
    assert depot.send("GET", "/readable/R-1").status_code == 404
    depot.settle()
    assert depot.send("GET", "/readable/R-1").status_code == 200


def test_slowness_is_as_long_as_ordered_and_on_its_key_only(depot: DepotProcess) -> None:
    depot.order("slow", ref="SLOW", ms=300, times=None)
    for ref in ("SLOW", "R-1"):
        depot.send("POST", f"/readable/{ref}")
    slow, other = depot.journal.requests("readable")
    assert slow.ended - slow.started >= 0.3
    assert (slow.fault, other.fault) == ("slow", "")


def test_a_caller_that_waits_in_vain_holds_up_no_other(depot: DepotProcess) -> None:
    depot.order("silence", ref="HELD")
    with socket.create_connection(("127.0.0.1", depot.port)) as caller:
        caller.sendall(b"POST /readable/HELD HTTP/1.1\r\nHost: depot\r\nContent-Length: 0\r\n\r\n")
        wait_until(lambda: depot.struck() == 1, "the depot holds the request")
        for number in range(5):
            assert depot.send("POST", f"/readable/R-{number}").status_code == 200
        caller.settimeout(0.01)
        with pytest.raises(TimeoutError):
            caller.recv(1)


def test_a_fault_strikes_only_its_inlet_its_references_and_its_kind_of_request(depot: DepotProcess) -> None:
    depot.order("unavailable", inlet="readable", ref="R-*", times=None)
    depot.order("unavailable", inlet="state", on="lookup", times=None)
    said = {
        path: depot.send("PUT", path, key="k", value=1, version=1).status_code
        for path in ("/readable/R-1", "/readable/X-1", "/none/R-1", "/state/A@W")
    }
    assert said == {"/readable/R-1": 503, "/readable/X-1": 200, "/none/R-1": 200, "/state/A@W": 200}
    assert depot.send("GET", "/state/A@W").status_code == 503
    depot.clear()
    assert depot.send("GET", "/state/A@W").status_code == 200


def test_a_share_of_requests_strikes_as_the_seed_says() -> None:
    def struck(seed: int) -> list[bool]:
        book = FaultBook(seed)
        book.order(Fault("reset", times=None, share=0.3))
        return [book.pick("keyed", f"R-{number}", "write") is not None for number in range(200)]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 30 <= sum(struck(1)) <= 90


@pytest.mark.parametrize(
    ("told", "remedy"),
    [
        ({"kind": "explosion"}, "there are: unavailable"),
        ({"kind": "slow", "seconds": 1}, "it has: kind, inlet"),
        ({"kind": "slow", "on": "weekends"}, "write or lookup"),
    ],
)
def test_a_fault_that_is_not_known_is_refused_with_what_there_is(
    depot: DepotProcess, told: dict[str, str], remedy: str
) -> None:
    kind = told.pop("kind")
    with pytest.raises(ValueError, match=remedy):
        depot.order(kind, **told)


def test_every_request_is_written_down_with_what_struck_it(depot: DepotProcess) -> None:
    depot.order("effect_then_reset")
    with pytest.raises(httpx.TransportError):
        depot.send("POST", "/keyed/R-1", key="k")
    depot.send("POST", "/keyed/R-1", key="k")
    seen = [(one.method, one.ref, one.fault, one.status, one.verdict) for one in depot.journal.requests("keyed")]
    assert seen == [
        ("POST", "R-1", "effect_then_reset", None, "effect"),
        ("POST", "R-1", "", 200, "duplicate"),
    ]


def test_the_journal_is_read_by_others_while_the_depot_writes(depot: DepotProcess) -> None:
    arrived = Arrivals(depot.journal, "none")
    assert arrived() == 0
    for ref in ("R-1", "R-1", "R-2"):
        depot.send("POST", f"/none/{ref}", key="k", lines=1)
    depot.send("POST", "/readable/R-3")
    assert arrived() == arrived() == 2, "references of the inlet are counted, not effects"
    effect = depot.journal.effects()[0]
    assert (effect.ref, effect.key, effect.payload) == ("R-1", "k", {"lines": 1})
