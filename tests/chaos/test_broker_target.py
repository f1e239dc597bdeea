"""A flow into a broker: the plane that writes to it is killed in the middle, and what it accepted lies there."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import amqp
import httpx
import pytest
import redis
import yaml

from tests.chaos.depot.process import DepotProcess
from tests.chaos.feed import Event, by_api, receipt
from tests.chaos.plane import PACK, Plane
from tests.chaos.processes import wait_until
from tests.chaos.services import RabbitMQ, Redis
from tests.integration.sources import SourceQueue

pytestmark = pytest.mark.chaos
MANY, KILLS = 600, 3
QUEUE = "events"
TARGETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rabbitmq": ({"exchange": "", "routing_key": QUEUE}, {"accept_risk": "its readers know a repetition by its id"}),
    "redis": ({"stream": QUEUE}, {}),
}


def pack_for(folder: Path, endpoint: str, kind: str) -> Path:
    """The usual policies, but documents flow to the broker alone."""
    options, risk = TARGETS[kind]
    shutil.copytree(PACK, folder)
    documents = [one for one in yaml.safe_load_all((PACK / "flows.yaml").read_text()) if one]
    for one in documents:
        if one["metadata"]["name"] == "documents":
            one["spec"]["targets"] = [{"system": "bus", "entity": "receipt.received", **risk}]
    (folder / "flows.yaml").write_text(yaml.safe_dump_all(documents))
    spec = {
        "connector": "broker", "owner": "judges", "role": "bi", "endpoint": endpoint, "options": options,
        "internal": [urlsplit(endpoint).netloc], "timeout": "5s", "concurrency": 4, "rate": 100,
    }  # fmt: skip
    bus = {"apiVersion": "trueup/v1", "kind": "System", "metadata": {"name": "bus", "title": "Broker"}, "spec": spec}
    (folder / "bus.yaml").write_text(yaml.safe_dump(bus))
    return folder


def events_of(service: RabbitMQ | Redis) -> Callable[[], list[tuple[str, str]]]:
    """What reads all that lies there, as (id, subject), and leaves it."""
    if isinstance(service, Redis):
        client: Any = redis.Redis.from_url(service.url)

        def in_stream() -> list[tuple[str, str]]:
            found = [json.loads(entry[b"event"]) for _, entry in client.xrange(QUEUE)]
            return [(one["id"], one["subject"]) for one in found]

        return in_stream
    queue = SourceQueue(service.url)
    with queue.channel() as channel:
        channel.queue_declare(QUEUE, durable=True, auto_delete=False)
    taken: list[tuple[str, str]] = []

    def in_queue() -> list[tuple[str, str]]:
        with queue.channel() as channel:
            while (message := channel.basic_get(QUEUE, no_ack=True)) is not None:
                taken.append(_named(message))
        return taken

    return in_queue


def _named(message: amqp.Message) -> tuple[str, str]:
    told = json.loads(message.body)
    return told["id"], told["subject"]


@pytest.fixture(params=["rabbitmq", "redis"])
def service(request: pytest.FixtureRequest) -> RabbitMQ | Redis:
    """A broker of this run's own."""
    return request.getfixturevalue(f"private_{request.param}")  # type: ignore[no-any-return]


@pytest.fixture
def plane(service: RabbitMQ | Redis, depot: DepotProcess, plugin_folder: Path, tmp_path: Path) -> Iterator[Plane]:
    """A plane whose documents flow into it."""
    kind = "redis" if isinstance(service, Redis) else "rabbitmq"
    endpoint = f"redis://127.0.0.1:{service.port}/0" if kind == "redis" else f"amqp://127.0.0.1:{service.port}"
    pack = pack_for(tmp_path / "pack", endpoint, kind)
    plane = Plane(tmp_path / "home", plugin_folder, depot.port, pack=pack)
    yield plane
    plane.close()


def posted(plane: Plane, events: list[Event]) -> None:
    with httpx.Client(base_url=plane.url, trust_env=False, timeout=30) as client:
        answer = by_api(plane.token)(client, events)
    assert answer.status_code == 202, answer.text


def test_what_a_plane_accepted_lies_at_the_broker_though_it_is_killed_while_it_writes(
    service: RabbitMQ | Redis, plane: Plane
) -> None:
    there, events = events_of(service), [receipt(number, number) for number in range(MANY)]
    plane.start()
    posted(plane, events)
    for kill in range(1, KILLS + 1):
        wait_until(lambda kill=kill: len(there()) >= kill * MANY // (KILLS + 2), "a part of it lies there")  # type: ignore[misc]
        plane.kill9()
        plane.start()
    plane.wait_until(plane.quiet, "nothing is owed any more")
    found = there()
    assert {subject for _, subject in found} == {event.subject for event in events}
    assert len({name for name, _ in found}) == MANY, "of each event one id, however often it lies there"
    again = {name: count for name, count in Counter(name for name, _ in found).items() if count > 1}
    if isinstance(service, Redis):
        assert again == {}, "a marker beside the stream tells what was added already"
    else:
        assert len(again) <= 4 * KILLS, "no more than was under way when it was killed"
