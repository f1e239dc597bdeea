"""What the depot does with a request: its guarantee, unless a fault strikes. Knows nothing of HTTP's wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from tests.chaos.depot.faults import Fault, FaultBook
from tests.chaos.depot.journal import CONDITIONAL, INLETS, LEVELS, SHOWN, Effect, Entry, Journal, Request

STATUS = {"effect": 200, "duplicate": 200, "stale": 409, "conflict": 422, "malformed": 400}
"""Verdict -> HTTP status."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to an inlet: POST or PUT to write, GET to look up."""

    method: str
    inlet: str
    ref: str
    key: str
    body: Mapping[str, Any]

    @property
    def writes(self) -> bool:
        """Whether it is to change something."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the caller gets: an answer, nothing until it gives up, or a reset."""

    status: int | None
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    ending: Literal["answer", "silence", "reset", "garbled"] = "answer"
    verdict: str = ""


RESET = Reply(None, ending="reset")
SILENCE = Reply(None, ending="silence")


class Depot:
    """The inlets over one journal. Used by many threads."""

    def __init__(self, journal: Journal, seed: int = 0) -> None:
        self.journal = journal
        self.faults = FaultBook(seed)
        self._lock = threading.Lock()
        self._timers: set[threading.Timer] = set()
        self._after_lookup: dict[tuple[str, str], list[Call]] = {}

    @property
    def pending(self) -> int:
        """How many effects are still to come, of requests that were never answered."""
        with self._lock:
            return len(self._timers) + sum(map(len, self._after_lookup.values()))

    def handle(self, call: Call) -> Reply:
        """Do what is asked, or what was ordered to go wrong; write the request down in either case."""
        started = time.time()
        fault = self.faults.pick(call.inlet, call.ref, "write" if call.writes else "lookup")
        reply = PLAYS[fault.kind](self, call, fault) if fault else self.serve(call)
        kind = fault.kind if fault else ""
        self.journal.note(
            Request(
                call.method, call.inlet, call.ref, call.key, kind, reply.status, reply.verdict, started, time.time()
            )
        )
        if not call.writes:
            self._looked_up(call)
        return reply

    # --- without faults ---

    def serve(self, call: Call) -> Reply:
        """Look up, or let take effect what the inlet's guarantee allows."""
        if call.inlet not in INLETS:
            return Reply(404, {"error": f"there is no inlet '{call.inlet}'; there are: {', '.join(INLETS)}"})
        return self.apply(call) if call.writes else self._look_up(call)

    def apply(self, call: Call) -> Reply:
        """Write, as the inlet's guarantee allows."""
        try:
            entry = entry_of(call)
        except (KeyError, TypeError, ValueError) as error:
            return Reply(400, {"error": f"malformed: {error!r}"}, verdict="malformed")
        verdict, behind = self.journal.take(entry, time.time())
        told = {"verdict": verdict, "shown" if verdict == "stale" else "effect": behind and told_of(behind)}
        return Reply(STATUS[verdict], told, verdict=verdict)

    def _look_up(self, call: Call) -> Reply:
        if call.inlet not in SHOWN:
            return Reply(405, {"error": f"nothing can be looked up at the inlet '{call.inlet}'"})
        effects = self.journal.shown(call.inlet, call.ref)
        if not effects:
            return Reply(404, {"error": f"{call.inlet} has no {call.ref}"})
        return Reply(200, {"effects": [told_of(effect) for effect in effects]})

    # --- effects to come ---

    def later(self, call: Call, seconds: float) -> None:
        """Let the call take effect after so many seconds."""

        def run() -> None:
            self.apply(call)
            with self._lock:
                self._timers.discard(timer)

        timer = threading.Timer(seconds, run)
        timer.daemon = True
        with self._lock:
            self._timers.add(timer)
        timer.start()

    def after_lookup(self, call: Call) -> None:
        """Let the call take effect when its reference has been looked up."""
        with self._lock:
            self._after_lookup.setdefault((call.inlet, call.ref), []).append(call)

    def _looked_up(self, call: Call) -> None:
        with self._lock:
            waiting = self._after_lookup.pop((call.inlet, call.ref), [])
        for one in waiting:
            self.apply(one)


def entry_of(call: Call) -> Entry:
    """Read what a write brings. Raises KeyError, TypeError, ValueError."""
    if call.inlet not in LEVELS:
        return Entry(call.inlet, call.ref, call.key, dict(call.body))
    version, expected = call.body.get("version"), call.body.get("expected")
    return Entry(
        call.inlet, call.ref, call.key, dict(call.body), value=int(call.body["value"]),
        version=None if version is None else int(version), expected=None if expected is None else int(expected),
        compares=call.inlet in CONDITIONAL and "expected" in call.body,
    )  # fmt: skip


def told_of(effect: Effect) -> dict[str, Any]:
    """Return an effect as callers see it."""
    return {
        "number": effect.number, "idempotency_key": effect.key, "value": effect.value, "version": effect.version,
        "at": effect.at,
    }  # fmt: skip


# --- what goes wrong ---


def unavailable(depot: Depot, call: Call, fault: Fault) -> Reply:
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return Reply(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "closed for a moment"}, headers)


def throttled(depot: Depot, call: Call, fault: Fault) -> Reply:
    wait = 1.0 if fault.retry_after is None else fault.retry_after
    return Reply(HTTPStatus.TOO_MANY_REQUESTS, {"error": "slow down"}, {"Retry-After": f"{wait:g}"})


def silence(depot: Depot, call: Call, fault: Fault) -> Reply:
    return SILENCE


def reset(depot: Depot, call: Call, fault: Fault) -> Reply:
    return RESET


def effect_then_silence(depot: Depot, call: Call, fault: Fault) -> Reply:
    return Reply(None, ending="silence", verdict=depot.serve(call).verdict)


def effect_then_reset(depot: Depot, call: Call, fault: Fault) -> Reply:
    return Reply(None, ending="reset", verdict=depot.serve(call).verdict)


def late_effect(depot: Depot, call: Call, fault: Fault) -> Reply:
    depot.later(call, fault.ms / 1000)
    return RESET


def effect_after_lookup(depot: Depot, call: Call, fault: Fault) -> Reply:
    depot.after_lookup(call)
    return RESET


def slow(depot: Depot, call: Call, fault: Fault) -> Reply:
    time.sleep(fault.ms / 1000)
    return depot.serve(call)


def error_inside(depot: Depot, call: Call, fault: Fault) -> Reply:
    return Reply(HTTPStatus.OK, {"error": {"code": fault.code, "message": f"not taken: {fault.code}"}})


def garbled(depot: Depot, call: Call, fault: Fault) -> Reply:
    served = depot.serve(call)
    return Reply(HTTPStatus.OK, ending="garbled", verdict=served.verdict)


def poison(depot: Depot, call: Call, fault: Fault) -> Reply:
    return Reply(HTTPStatus.BAD_REQUEST, {"error": f"{call.ref} is not acceptable, whoever asks"})


PLAYS: Mapping[str, Callable[[Depot, Call, Fault], Reply]] = {
    "unavailable": unavailable,
    "throttled": throttled,
    "silence": silence,
    "effect_then_silence": effect_then_silence,
    "reset": reset,
    "effect_then_reset": effect_then_reset,
    "late_effect": late_effect,
    "effect_after_lookup": effect_after_lookup,
    "slow": slow,
    "error_inside": error_inside,
    "garbled": garbled,
    "poison": poison,
}
"""One per kind of fault; a test holds the two lists against each other."""
