"""Hand spans to OpenTelemetry's SDK, which sends them to a collector by OTLP over HTTP. Imported only when traces are on.

Everything is set by the standard OTEL_* variables: endpoint, headers, resource, sampler, sizes of queue and batch. Our spans are
over when they are made, so they are given to the SDK whole (3 µs each, where starting and ending one takes 40).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from controlplane.telemetry.tracing import TRACE_ID, Span

KINDS = {
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
}
LAST = 5.0
"""Seconds that the last spans may take to be sent when the process ends."""
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
SCOPE = InstrumentationScope("trueup")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class OtelTracer:
    """Takes spans of sampled traces and sends them in the background; what the queue cannot hold is dropped."""

    on = True

    def __init__(self) -> None:
        provider = TracerProvider(shutdown_on_exit=False)  # reads sampler and resource from the environment
        self._sampler = provider.sampler
        resource = provider.resource
        unnamed = str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
        self._resource = resource.merge(Resource({SERVICE_NAME: "trueup"})) if unnamed else resource
        self._exporter = OTLPSpanExporter()
        self._processor = BatchSpanProcessor(self._exporter)

    def takes(self, trace_id: str) -> bool:
        """Decide by the trace id alone, so that every process decides alike for each step of a trace.

        The sampler is shown a hash of it: it takes trace ids for random, and those that are made of a row's id are not.
        """
        if not TRACE_ID.fullmatch(trace_id):
            return False
        mixed = int.from_bytes(blake2b(trace_id.encode(), digest_size=16).digest())
        return bool(self._sampler.should_sample(None, mixed, "message").decision.is_sampled())

    def record(self, spans: Iterable[Span]) -> None:
        """Take spans that are over, of traces that are taken."""
        for span in spans:
            self._processor.on_end(self._made(span))

    def traceparent(self, trace_id: str, span_id: str) -> str:
        """Return the header that makes a request belong to a span; empty for a trace that has no proper id."""
        if not TRACE_ID.fullmatch(trace_id):
            return ""
        return f"00-{trace_id}-{span_id}-{'01' if self.takes(trace_id) else '00'}"

    def close(self) -> None:
        """Send what is left, within some seconds, and end: a collector that is away must not hold the process up."""
        last = threading.Thread(target=self._processor.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(LAST)
        if last.is_alive():
            self._exporter.shutdown()

    def _made(self, span: Span) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent = SpanContext(trace_id, int(span.parent, 16), True, SAMPLED) if span.parent else None
        return ReadableSpan(
            span.name, context=SpanContext(trace_id, int(span.span_id, 16), False, SAMPLED), parent=parent,
            resource=self._resource, attributes=span.attributes, kind=KINDS[span.kind],
            status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET), start_time=_nanos(span.began),
            end_time=_nanos(max(span.began, span.ended)), instrumentation_scope=SCOPE,
        )  # fmt: skip


def _nanos(instant: datetime) -> int:
    return (instant - EPOCH) // MICROSECOND * 1000
