"""From what was committed to spans: receive or accept, translate, process, route, deliver.

caller's span > receive (intake) > translate (message) > process > route > deliver (one for each try)
                accept (message, where nothing had to be translated) > process > ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from controlplane.telemetry import facts as f
from controlplane.telemetry.tracing import Kind, Span, span_id

FAILED = frozenset({"unavailable", "rejected", "unknown", "throttled"})
"""Outcomes after which the target does not show what it was sent."""
SERVED = frozenset({"webhook", "api"})
"""Channels on which we are asked; on the others we go and fetch."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Takes = Callable[[str], bool]
"""Whether spans of a trace are taken."""


def spans_of(facts: Sequence[object], now: datetime, takes: Takes) -> Iterator[Span]:
    """Yield the spans of one commit that has just ended, those of the traces that are taken."""
    for fact in facts:
        match fact:
            case f.Received():
                yield from _received(fact, now, takes)
            case f.Accepted():
                yield from _accepted(fact, now, takes)
            case f.Processed():
                yield from _processed(fact, now, takes)
            case f.Attempted():
                yield from _attempted(fact, takes)


def deliver_id(one: f.Owed) -> str:
    """Return the span id of a try; the fence makes it one of its own, also after a replay."""
    return span_id("attempt", f"{one.id}/{one.fence}")


def _side(channel: str) -> Kind:
    return "server" if channel in SERVED else "internal" if channel == f.PLANE.channel else "consumer"


def _received(fact: f.Received, now: datetime, takes: Takes) -> Iterator[Span]:
    about = {"trueup.system": fact.system, "trueup.channel": fact.channel}
    for row in fact.records:
        if not takes(row["trace_id"]):
            continue
        yield Span(
            "receive", row["trace_id"], span_id("intake", row["id"]), fact.parent, row["received_at"], now,
            _side(fact.channel), {**about, "trueup.intake_id": row["id"]},
        )  # fmt: skip


def _accepted(fact: f.Accepted, now: datetime, takes: Takes) -> Iterator[Span]:
    for row in fact.messages:
        if not takes(row["trace_id"]):
            continue
        channel, parent, began = fact.origins[row["id"]]
        translated = began is not None
        yield Span(
            "translate" if translated else "accept", row["trace_id"], span_id("message", row["id"]), parent,
            began or EPOCH + timedelta(microseconds=row["accepted_at"]), now,
            "internal" if translated else _side(channel),
            {
                "trueup.channel": channel, "trueup.source": row["source"], "trueup.type": row["type"],
                "trueup.message_id": row["id"],
            },
        )  # fmt: skip


def _processed(fact: f.Processed, now: datetime, takes: Takes) -> Iterator[Span]:
    for step in fact.steps:
        if not takes(step.trace_id):
            continue
        process, about = span_id("process", step.id), {"trueup.type": step.type, "trueup.message_id": step.id}
        yield Span(
            "process", step.trace_id, process, span_id("message", step.id), step.began, step.ended, "internal",
            {**about, "trueup.result": step.result}, step.result != "processed",
        )  # fmt: skip
        if step.result == "processed":
            yield Span(
                "route", step.trace_id, span_id("route", step.id), process, step.ended, now, "internal",
                {**about, "trueup.deliveries": step.owed},
            )  # fmt: skip


def _attempted(fact: f.Attempted, takes: Takes) -> Iterator[Span]:
    for one in fact.tries:
        claimed, outcome = one.claimed, str(one.outcome.result)
        if not takes(claimed.trace_id):
            continue
        yield Span(
            "deliver", claimed.trace_id, deliver_id(claimed), span_id("route", claimed.message_id), one.started_at,
            one.finished_at, "client",
            {
                "trueup.flow": claimed.flow, "trueup.target": claimed.target, "trueup.entity": claimed.entity,
                "trueup.kind": one.kind, "trueup.outcome": outcome, "trueup.attempt": claimed.attempt,
                "trueup.counted": claimed.id in fact.counted, "trueup.delivery_id": claimed.id,
                "trueup.message_id": claimed.message_id,
                "trueup.idempotency_key_hash": sha256(claimed.idempotency_key.encode()).hexdigest()[:16],
            },
            outcome in FAILED,
        )  # fmt: skip
