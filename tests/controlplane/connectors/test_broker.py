"""A broker as a source: what a policy may say of it, and how an event is read. What real brokers do is in tests/integration."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controlplane.connectors.builtin.broker.address import address_of
from controlplane.connectors.builtin.broker.connector import TOPIC, BrokerConnector, record_of
from controlplane.connectors.contract import Context
from controlplane.errors import BadInputError, SettingsError
from controlplane.registry.manifests import declared_connectors
from controlplane.telemetry.tracing import Caller
from rules.policy.lint import lint
from rules.policy.reading import read_policies
from tests.addresses import pairs_of
from tests.controlplane.connectors.conftest import START, Given

POLICIES = """\
{apiVersion: trueup/v1, kind: Team, metadata: {name: ops}, spec: {members: [{username: a, name: A}]}}
---
apiVersion: trueup/v1
kind: System
metadata: {name: bus}
spec:
  connector: broker
  owner: ops
  role: bi
  endpoint: ENDPOINT
  internal: INTERNAL
  options: OPTIONS
  secrets: SECRETS
"""


def told(
    endpoint: str = "amqps://b.example/retail", options: str = "{queue: sales}", secrets: str = "{}"
) -> list[tuple[str, str, str]]:
    """Path, rule and remedy of what the lint finds in a System that is a broker."""
    internal = str(list(pairs_of(endpoint.strip("'"))))
    text = (
        POLICIES.replace("ENDPOINT", endpoint)
        .replace("INTERNAL", internal)
        .replace("OPTIONS", options)
        .replace("SECRETS", secrets)
    )
    entries, refused = read_policies([("bus.yaml", text)])
    return [(one.path, one.rule, one.remedy) for one in [*refused, *lint(entries, declared_connectors())]]


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        ("amqp://127.0.0.1", "{queue: sales}"),
        ("amqps://b.example:5671/%2Fretail", "{queue: sales, prefetch: 1}"),
        ("redis://127.0.0.1/5", "{queue: sales, prefetch: 1000}"),
        ("rediss://[::1]:6380", "{queue: 'sales of the day'}"),
        ("rediss://r.example/0", "{queue: sales, group: plane}"),
    ],
)
def test_a_queue_at_a_broker_is_a_system_with_or_without_a_login(endpoint: str, options: str) -> None:
    assert told(endpoint, options) == []
    assert told(endpoint, options, "{user: env:BUS_USER, password: file:bus_password}") == []


@pytest.mark.parametrize(
    ("endpoint", "rule", "remedy"),
    [
        ("kafka://b.example", "'kafka' is no broker that there is a connector for", "write for instance amqps://"),
        ("b.example:5672", "is no broker", "write for instance amqps://"),
        ("amqp:///retail", "'amqp:///retail' names no host", "write for instance amqps://"),
        ("amqp://b.example:port", "the endpoint is no address", "write for instance amqps://"),
        ("amqp://me:hush@b.example", "holds a login", "give the secrets user and password"),
        ("amqp://b.example/r?heartbeat=5", "has parameters", "leave out what follows the path"),
        ("redis://r.example/retail", "'retail' is no database of Redis", "write its number"),
    ],
)
def test_an_address_that_leads_to_no_queue_is_refused_with_what_to_write(endpoint: str, rule: str, remedy: str) -> None:
    [(path, said, mend)] = told(f"'{endpoint}'")
    assert path == "spec.endpoint"
    assert rule in said
    assert remedy in mend
    assert "hush" not in said + mend


@pytest.mark.parametrize(
    ("options", "path", "rule", "remedy"),
    [
        ("{}", "spec.options", "it names no queue", "add 'queue: NAME'"),
        ("{queue: ''}", "spec.options.queue", "'' is no name of a queue", "write text of 1 to 255 bytes"),
        ("{queue: 7}", "spec.options.queue", "'7' is no name of a queue", "write text of 1 to 255 bytes"),
        ("{queue: q, prefetch: 0}", "spec.options.prefetch", "0 is no number of records", "1 to 1000"),
        ("{queue: q, prefetch: many}", "spec.options.prefetch", "'many' is no number of records", "1 to 1000"),
        ("{queue: q, group: plane}", "spec.options.group", "only streams of Redis are read by a group", "leave it out"),
        ("{queue: q, group: ''}", "spec.options.group", "'' is no name of a group", "write text of 1 to 255 bytes"),
        ("{queue: q, prefech: 5}", "spec.options.prefech", "takes no option 'prefech'", "did you mean 'prefetch'?"),
    ],
)
def test_options_that_name_no_queue_are_refused_with_what_to_write(
    options: str, path: str, rule: str, remedy: str
) -> None:
    [(place, said, mend)] = told(options=options)
    assert place == path
    assert rule in said
    assert remedy in mend


def test_a_policy_that_was_never_linted_is_refused_when_the_connector_is_made() -> None:
    with pytest.raises(SettingsError, match=r"System 'theirs': endpoint: .*; options: it names no queue"):
        connector("kafka://b.example", queue=None)


@pytest.mark.parametrize(
    ("endpoint", "place", "port"),
    [
        ("amqp://b.example", "/", 5672),
        ("amqp://b.example/", "/", 5672),
        ("amqp://b.example//", "/", 5672),
        ("amqp://b.example/%2F", "/", 5672),
        ("amqps://b.example/retail", "retail", 5671),
        ("redis://r.example", "0", 6379),
        ("rediss://r.example:7000/5", "5", 7000),
    ],
)
def test_where_an_address_leads(endpoint: str, place: str, port: int) -> None:
    found = address_of(context(endpoint))
    assert (found.place, found.port, found.queue, found.held) == (place, port, "sales", 100)


def context(endpoint: str = "amqp://b.example", queue: str | None = "sales") -> Context:
    """What the connector is given."""
    return Given(endpoint, options={"queue": queue} if queue else {}).context()


def connector(endpoint: str = "amqp://b.example", queue: str | None = "sales") -> BrokerConnector:
    """The connector of a System, whose broker nobody asks."""
    return BrokerConnector(context(endpoint, queue))


def event(**changed: Any) -> bytes:
    """A sale of a till, in CloudEvents."""
    at = START.isoformat()
    data = {
        "ref": "R1",
        "location": "ST1",
        "sku": "0042",
        "quantity": 1,
        "unit_price": "12.90",
        "currency": "EUR",
        "sold_at": at,
    }
    found = {
        "specversion": "1.0",
        "id": "sale-1",
        "source": "tills",
        "type": "sale.recorded",
        "subject": "R1",
        "time": at,
    }
    return json.dumps(found | {"data": data} | changed).encode()


def test_an_event_is_read_as_the_api_reads_it() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    body = event(causationid="order-7", traceparent=f"00-{trace}-b7ad6b7169203331-01", schemaversion=1)
    [draft] = connector().translate(TOPIC, body)
    assert (draft.type, draft.subject, draft.source, draft.dedupe_key) == ("sale.recorded", "R1", "tills", "sale-1")
    assert (draft.causation_id, draft.trace, draft.schema_version) == (
        "order-7",
        Caller(trace, "b7ad6b7169203331"),
        1,
    )
    assert draft.data["unit_price"] == "12.90"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "an event is a JSON object"),
        (b'{"id": "1"}', "the attribute 'source' is missing"),
        (event(time=(START + timedelta(hours=1)).isoformat()), "lies ahead of our clock"),
        (event(data=[]), "`data` is a JSON object"),
    ],
)
def test_what_is_no_event_is_told_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadInputError, match=reason):
        connector().translate(TOPIC, body)


def test_what_a_stream_lost_is_told_as_what_it_is_and_never_as_an_event() -> None:
    with pytest.raises(BadInputError, match=r"the stream lost entries before they were read: .* send them again"):
        connector().translate("gap", event())


def test_the_same_bytes_are_the_same_record_and_a_corrected_event_under_its_old_id_is_another() -> None:
    assert record_of(event()) == record_of(event())
    assert record_of(event()).event_key.startswith("event:sale-1:")
    assert record_of(event(data={})).event_key != record_of(event()).event_key
    assert record_of(b"\xff\x00").body == b"\xff\x00"


def test_secrets_that_the_policy_gives_are_needed_and_are_never_shown() -> None:
    given = replace(context("amqp://127.0.0.1:1"), given=frozenset({"user", "password"}))

    def secret(name: str) -> str:
        raise SettingsError(f"the secret '{name}' is not set")

    with pytest.raises(SettingsError, match="the secret 'user' is not set"):
        BrokerConnector(replace(given, secret=secret)).ping()
