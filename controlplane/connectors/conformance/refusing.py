"""Errors: each thing that can go wrong has its one consequence, and a system that asks for rest is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controlplane.connectors.conformance import faults
from controlplane.connectors.conformance.faults import Fault
from controlplane.connectors.conformance.report import NotApplicable, demand
from controlplane.connectors.conformance.stand import IMPATIENT, PATIENT, Stand, each
from controlplane.connectors.contract import Connector, Write
from controlplane.errors import ConnectorError, RejectedError, ThrottledError, UnavailableError, UnreadableError
from rules.outcomes import Outcome, Result

WAIT = 7
OF_READS: tuple[tuple[str, Fault, tuple[type[ConnectorError], ...]], ...] = (
    ("400", faults.status(400), (RejectedError,)),
    ("401", faults.status(401), (UnavailableError,)),
    ("403", faults.status(403), (RejectedError,)),
    ("404", faults.status(404), (RejectedError,)),
    ("500", faults.status(500), (UnavailableError,)),
    ("503", faults.status(503), (UnavailableError,)),
    ("503 with Retry-After", faults.status(503, Retry_After=str(WAIT)), (UnavailableError,)),
    ("a redirect", faults.redirect(), (RejectedError,)),
    ("a connection cut before the request was carried out", faults.cut(reached=False), (UnavailableError,)),
    ("a connection cut after it", faults.cut(reached=True), (UnavailableError,)),
    ("no answer", faults.hang(reached=True), (UnavailableError,)),
    ("an answer that drips", faults.drip(), (UnavailableError,)),
    ("half an answer", faults.truncated(), (UnreadableError,)),
    ("a page of some proxy", faults.rubbish(), (UnreadableError,)),
)
OF_WRITES: tuple[tuple[str, Fault, tuple[Result, ...]], ...] = (
    ("400", faults.status(400), (Result.REJECTED,)),
    ("401", faults.status(401), (Result.UNAVAILABLE,)),
    ("403", faults.status(403), (Result.REJECTED,)),
    ("500", faults.status(500), (Result.UNKNOWN,)),
    ("500 after it took effect", faults.status(500, reached=True), (Result.UNKNOWN,)),
    ("502", faults.status(502), (Result.UNKNOWN,)),
    ("503", faults.status(503), (Result.UNKNOWN,)),
    ("503 with Retry-After", faults.status(503, Retry_After=str(WAIT)), (Result.UNAVAILABLE,)),
    ("408", faults.status(408), (Result.UNKNOWN,)),
    ("a redirect", faults.redirect(), (Result.REJECTED,)),
    ("a connection cut before the request was carried out", faults.cut(reached=False), (Result.UNKNOWN,)),
    ("a connection cut after it", faults.cut(reached=True), (Result.UNKNOWN,)),
    ("no answer", faults.hang(reached=True), (Result.UNKNOWN,)),
    ("an answer that drips", faults.drip(), (Result.UNKNOWN,)),
)
UNTOLD: tuple[tuple[str, Fault, tuple[Result, ...]], ...] = (
    ("a page of some proxy", faults.rubbish(), (Result.UNKNOWN,)),
)
SLOW = ("hang", "drip")


def throttled(stand: Stand) -> str:
    """Say for how long the system wants to be left alone, after one request and no more; its own way of saying so included."""
    ways = [("429 with Retry-After", faults.status(429, Retry_After=str(WAIT)), float(WAIT))]
    if stand.bench.throttling is not None:
        own = Fault("answer", False, stand.bench.throttling)
        ways.append(("the vendor's own 'slow down'", own, stand.bench.throttled_for or 0.0))
    _ = stand.proxy
    for told, fault, wait in ways:
        for name, read in stand.readings():
            _throttled_read(stand, f"{name}: {told}", fault, wait, read)
        if stand.writes:
            each(stand.writes, "", lambda entity: _throttled_write(stand, entity, told, fault, wait))  # noqa: B023
    return "" if stand.bench.throttling is not None else "the bench knows no way of the vendor's own"


def reads(stand: Stand) -> str:
    """Answer each failure of a read with its class of error, and never with records."""
    readings, left_out = list(stand.readings()), []
    if not readings:
        raise NotApplicable("the connector reads nothing")
    _ = stand.proxy
    for name, read in readings:
        for told, fault, wanted in OF_READS:
            try:
                _one_read(stand, f"{name}: {told}", fault, wanted, read)
            except NotApplicable as reason:
                left_out.append(f"{name}: {reason}")
    return "; ".join(dict.fromkeys(left_out))


def unreachable(stand: Stand) -> str:
    """Say 'unavailable' when nobody listens there: nothing was sent, and nothing is in doubt."""
    endpoint = stand.proxy.endpoint.replace(stand.proxy.endpoint.split("/")[2], "127.0.0.1:9")
    for name, read in stand.readings():
        error = _error(stand.connector(endpoint=endpoint), read)
        demand(
            isinstance(error, UnavailableError),
            f"{name}: nobody listens, and that is {_named(error)}, not UnavailableError",
        )
    if stand.writes:
        return each(stand.writes, "", lambda entity: _unreachable_write(stand, entity, endpoint))
    return ""


def writes(stand: Stand) -> str:
    """Answer each failure of a write with its named outcome; what may have taken effect is unknown, and nothing else is."""
    _ = stand.proxy

    def check(entity: str) -> None:
        rows = OF_WRITES if stand.bench.silent_success else (*OF_WRITES, *UNTOLD)
        for told, fault, wanted in rows:
            outcome = struck(stand, stand.bench.write(entity), fault, told)
            demand(outcome.result in wanted, f"{entity}: {told} is {_told(outcome)}; it has to be {wanted[0]}")
            if told == "503 with Retry-After":
                demand(
                    outcome.retry_after == WAIT,
                    f"{entity}: {told} asks for {WAIT} s, and it answers {outcome.retry_after}",
                )

    left_out = each(stand.writes, "writes nothing", check)
    silent = stand.bench.silent_success
    return "; ".join(filter(None, (left_out, f"a page of some proxy was not tried: {silent}" if silent else "")))


def redirects(stand: Stand) -> str:
    """Follow no redirect: a redirected write would be sent twice, and credentials would go where policy does not say."""
    stand.bench.rest()
    fault = faults.redirect().at(lambda one: not one.path.startswith(faults.REDIRECTED))
    with stand.proxy.watching() as asked, stand.strike(fault, "a redirect"):
        for _, read in stand.readings():
            _error(stand.connector(), read)
        for entity in stand.writes:
            try:
                stand.connector().write(stand.bench.write(entity))
            except NotApplicable:
                continue
    followed = [one.path for one in asked if one.path.startswith(faults.REDIRECTED)]
    demand(not followed, f"it followed a redirect: {followed[:3]}")
    return ""


def refused(stand: Stand) -> str:
    """Answer a write that the system refuses for good with `rejected` and the system's own words."""

    def check(entity: str) -> None:
        stand.bench.rest()
        request = stand.bench.refused(entity)
        outcome = stand.carried_out(request, stand.connector().write(request))
        demand(
            outcome.result is Result.REJECTED, f"{entity}: the system refuses it for good, and it is {_told(outcome)}"
        )
        demand(outcome.detail.strip(), f"{entity}: rejected, and nobody is told why")
        demand(stand.bench.effects(request) == 0, f"{entity}: rejected, and it took effect")

    return each(stand.writes, "writes nothing", check)


