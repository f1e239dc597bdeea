"""What is asked of a broker and of the workers behind it. Nothing is declared or configured there.

Imported only when TRUEUP_ENGINE is celery: Celery is an extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery

from controlplane.sync.engines.celery import celery_app, queue_of


@dataclass(frozen=True, slots=True)
class Broker:
    """What a broker told of itself."""

    kind: str
    """amqp, redis, or another transport of kombu."""
    version: str
    appendonly: bool = True
    eviction: str = "noeviction"
    """Redis: maxmemory-policy."""


def ask_broker(url: str, seconds: float) -> Broker:
    """Connect, and return what the broker is. Raises whatever kombu's transport raises when it does not answer."""
    app = _app(url, seconds)
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=seconds)
            kind = str(connection.transport.driver_type)
            if kind == "amqp":
                return Broker(kind, str(connection.connection.server_properties.get("version", "unknown")))
            if kind == "redis":
                return _redis(connection.default_channel.client.info())
            return Broker(kind, "unknown")
    finally:
        app.close()


def _app(url: str, seconds: float) -> Celery:
    app = celery_app(url)
    app.conf.broker_connection_timeout = seconds
    if url.startswith("redis"):  # the time-out above ends there with the connection, and not with its first answer
        limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        app.conf.broker_transport_options = {**(app.conf.broker_transport_options or {}), **limits}
    return app


def _redis(info: Mapping[str, Any]) -> Broker:
    # INFO rather than CONFIG GET, which hosted Redis seldom allows
    appendonly, eviction = bool(info.get("aof_enabled")), str(info.get("maxmemory_policy", "noeviction"))
    return Broker("redis", str(info["redis_version"]), appendonly, eviction)


def ask_workers(url: str, prefix: str, seconds: float) -> dict[str, frozenset[str]]:
    """Return worker -> names of the queues that it takes from, of all workers of ours that answer in time."""
    app = _app(url, seconds)
    try:
        told = app.control.inspect(timeout=seconds).active_queues() or {}
    finally:
        app.close()
    found = {worker: frozenset(str(queue["name"]) for queue in queues) for worker, queues in told.items()}
    # a broker may be shared: whoever takes from none of our queues works for somebody else
    ours = queue_of("", prefix)
    return {worker: queues for worker, queues in found.items() if any(name.startswith(ours) for name in queues)}
