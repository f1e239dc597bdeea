"""What became of a request, against a real server with bad habits."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import format_datetime

import pytest

from controlplane.connectors.http import DEFAULT_WAIT, Answer, HttpClient, ours_until
from controlplane.connectors.outcomes import outcome_of
from controlplane.connectors.redaction import Redactor
from controlplane.errors import (
    ConnectorError,
    RejectedError,
    ThrottledError,
    UnavailableError,
    UnknownOutcomeError,
    UnreadableError,
)
from rules.outcomes import Result
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.connectors.conftest import START, Given

SECRET = "planted-s3cret/value+1"


def client(url: str, **given: float) -> HttpClient:
    return HttpClient(Given(url, **given).context(), Redactor([SECRET]))


def ask(server: BadServer, *habits: Habit, write: bool = False, **given: float) -> Answer:
    server.script(*habits)
    http = client(server.url, **{"timeout": 0.3, **given})
    try:
        return http.send("POST", "/thing", write=write, json={"n": 1})
    finally:
        http.close()


def test_nobody_listening_means_that_nothing_was_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UnavailableError, match="nothing was sent"):
        client(url).send("POST", "/", write=True)


@pytest.mark.parametrize(
    "habit", [Habit(hang=True), Habit(cut=True), Habit(body=b"x" * 40, drip=True), Habit(drip_head=True)]
)
def test_no_answer_is_unknown_for_a_write_and_unavailable_for_a_read(bad_server: BadServer, habit: Habit) -> None:
    with pytest.raises(UnknownOutcomeError, match="read back before any retry"):
        ask(bad_server, habit, write=True)
    with pytest.raises(UnavailableError):
        ask(bad_server, habit)


@pytest.mark.parametrize(
    ("habit", "of_write", "of_read"),
    [
        (Habit(500, b"<html>oops</html>", Content_Type="text/html"), UnknownOutcomeError, UnavailableError),
        (Habit(502), UnknownOutcomeError, UnavailableError),
        (Habit(503), UnknownOutcomeError, UnavailableError),
        (Habit(503, Retry_After="5"), UnavailableError, UnavailableError),
        (Habit(504), UnknownOutcomeError, UnavailableError),
        (Habit(408), UnknownOutcomeError, UnavailableError),
        (Habit(401), UnavailableError, UnavailableError),
        (Habit(400, b'{"detail": "no such item"}'), RejectedError, RejectedError),
        (Habit(404), RejectedError, RejectedError),
        (Habit(302, Location="/elsewhere"), RejectedError, RejectedError),
        (Habit(429), ThrottledError, ThrottledError),
    ],
)
def test_each_status_is_classed_by_its_consequence(
    bad_server: BadServer, habit: Habit, of_write: type[ConnectorError], of_read: type[ConnectorError]
) -> None:
    with pytest.raises(of_write) as raised:
        ask(bad_server, habit, write=True)
    assert raised.type is of_write
    with pytest.raises(of_read) as raised:
        ask(bad_server, habit)
    assert raised.type is of_read


def test_a_rejection_carries_the_vendor_s_words(bad_server: BadServer) -> None:
    with pytest.raises(RejectedError, match="no such item"):
        ask(bad_server, Habit(400, b'{"detail": "no such item"}'), write=True)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7.0),
        (format_datetime(START.replace(minute=1)), 60.0),
        ("soon", DEFAULT_WAIT),
        ("-3", 0.0),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", DEFAULT_WAIT),
    ],
)
def test_the_wait_is_given_as_seconds_as_a_date_or_not_at_all(bad_server: BadServer, told: str, seconds: float) -> None:
    with pytest.raises(ThrottledError) as raised:
        ask(bad_server, Habit(429, Retry_After=told))
    assert raised.value.retry_after == seconds


def test_a_body_that_cannot_be_read_is_unknown_for_a_write_and_unreadable_for_a_read(bad_server: BadServer) -> None:
    garbage = Habit(200, b"<html>maintenance</html>", Content_Type="text/html")
    with pytest.raises(UnreadableError, match="not JSON"):
        ask(bad_server, garbage).json()
    with pytest.raises(UnknownOutcomeError):
        ask(bad_server, garbage, write=True).json()


def test_a_redirect_is_not_followed(bad_server: BadServer) -> None:
    with pytest.raises(RejectedError):
        ask(bad_server, Habit(307, Location="/elsewhere"), write=True)
    assert len(bad_server.asked) == 1


def test_secrets_are_in_no_evidence_and_in_no_message(bad_server: BadServer) -> None:
    bad_server.script(Habit(400, f'{{"echo": "{SECRET}", "access_token": "other"}}'.encode()))
    http = client(bad_server.url)
    with pytest.raises(RejectedError) as raised:
        http.send("POST", "/t", write=True, params={"key": SECRET}, json={"k": SECRET}, headers={"X-Api-Key": SECRET})
    for text in (str(raised.value), str(raised.value.evidence)):
        assert "s3cret" not in text
        assert "other" not in text
    assert raised.value.evidence["response"]["status"] == 400


def test_evidence_is_bounded(bad_server: BadServer) -> None:
    answer = ask(bad_server, Habit(200, b'"' + b"x" * 100_000 + b'"'))
    assert len(str(answer.evidence)) < 4096


def test_the_time_out_follows_the_clock_s_pace(bad_server: BadServer) -> None:
    given = Given(bad_server.url, timeout=30)
    given.clock.pace = 0.01
    bad_server.script(Habit(hang=True))
    http, began = HttpClient(given.context(), Redactor()), time.monotonic()
    with pytest.raises(UnavailableError):
        http.send("GET", "/", write=False)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(("status", "error"), [(503, UnavailableError), (429, ThrottledError)])
def test_a_system_that_says_when_to_come_again_is_understood(
    bad_server: BadServer, status: int, error: type[ConnectorError]
) -> None:
    with pytest.raises(error) as told:
        ask(bad_server, Habit(status, Retry_After="7"))
    assert told.value.retry_after == 7


def test_no_more_requests_are_under_way_than_allowed(bad_server: BadServer) -> None:
    bad_server.script(Habit(body=b"{}", drip=True))
    http = client(bad_server.url, timeout=3, concurrency=2)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: http.send("GET", "/", write=False), range(5)))
    assert len(answers) == 5
    assert bad_server.peak == 2


def test_requests_beyond_our_own_rate_are_throttled_before_they_are_sent(bad_server: BadServer) -> None:
    http = client(bad_server.url, timeout=0.5, rate=0.1)
    http.send("GET", "/", write=False)
    with pytest.raises(ThrottledError, match="our own limit"):
        http.send("GET", "/", write=False)
    assert len(bad_server.asked) == 1


def test_a_write_that_is_not_ours_any_more_when_its_turn_comes_is_not_sent(bad_server: BadServer) -> None:
    http = client(bad_server.url)
    token = ours_until.set(lambda: START)
    try:
        with pytest.raises(UnavailableError, match="our claim ran out"):
            http.send("POST", "/", write=True)
        assert http.send("GET", "/", write=False).status == 200, "reading harms nobody"
    finally:
        ours_until.reset(token)
    assert len(bad_server.asked) == 1


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (UnavailableError("x"), Result.UNAVAILABLE),
        (ThrottledError("x", 3), Result.THROTTLED),
        (RejectedError("x"), Result.REJECTED),
        (UnknownOutcomeError("x"), Result.UNKNOWN),
        (UnreadableError("x"), Result.UNAVAILABLE),
    ],
)
def test_each_error_of_a_write_has_its_outcome(error: ConnectorError, result: Result) -> None:
    assert outcome_of(error).result is result


def test_every_request_that_is_sent_is_metered_and_no_other(bad_server: BadServer) -> None:
    counted: list[int] = []
    context = replace(Given(bad_server.url).context(), meter=lambda: counted.append(1))
    http = HttpClient(context, Redactor())
    bad_server.script(Habit(), Habit(500), Habit(cut=True))
    http.send("GET", "/", write=False)
    for _ in range(2):
        with pytest.raises(ConnectorError):
            http.send("POST", "/", write=True)
    assert len(counted) == len(bad_server.asked) == 3
    http.close()
