"""One message can be followed from whoever called us to the vendor: real SDK, real OTLP over HTTP, the real sandbox."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from flask import request
from sqlalchemy import select

from controlplane.access import ensure_admin, ensure_cli_token
from controlplane.clock import ManualClock
from controlplane.errors import SettingsError
from controlplane.sandbox.app import build
from controlplane.sandbox.clock import SteppedClock
from controlplane.sandbox.scenario import read_scenario
from controlplane.settings import Settings
from controlplane.store import tables as t
from controlplane.telemetry.start import tracer_of
from controlplane.telemetry.tracing import OFF, Span, caller, span_id
from controlplane.wiring import Plane, build_plane
from rules.ids import new_id
from tests.controlplane.sandbox.client import Client, Listener
from tests.controlplane.sandbox.conftest import listener, quiet, serve
from tests.controlplane.telemetry.collector import Collector, Seen, collecting
from tests.web import served

__all__ = ["listener"]
START = datetime(2026, 11, 27, 6, tzinfo=UTC)
SKU = "0007-BLK-M"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TOLD = f"00-{TRACE}-{CALLER}-01"
VARIABLES = ("SDK_DISABLED", "TRACES_EXPORTER", "TRACES_SAMPLER", "TRACES_SAMPLER_ARG", "SERVICE_NAME")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names by the standard variables."""
    for name in VARIABLES:
        monkeypatch.delenv(f"OTEL_{name}", raising=False)
    with collecting() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running


@dataclass
class Retailer:
    """A real sandbox whose systems note the trace of every request, and planes over one home, one after another."""

    home: Path
    sandbox: Client
    clock: ManualClock
    asked: list[tuple[str, str]] = field(default_factory=list)
    """System and `traceparent` of the requests that the sandbox was sent."""

    def plane(self, *, traces: bool = True) -> Plane:
        """Start a plane on the home, as a restart does; nothing runs by itself."""
        port = int(self.sandbox.url.rpartition(":")[2])
        settings = Settings(home=self.home, sandbox_port=port, database_url="", engine="embedded", traces=traces)
        return build_plane(settings, self.clock)


@pytest.fixture
def retailer(tmp_path: Path, listener: Listener) -> Iterator[Retailer]:
    """A quiet sandbox with eight articles, 40 pieces each."""
    folder = tmp_path / "sandbox"
    sandbox = build(folder, SteppedClock(START, 0.001), read_scenario(quiet()), seed=7, plane=listener.url)
    asked: list[tuple[str, str]] = []

    @sandbox.app.before_request
    def note() -> None:
        asked.append((request.path.split("/")[1], request.headers.get("traceparent", "")))

    with ExitStack() as stack:
        yield Retailer(tmp_path, Client(serve(sandbox, stack), folder), ManualClock(START, pace=1.0), asked)


def ordered(retailer: Retailer, listener: Listener, **headers: str) -> tuple[dict[str, str], bytes]:
    """Let a customer order; return the webhook that the shop sends, with these headers added."""
    retailer.sandbox.order((SKU, 3))
    retailer.clock.advance(5)
    retailer.sandbox.advance(retailer.clock.now().isoformat())
    sent = [(head, body) for system, head, body in listener.got if head.get("X-Shopify-Topic") == "orders/create"]
    [(head, body)] = sent
    return {**head, **headers}, body


def told(plane: Plane, head: dict[str, str], body: bytes) -> None:
    """Deliver the webhook over HTTP."""
    with served(plane) as url:
        head = {name: value for name, value in head.items() if name.lower() != "host"}
        answer = httpx.post(f"{url}/hooks/shop", content=body, headers=head, trust_env=False)
        assert answer.status_code == 200, answer.text


def names(spans: list[Seen]) -> list[str]:
    return sorted(span.name for span in spans)


