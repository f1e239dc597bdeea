"""Something that is no task lies in the list of a target: the worker throws it away and goes on."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator

import pytest
from kombu.connection import Connection

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.sync.engines.celery import TASK, Sender, queue_of
from tests.chaos.services import Redis
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.test_loop import SKU
from tests.integration.brokers import Broker
from tests.integration.test_celery import a_worker
from tests.waiting import until

pytestmark = pytest.mark.chaos
INFO = {"exchange": "", "routing_key": "x", "priority": 0}
SOUND = {"body": "e30=", "headers": {}, "content-type": "application/json", "content-encoding": "utf-8",
         "properties": {"delivery_tag": "t", "delivery_info": INFO, "body_encoding": "base64"}}  # fmt: skip
EMPTY, FIVE = (b64encode(text).decode() for text in (b"[[], {}, null]", b"[5, 5, 5]"))
RUBBISH = {
    "no JSON": b"rubbish",
    "no UTF-8": b"\xff\xfe\x00",
    "nothing": b"",
    "nested without end": b"[" * 100_000,
    "a number": b"5",
    "a list": b"[1, 2]",
    "an empty object": b"{}",
    "a type that is none": json.dumps({"__type__": "decimal", "__value__": "x"}).encode(),
    "properties that are none": json.dumps(SOUND | {"properties": []}).encode(),
    "no delivery tag": json.dumps(SOUND | {"properties": {"delivery_info": INFO}}).encode(),
    "a tag that cannot be one": json.dumps(
        SOUND | {"properties": {"delivery_tag": {}, "delivery_info": INFO}}
    ).encode(),
    "no routing key": json.dumps(SOUND | {"properties": {"delivery_tag": "t", "delivery_info": {}}}).encode(),
    "a body that is no base64": json.dumps(SOUND | {"body": "%"}).encode(),
    "headers that are none": json.dumps(SOUND | {"headers": [1]}).encode(),
    "an unknown task": json.dumps(SOUND | {"headers": {"task": "no.such", "id": "1"}}).encode(),
    "a task with a broken body": json.dumps(SOUND | {"headers": {"task": TASK, "id": "2"}}).encode(),
    "a task without an id": json.dumps(SOUND | {"headers": {"task": TASK}}).encode(),
    "arguments that are none": json.dumps(SOUND | {"headers": {"task": TASK, "id": "3"}, "body": FIVE}).encode(),
    "no name of a target": json.dumps(SOUND | {"headers": {"task": TASK, "id": "4"}, "body": EMPTY}).encode(),
    "an instant that is none": json.dumps(
        SOUND | {"headers": {"task": TASK, "id": "5", "eta": {}}, "body": EMPTY}
    ).encode(),
    "times that are none": json.dumps(
        SOUND | {"headers": {"task": TASK, "id": "6", "timelimit": 5}, "body": EMPTY}
    ).encode(),
    "retries that are none": json.dumps(
        SOUND | {"headers": {"task": TASK, "id": "7", "retries": "x"}, "body": EMPTY}
    ).encode(),
    "a content type of its own": json.dumps(SOUND | {"content-type": "application/x-python-serialize"}).encode(),
}


@pytest.fixture
def house(postgresql_store: Store, clock: ManualClock) -> House:
    return House(postgresql_store, clock)


@pytest.fixture
def broker(private_redis: Redis) -> Iterator[Broker]:
    broker = Broker(private_redis.url)
    yield broker
    broker.close()


@pytest.mark.timeout(300)
def test_a_worker_goes_on_after_anything_that_is_no_task(broker: Broker, house: House) -> None:
    sender = Sender(broker.app, shards=1)
    with Connection(broker.url) as connection, a_worker(broker, house):
        redis = connection.channel().client
        for number, (name, thing) in enumerate(RUBBISH.items()):
            redis.lpush(queue_of("wms", broker.prefix), thing)
            house.order(f"#{number}", SKU, 1)
            while house.sync.translate() or house.sync.process():
                pass
            until(lambda: broker.depth("wms") == 0, f"the end of {name}")
            sender.ask("wms")
            until(lambda number=number: sum(house.wms.effects.values()) == number + 1, f"the delivery after {name}")  # type: ignore[misc]
    sender.close()
    assert set(house.wms.effects.values()) == {1}
