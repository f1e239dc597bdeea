"""Notifications of Amazon off a queue of an SQS that somebody else wrote: each comes in once it is committed, and none is lost before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from controlplane.connectors.builtin.amazon.connector import AmazonConnector
from controlplane.connectors.builtin.amazon.notifications import queued
from controlplane.connectors.builtin.amazon.sqs import HELD, NotificationFeed, Queue
from controlplane.connectors.contract import Feed, Record, UnsupportedError
from controlplane.errors import BadInputError, BlockedAddressError, UnavailableError
from tests.addresses import opened
from tests.controlplane.connectors.amazon_kit import Bench, marketplace

KEYS = {"queue_key_id": "AKIDEXAMPLE", "queue_secret_key": "wJalrXUtnFEMI-of-a-test"}


@dataclass
class Told:
    """A queue at moto, and a marketplace that it tells of."""

    client: Any
    url: str
    bench: Bench

    def connector(self) -> AmazonConnector:
        return self.bench.again()

    def tell(self, *bodies: Any) -> None:
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body if isinstance(body, str) else json.dumps(body))


def change(order: str, name: str) -> dict[str, Any]:
    about = {"OrderChangeNotification": {"AmazonOrderId": order, "Summary": {"DestinationPostalCode": "48110"}}}
    return {
        "NotificationVersion": "1.0", "NotificationType": "ORDER_CHANGE", "EventTime": "2026-11-27T06:00:00.000Z", "Payload": about,
        "NotificationMetadata": {"NotificationId": name},
    }  # fmt: skip


@pytest.fixture
def told() -> Iterator[Told]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    base = f"http://127.0.0.1:{port}"
    client: Any = boto3.client(
        "sqs", endpoint_url=base, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    name = f"spapi-{token_hex(6)}"  # all servers of a process share what they hold
    client.create_queue(QueueName=name)
    with marketplace() as bench:
        url = f"{base}/123456789012/{name}"
        bench.given.options["queue_url"] = url
        bench.given.secrets |= KEYS
        bench.given.internal = opened(bench.given.endpoint) | opened(base)
        yield Told(client, url, bench)
    server.stop()


def taken(feed: Feed, count: int) -> list[Record]:
    """Take until so many came, or nothing comes."""
    found: list[Record] = []
    while len(found) < count and (some := feed.take(1)):
        found += some
    return found


def names(records: list[Record]) -> list[str]:
    return sorted(record.event_key for record in records)


def test_a_changed_order_comes_off_the_queue_and_is_read_anew_without_its_postal_code(told: Told) -> None:
    told.bench.market.order("111", ("A", 2, "9.99"))
    told.tell(change("111", "n1"))
    connector = told.connector()
    feed = connector.consume()
    [record] = taken(feed, 1)
    assert (record.topic, record.event_key) == ("ORDER_CHANGE", "ORDER_CHANGE:n1")
    assert b"48110" not in record.body
    [draft] = connector.translate(record.topic, record.body)
    assert (draft.type, draft.subject) == ("order.placed", "111")
    feed.acknowledge()
    feed.close()


def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(told: Told) -> None:
    told.tell(*(change(str(at), f"n{at:02}") for at in range(23)))
    wanted = [f"ORDER_CHANGE:n{at:02}" for at in range(23)]
    feed = told.connector().consume()
    assert names(taken(feed, 23)) == wanted
    assert told.connector().waiting().count == 23, "held ones wait as well"
    feed.close()
    again = told.connector().consume()
    assert names(taken(again, 23)) == wanted
    again.acknowledge()
    assert again.take(1) == []
    again.close()
    assert told.connector().waiting().count == 0


def hiding(told: Told, seconds: int) -> NotificationFeed:
    """An open queue that hides what it gives for so long, which is two minutes elsewhere."""
    context = told.bench.given.context()
    return NotificationFeed(context, Queue(context, seconds), queued)


def test_a_process_that_is_gone_leaves_what_it_held_to_the_next_one(told: Told) -> None:
    told.tell(change("1", "n1"))
    gone, other = hiding(told, 2), hiding(told, 2)
    assert len(taken(gone, 1)) == 1  # and it never comes back to it
    assert names(taken(other, 1) or taken(other, 1) or taken(other, 1)) == ["ORDER_CHANGE:n1"]
    other.acknowledge()
    other.close()


def test_what_is_held_for_long_is_kept_hidden(told: Told) -> None:
    told.tell(change("1", "n1"))
    holder, other = hiding(told, 2), hiding(told, 2)
    assert len(taken(holder, 1)) == 1
    for _ in range(3):
        assert (holder.take(1), other.take(1)) == ([], [])
    holder.acknowledge()
    holder.close()
    assert other.take(1) == []
    other.close()


def test_no_more_is_held_than_is_committed_together(told: Told) -> None:
    for at in range(0, HELD + 20, 10):
        entries = [{"Id": str(n), "MessageBody": json.dumps(change("1", f"n{at + n}"))} for n in range(10)]
        told.client.send_message_batch(QueueUrl=told.url, Entries=entries)
    feed = told.connector().consume()
    assert len(taken(feed, HELD)) == HELD
    assert feed.take(0.01) == []
    feed.acknowledge()
    assert len(taken(feed, 20)) == 20
    feed.close()


@pytest.mark.parametrize("body", ["no JSON at all", "[1, 2]"])
def test_a_message_that_cannot_be_read_waits_whole_and_its_neighbours_go_on(told: Told, body: str) -> None:
    told.tell(body, change("1", "n1"))
    connector = told.connector()
    feed = connector.consume()
    odd, good = sorted(taken(feed, 2), key=lambda record: record.topic, reverse=True)
    assert (odd.topic, odd.body, good.event_key) == ("unknown", body.encode(), "ORDER_CHANGE:n1")
    with pytest.raises(BadInputError):
        connector.translate(odd.topic, odd.body)
    feed.acknowledge()
    feed.close()


def test_a_queue_that_is_not_there_is_an_outage_that_names_the_option(told: Told) -> None:
    told.bench.given.options["queue_url"] = told.url + "-of-nobody"
    feed = told.connector().consume()
    with pytest.raises(UnavailableError, match="queue_url"):
        feed.take(1)
    feed.close()


def test_a_queue_at_an_address_that_policy_does_not_state_is_not_spoken_to(told: Told) -> None:
    told.bench.given.internal = opened(told.bench.given.endpoint)
    with pytest.raises(BlockedAddressError):
        told.connector().waiting()


def test_a_system_without_a_queue_takes_nothing_off_one(told: Told) -> None:
    del told.bench.given.options["queue_url"]
    connector = told.connector()
    assert (connector.manifest.consumes, connector.manifest.probes) == (False, ("latency",))
    with pytest.raises(UnsupportedError, match="queue_url"):
        connector.consume()