def test_a_message_is_followed_from_the_webhook_to_both_vendors_over_a_restart(
    retailer: Retailer, collector: Collector, listener: Listener
) -> None:
    first = retailer.plane()
    told(first, *ordered(retailer, listener, traceparent=TOLD))
    first.close()
    assert names(collector.of(TRACE)) == ["receive"]

    second = retailer.plane()
    second.sync.drain()
    second.close()

    spans = {span.span_id: span for span in collector.of(TRACE)}
    [message_id] = {span.attributes["trueup.message_id"] for span in spans.values() if span.name == "translate"}
    mine = [span for span in spans.values() if span.attributes.get("trueup.message_id") == message_id]
    assert names(mine) == ["deliver", "deliver", "process", "route", "translate"]
    for span in mine:
        assert [one.name for one in way(span, spans)] == WAYS[span.name]
        assert way(span, spans)[-1].parent == CALLER
    assert all(span.parent in {*spans, CALLER} for span in spans.values()), "no span hangs in the air"
    delivered = {span.attributes["trueup.target"]: span for span in mine if span.name == "deliver"}
    assert set(delivered) == {"erp", "wms"}
    for target, span in delivered.items():
        assert (target, f"00-{TRACE}-{span.span_id}-01") in retailer.asked, "the vendor was told the span of the write"
        assert (span.attributes["trueup.outcome"], span.attributes["trueup.attempt"], span.failed) == (
            "delivered",
            1,
            False,
        )


WAYS = {
    "translate": ["translate", "receive"],
    "process": ["process", "translate", "receive"],
    "route": ["route", "process", "translate", "receive"],
    "deliver": ["deliver", "route", "process", "translate", "receive"],
}


def way(span: Seen, spans: dict[str, Seen]) -> list[Seen]:
    """Return the span and those that it follows from, up to the first of ours."""
    found = [span]
    while found[-1].parent in spans:
        found.append(spans[found[-1].parent])
    return found


def test_spans_say_nothing_of_customers_orders_or_keys(
    retailer: Retailer, collector: Collector, listener: Listener
) -> None:
    plane = retailer.plane()
    told(plane, *ordered(retailer, listener, traceparent=TOLD))
    plane.sync.drain()
    with plane.store.read() as connection:
        rows = connection.execute(select(t.delivery.c.subject, t.delivery.c.idempotency_key)).all()
    plane.close()
    values = {str(value) for span in collector.spans for value in span.attributes.values()}
    assert rows
    assert values.isdisjoint({value for row in rows for value in row})
    assert not any(SKU in value or "@" in value or "#" in value for value in values)
    assert {span.service for span in collector.spans} == {"trueup"}


def test_each_try_is_a_span_of_its_own_and_a_failed_one_is_marked(
    retailer: Retailer, collector: Collector, listener: Listener
) -> None:
    plane = retailer.plane()
    told(plane, *ordered(retailer, listener, traceparent=TOLD))
    retailer.sandbox.fault(kind="down", target="wms", mode="503", until="30s")
    for _ in range(20):
        plane.sync.drain()
        retailer.clock.advance(30)
        retailer.sandbox.advance(retailer.clock.now().isoformat())
    plane.close()
    tries = [
        span for span in collector.of(TRACE) if span.name == "deliver" and span.attributes["trueup.target"] == "wms"
    ]
    assert len(tries) >= 2
    assert len({span.span_id for span in tries}) == len(tries)
    assert len({span.parent for span in tries}) == 1
    assert (tries[0].failed, tries[-1].failed) == (True, False)
    sent = [header for system, header in retailer.asked if system == "wms" and TRACE in header]
    assert {header.split("-")[2] for header in sent} >= {span.span_id for span in tries}


