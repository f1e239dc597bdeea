"""How work is run: the broker and the workers, when there are any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from controlplane.doctor.answers import Answer, NotLookedError, ok, warning, wrong
from controlplane.doctor.subject import Subject

if TYPE_CHECKING:
    from controlplane.doctor.broker import Broker

OLDEST_RABBITMQ = (3, 8)


def broker(subject: Subject) -> Iterator[Answer]:
    """See that the broker answers and is one that keeps tasks."""
    if subject.settings.engine == "embedded":
        yield ok("broker", "none is needed: the plane's own threads do the work")
        return
    found = subject.broker
    if isinstance(found, ImportError):
        yield wrong("broker", f"Celery is not installed: {found}", "pip install 'trueup[celery]'")
    elif isinstance(found, Exception):
        told = " ".join(str(found).split()) or type(found).__name__
        remedy = "see that it runs, and that user, password, host and virtual host in TRUEUP_BROKER_URL are right"
        yield wrong("broker", f"it does not answer: {told}", remedy)
    else:
        yield from judge(found)


def judge(broker: Broker) -> Iterator[Answer]:
    """Judge a broker by what it told of itself."""
    if broker.kind == "amqp":
        yield _rabbitmq(broker.version)
    elif broker.kind == "redis":
        yield ok("broker", f"Redis {broker.version} answers")
        yield from _redis(broker)
    else:
        detail = f"a broker of the kind '{broker.kind}' answers, and Trueup is not tested with it"
        yield warning("broker", detail, "use RabbitMQ or Redis")


def _rabbitmq(version: str) -> Answer:
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if not numbers:
        return warning(
            "broker", f"RabbitMQ answers and does not tell its version ({version})", "see that it is 3.8 or later"
        )
    if numbers < OLDEST_RABBITMQ:
        return wrong("broker", f"RabbitMQ {version} has no quorum queues", "upgrade to 3.8 or later")
    return ok("broker", f"RabbitMQ {version} answers, and has quorum queues")


def _redis(broker: Broker) -> Iterator[Answer]:
    if broker.eviction != "noeviction":
        detail = f"maxmemory-policy is {broker.eviction}: tasks, and Celery's own keys, can be thrown away when memory is short"
        yield wrong(
            "broker", detail, "CONFIG SET maxmemory-policy noeviction, and write it into redis.conf", "eviction"
        )
    if not broker.appendonly:
        detail = (
            "appendonly is off: a restart of Redis forgets the tasks; they are made again within seconds, none is lost"
        )
        yield warning("broker", detail, "CONFIG SET appendonly yes, and write it into redis.conf", "appendonly")


def workers(subject: Subject) -> Iterator[Answer]:
    """See that workers answer, and that each system that something is delivered to has one."""
    if subject.settings.engine == "embedded":
        return
    if isinstance(subject.broker, Exception):
        raise NotLookedError("the broker does not answer")
    found = subject.workers
    if not found:
        yield wrong(
            "workers", f"none answers within {subject.seconds:g} s", "start `trueup worker`, as many as you like"
        )
        return
    yield ok("workers", f"{len(found)} answer: {', '.join(sorted(found))}")
    yield from _unserved(subject, found)


def _unserved(subject: Subject, found: Mapping[str, Iterable[str]]) -> Iterator[Answer]:
    from controlplane.sync.engines.celery import queue_of

    served = {queue for queues in found.values() for queue in queues}
    flows = subject.snapshot.flows.values()
    for system in sorted({target.system for flow in flows for target in flow.spec.targets}):
        queue = queue_of(system, subject.settings.queue_prefix)
        if queue not in served:
            detail = f"no worker takes from {queue}: nothing is delivered to {system}"
            remedy = (
                f"start a worker that delivers to {system}: `trueup worker` without --targets, or with it among them"
            )
            yield wrong("workers", detail, remedy, system)