def struck(stand: Stand, request: Write, fault: Fault, told: str) -> Outcome:
    """Return the outcome of a write whose own request a fault struck. The connector has spoken to the system before."""
    stand.bench.rest()
    connector = stand.connector(IMPATIENT if fault.act in SLOW else PATIENT)
    with stand.strike(fault.at(stand.bench.is_write), told):
        return connector.write(request)


def _one_read(
    stand: Stand, told: str, fault: Fault, wanted: tuple[type[ConnectorError], ...], read: Callable[[Connector], Any]
) -> None:
    stand.bench.rest()
    connector = stand.connector(IMPATIENT if fault.act in SLOW else PATIENT)
    with stand.strike(fault.at(stand.bench.is_read), told):
        error = _error(connector, read)
    demand(isinstance(error, wanted), f"{told} is {_named(error)}; it has to be {wanted[0].__name__}")


def _throttled_read(stand: Stand, told: str, fault: Fault, wait: float, read: Callable[[Connector], Any]) -> None:
    stand.bench.rest()
    connector = stand.connector()
    with stand.proxy.watching() as asked, stand.strike(fault.at(stand.bench.is_read), told):
        error = _error(connector, read)
    sent = [one for one in asked if stand.bench.is_read(one)]
    demand(isinstance(error, ThrottledError), f"{told} is {_named(error)}; it has to be ThrottledError")
    demand(
        getattr(error, "retry_after", None) == wait, f"{told}: it asks for {wait} s, and {_named(error)} says otherwise"
    )
    demand(len(sent) == 1, f"{told}: it was asked {len(sent)} times, though it wants to be left alone")


def _throttled_write(stand: Stand, entity: str, told: str, fault: Fault, wait: float) -> None:
    request = stand.bench.write(entity)
    with stand.proxy.watching() as asked:
        outcome = struck(stand, request, fault, told)
    sent = [one for one in asked if stand.bench.is_write(one)]
    demand(outcome.result is Result.THROTTLED, f"{entity}: {told} is {_told(outcome)}; it has to be throttled")
    demand(outcome.retry_after == wait, f"{entity}: {told} asks for {wait} s, and it answers {outcome.retry_after}")
    demand(len(sent) == 1, f"{entity}: {told}: it was asked {len(sent)} times, though it wants to be left alone")
    demand(stand.bench.effects(request) == 0, f"{entity}: {told}, and it took effect")


def _unreachable_write(stand: Stand, entity: str, endpoint: str) -> None:
    outcome = stand.connector(endpoint=endpoint).write(stand.bench.write(entity))
    demand(
        outcome.result is Result.UNAVAILABLE, f"{entity}: nobody listens, and that is {_told(outcome)}, not unavailable"
    )


def _error(connector: Connector, read: Callable[[Connector], Any]) -> ConnectorError | None:
    try:
        read(connector)
    except ConnectorError as error:
        return error
    return None


def _named(error: ConnectorError | None) -> str:
    return f"{type(error).__name__} ({error})" if error else "no error at all"


def _told(outcome: Outcome) -> str:
    return f"'{outcome.result}' ({outcome.detail or 'without a word'})"
