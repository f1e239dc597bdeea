"""Writing: once, however often it is told, and whatever breaks in the middle; and never over something newer."""

from __future__ import annotations

from controlplane.connectors.conformance import faults
from controlplane.connectors.conformance.faults import Fault
from controlplane.connectors.conformance.refusing import struck
from controlplane.connectors.conformance.report import NotApplicable, demand
from controlplane.connectors.conformance.stand import Stand, each
from controlplane.connectors.contract import Write
from rules.outcomes import DONE, REPEATABLE, Guarantee, Outcome, Result

MOST_REQUESTS = 12
"""A write that takes more requests is broken off at the first so many only."""


def told_again(stand: Stand) -> str:
    """Take effect once though the same write is told three times, by connectors that know nothing of each other."""

    def check(entity: str) -> None:
        request = _promised(stand, entity)
        outcomes = [_write(stand, request) for _ in range(3)]
        demand(outcomes[0].result in DONE, f"{entity}: the first time it is {_told(outcomes[0])}")
        fine = DONE | {Result.STALE} if _guarantee(stand, entity) is Guarantee.CONDITIONAL else DONE
        for outcome in outcomes[1:]:
            demand(outcome.result in fine, f"{entity}: told again it is {_told(outcome)}")
        _once(stand, entity, request, "told three times")

    return each(stand.writes, "writes nothing", check)


def late(stand: Stand) -> str:
    """After a write that took effect and was not answered: read it back, and have it take effect no second time."""
    return _each_fault(
        stand,
        ("a connection cut after it took effect", faults.cut(reached=True)),
        ("no answer after it took effect", faults.hang(reached=True)),
        ("500 after it took effect", faults.status(500, reached=True)),
    )


def early(stand: Stand) -> str:
    """After a write that broke off before it took effect: prove that it is absent, and deliver it, once."""

    def check(entity: str) -> None:
        request = _promised(stand, entity)
        outcome = struck(stand, request, faults.cut(reached=False), "a connection cut before")
        demand(
            outcome.result is Result.UNKNOWN, f"{entity}: cut before it took effect it is {_told(outcome)}, not unknown"
        )
        seen = _read_back(stand, request)
        demand(seen.result in REPEATABLE, f"{entity}: it had no effect, and is read back as {_told(seen)}")
        _write(stand, request)
        _once(stand, entity, request, "cut before it took effect")

    return each(stand.writes, "writes nothing", check)


def crashed(stand: Stand) -> str:
    """Break off after each request that a write takes, with and without effect; go on as delivery does, and have one effect."""

    def check(entity: str) -> None:
        for reached in (False, True):
            for at in range(min(_requests(stand, _promised(stand, entity)), MOST_REQUESTS)):
                request = stand.bench.write(entity)
                stand.bench.rest()
                with stand.proxy.strike(faults.cut(reached=reached).after(at)):
                    outcome = stand.carried_out(request, stand.connector().write(request))
                told = f"cut {'after' if reached else 'before'} request {at + 1}"
                _settle(stand, entity, request, outcome, told)

    return each(stand.writes, "writes nothing", check)


def stale(stand: Stand) -> str:
    """Refuse to write over something newer, and say what is there."""

    def check(entity: str) -> None:
        if _guarantee(stand, entity) is not Guarantee.CONDITIONAL:
            raise NotApplicable(f"the vendor cannot make a write of it conditional ({_guarantee(stand, entity)})")
        request = stand.bench.stale(entity)
        outcome = _write(stand, request)
        demand(
            outcome.result is Result.STALE, f"{entity}: the target holds something newer, and it is {_told(outcome)}"
        )
        demand(outcome.current is not None, f"{entity}: stale, and it does not say what the target shows")
        demand(stand.bench.effects(request) == 0, f"{entity}: stale, and it took effect")

    return each(stand.writes, "writes nothing", check)


def _each_fault(stand: Stand, *rows: tuple[str, Fault]) -> str:
    def check(entity: str) -> None:
        for told, fault in rows:
            request = _promised(stand, entity)
            outcome = struck(stand, request, fault, told)
            demand(outcome.result is Result.UNKNOWN, f"{entity}: {told}: it is {_told(outcome)}, not unknown")
            _settle(stand, entity, request, outcome, told)

    return each(stand.writes, "writes nothing", check)


def _settle(stand: Stand, entity: str, request: Write, outcome: Outcome, told: str) -> None:
    """Do what delivery does: read back what is unknown, and try again only what may be tried again."""
    if outcome.result is Result.UNKNOWN:
        outcome = _read_back(stand, request)
        fine = DONE | REPEATABLE | {Result.STALE}
        demand(outcome.result in fine, f"{entity}: {told}: read back it is {_told(outcome)}")
    if outcome.result in REPEATABLE | {Result.UNAVAILABLE}:
        outcome = _write(stand, request)
    demand(outcome.result in DONE, f"{entity}: {told}: it ends as {_told(outcome)}")
    _once(stand, entity, request, told)


def _promised(stand: Stand, entity: str) -> Write:
    if _guarantee(stand, entity) is Guarantee.NONE:
        raise NotApplicable("the manifest promises nothing of it (guarantee none)")
    return stand.bench.write(entity)


def _guarantee(stand: Stand, entity: str) -> Guarantee:
    return stand.manifest.write_spec(entity).guarantee


def _write(stand: Stand, request: Write) -> Outcome:
    stand.bench.rest()
    return stand.carried_out(request, stand.connector().write(request))


def _read_back(stand: Stand, request: Write) -> Outcome:
    stand.bench.rest()
    return stand.carried_out(request, stand.connector().read_back(request))


def _requests(stand: Stand, request: Write) -> int:
    stand.bench.rest()
    with stand.proxy.watching() as asked:
        sent = stand.connector().write(request)
    outcome = stand.carried_out(request, sent)
    demand(outcome.result in DONE, f"{request.entity}: undisturbed it is {_told(outcome)}")
    return len(asked)


def _once(stand: Stand, entity: str, request: Write, told: str) -> None:
    effects = stand.bench.effects(request)
    demand(effects == 1, f"{entity}: {told}: it took effect {effects} times; the system's own books say so")


def _told(outcome: Outcome) -> str:
    return f"'{outcome.result}' ({outcome.detail or 'without a word'})"