def test_an_api_callers_trace_is_taken_from_the_event_else_from_the_request(
    retailer: Retailer, collector: Collector
) -> None:
    plane = retailer.plane()
    other = f"00-{'a' * 32}-{'b' * 16}-01"
    ensure_token(plane)
    token = (retailer.home / "cli-token").read_text(encoding="ascii").strip()
    event = {
        "id": "e1", "source": "wms", "type": "stock.level", "subject": f"{SKU}@WH1", "time": "2026-11-27T05:59:00Z",
        "data": {
            "sku": SKU, "location": "WH1", "on_hand": 40, "allocated": 0, "available": 40, "in_transit": 0,
            "source_at": "2026-11-27T05:59:00Z",
        },
    }  # fmt: skip
    with served(plane) as url, httpx.Client(base_url=url, trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        for body, headers in (
            (event, {"traceparent": TOLD}),
            ({**event, "id": "e2", "traceparent": other}, {"traceparent": TOLD}),
            ({**event, "id": "e3"}, {"traceparent": "not a trace at all"}),
        ):
            assert client.post("/api/v1/messages", json=body, headers=headers).status_code == 202
    plane.close()
    accepted = [span for span in collector.spans if span.name == "accept"]
    assert [(span.trace_id, span.parent) for span in accepted[:2]] == [(TRACE, CALLER), ("a" * 32, "b" * 16)]
    assert accepted[2].parent == ""
    assert accepted[2].trace_id not in (TRACE, "a" * 32)


def ensure_token(plane: Plane) -> None:
    """Give the plane an administrator and the command line's token."""
    ensure_admin(plane.store, plane.clock, "correct horse battery")
    ensure_cli_token(plane.store, plane.clock, plane.settings.home / "cli-token")


def test_without_traces_the_callers_trace_is_kept_and_vendors_are_told_nothing(
    retailer: Retailer, collector: Collector, listener: Listener
) -> None:
    plane = retailer.plane(traces=False)
    told(plane, *ordered(retailer, listener, traceparent=TOLD))
    plane.sync.drain()
    with plane.store.read() as connection:
        for table in (t.intake, t.message, t.delivery):
            assert TRACE in connection.execute(select(table.c.trace_id)).scalars().all(), table.name
    plane.close()
    assert collector.spans == []
    assert {header for _, header in retailer.asked} == {""}


def test_nothing_of_opentelemetry_is_imported_while_traces_are_off(collector: Collector, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from controlplane.settings import Settings; "
        "from controlplane.wiring import build_plane; "
        f"build_plane(Settings(home=Path({str(tmp_path)!r}), database_url='')).close(); "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "PROTOCOL=grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "zipkin"}, "EXPORTER=zipkin"),
    ],
)
def test_traces_that_could_not_be_sent_are_refused_with_the_variable(environment: dict[str, str], names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        tracer_of(True, environment)


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_the_standard_switches_turn_traces_off(off: dict[str, str]) -> None:
    assert tracer_of(True, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", **off}) is OFF
    assert tracer_of(False, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}) is OFF


def test_a_share_of_the_traces_is_taken_whole_and_every_process_takes_the_same(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "plane-of-the-shop")
    traces = [new_id(START + timedelta(milliseconds=n)).replace("-", "") for n in range(400)]
    one, two = tracer_of(True), tracer_of(True)
    for name, tracer, parent in (("receive", one, ""), ("deliver", two, "ab" * 8)):
        taken = [trace for trace in traces if tracer.takes(trace)]
        tracer.record(Span(name, trace, span_id(name, trace), parent, START, START) for trace in taken)
    flagged = {trace for trace in traces if two.traceparent(trace, "ab" * 8).endswith("-01")}
    one.close()
    two.close()
    by_name = {name: {s.trace_id for s in collector.spans if s.name == name} for name in ("receive", "deliver")}
    assert by_name["receive"] == by_name["deliver"] == flagged
    assert 50 < len(flagged) < 150
    assert {span.service for span in collector.spans} == {"plane-of-the-shop"}


def test_a_collector_that_is_away_holds_nothing_up(
    retailer: Retailer, collector: Collector, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    plane = retailer.plane()
    told(plane, *ordered(retailer, listener, traceparent=TOLD))
    plane.sync.drain()
    with plane.store.read() as connection:
        states = set(connection.execute(select(t.delivery.c.state).where(t.delivery.c.trace_id == TRACE)).scalars())
    plane.close()
    assert states == {"delivered"}


@pytest.mark.parametrize(
    "header",
    [None, "", "garbage", f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{CALLER}-01",
     f"00-{TRACE.upper()}-{CALLER}-01", f"00-{TRACE}-{CALLER}"],
)  # fmt: skip
def test_a_header_that_is_not_as_the_standard_has_it_is_gone_on_without(header: str | None) -> None:
    assert caller(header) is None


def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known() -> None:
    assert caller(f" cc-{TRACE}-{CALLER}-01-what-comes ") == (TRACE, CALLER)


def test_a_rows_span_always_has_the_same_id_and_no_other_rows() -> None:
    assert span_id("message", "m1") == span_id("message", "m1")
    assert len({span_id(kind, row) for kind in ("message", "process") for row in ("m1", "m2")}) == 4
    assert len(bytes.fromhex(span_id("attempt", "d1/3"))) == 8
