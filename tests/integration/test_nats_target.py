"""Events into a real stream of NATS: stored once though told again, and looked up where the answer was lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from controlplane.clock import SystemClock
from controlplane.connectors.builtin.nats.connector import NatsConnector
from controlplane.connectors.contract import Write
from controlplane.connectors.envelope import open_envelope
from rules.outcomes import Guarantee, Result
from tests.integration.brokers import NATS, wired
from tests.integration.nats_queue import NatsQueue, there
from tests.integration.puts import context_of, level, sale

Open = Callable[..., NatsConnector]


@pytest.fixture
def stream() -> Iterator[NatsQueue]:
    """A stream of the test's own."""
    there(NATS)
    stream = NatsQueue(NATS)
    yield stream
    stream.remove()


@pytest.fixture
def put(stream: NatsQueue) -> Iterator[Open]:
    """Connectors that put into the stream."""
    made: list[NatsConnector] = []

    def put(endpoint: str = "", timeout: float = 5.0) -> NatsConnector:
        options = {"stream": stream.name, "subject": stream.name}
        made.append(NatsConnector(context_of(endpoint or stream.endpoint, options, timeout)))
        return made[-1]

    yield put
    for connector in made:
        connector.close()


def lying(stream: NatsQueue) -> list[Any]:
    """What the stream holds, by its own account."""

    async def read(js: Any) -> list[Any]:
        state = (await js.stream_info(stream.name)).state
        return (
            [await js.get_msg(stream.name, seq) for seq in range(state.first_seq, state.last_seq + 1)]
            if state.messages
            else []
        )

    return stream.ask(read)


def test_an_event_is_stored_whole_under_its_own_subject_with_its_key(put: Open, stream: NatsQueue) -> None:
    stream.make()
    outcome = put().write(sale(1))
    assert (outcome.result, outcome.native_id) == (Result.DELIVERED, f"{stream.name}/1")
    [found] = lying(stream)
    assert found.subject == f"{stream.name}.sale.recorded.R1%2Ea@x"
    assert found.headers["idempotency-key"] == found.headers["Nats-Msg-Id"] == "delivery-1"
    assert found.headers["content-type"] == "application/cloudevents+json"
    read = open_envelope(found.data, SystemClock().now())
    assert (read.event_id, read.source, read.type, read.subject) == ("delivery-1", "trueup", "sale.recorded", "R1.a@x")
    assert json.loads(found.data)["data"] == dict(sale(1).payload)


def test_told_again_by_whomever_it_is_stored_once(put: Open, stream: NatsQueue) -> None:
    stream.make()
    results = [put().write(sale(1)).result for _ in range(3)]
    assert results == [Result.DELIVERED, Result.ALREADY_DELIVERED, Result.ALREADY_DELIVERED]
    assert len(lying(stream)) == 1


def test_after_an_answer_that_was_lost_it_is_found_under_its_subject_long_after_the_window(
    put: Open, stream: NatsQueue
) -> None:
    stream.make(duplicate_window=0.1)
    with wired(NATS, 4222) as (wire, url):
        wire.mend()
        connector = put(url, timeout=1.0)
        assert connector.read_back(sale(1)).result is Result.ABSENT
        assert connector.write(sale(1)).result is Result.DELIVERED
        wire.cut()
        assert connector.write(sale(2)).result is Result.UNAVAILABLE, "no connection: nothing was sent"
    put().write(sale(3, subject="R1.a@x"))
    found = put().read_back(sale(1))
    assert (found.result, found.native_id) == (Result.ALREADY_DELIVERED, "1")
    assert put().read_back(sale(2)).result is Result.ABSENT


def test_of_a_state_the_last_one_under_its_subject_counts(put: Open, stream: NatsQueue) -> None:
    stream.make()
    connector = put()
    for number in (1, 2):
        assert connector.write(level(number)).result is Result.DELIVERED
    assert connector.read_back(level(2)).result is Result.ALREADY_DELIVERED
    assert connector.read_back(level(1)).result is Result.ABSENT


def test_absence_proves_nothing_of_a_stream_that_removed_something_since_it_was_owed(
    put: Open, stream: NatsQueue
) -> None:
    stream.make()
    connector = put()
    for number in (1, 2, 3):
        connector.write(sale(number))
    stream.ask(lambda js: js.purge_stream(stream.name, keep=1))
    now = SystemClock().now()
    assert connector.read_back(sale(1, owed_since=now)).result is Result.UNKNOWN
    assert connector.read_back(sale(1)).result is Result.UNKNOWN
    assert connector.read_back(sale(3)).result is Result.ALREADY_DELIVERED
    later = now + timedelta(minutes=10)
    assert connector.read_back(sale(4, owed_since=later)).result is Result.ABSENT, "an older one is there still"


def test_absence_proves_nothing_of_a_stream_that_forgets_what_was_consumed(put: Open, stream: NatsQueue) -> None:
    stream.make(retention="workqueue")
    found = put().read_back(sale(1))
    assert found.result is Result.UNKNOWN
    assert "forgets what was consumed" in found.detail


def test_a_stream_that_is_not_there_or_does_not_take_the_subject_has_it_wait(put: Open, stream: NatsQueue) -> None:
    outcome = put().write(sale(1))
    assert outcome.result is Result.UNAVAILABLE
    assert "does not answer for a stream" in outcome.detail


def test_what_the_server_refuses_for_good_is_rejected(put: Open, stream: NatsQueue) -> None:
    stream.make(max_msg_size=100)
    outcome = put().write(sale(1))
    assert outcome.result is Result.REJECTED
    assert "maximum" in outcome.detail


def test_it_promises_what_can_be_looked_up_and_takes_every_message_type() -> None:
    spec = NatsConnector.manifest.write_spec("sale.recorded")
    assert (spec.guarantee, spec.message_types) == (Guarantee.READABLE, ("sale.recorded",))
    assert not NatsConnector.manifest.of({"stream": "s", "subject": "s"}).consumes
    assert NatsConnector.manifest.of({"stream": "s", "group": "g"}).writes == ()


def test_a_system_that_is_read_is_not_written(stream: NatsQueue) -> None:
    connector = NatsConnector(context_of(stream.endpoint, {"stream": stream.name, "group": "plane"}))
    outcome = connector.write(sale(1))
    assert (outcome.result, "does not write" in outcome.detail) == (Result.REJECTED, True)
    assert isinstance(sale(1), Write)
