"""All checks, and running them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane import plugins
from controlplane.connectors.conformance import reading, receiving, refusing, secrecy, values, writing
from controlplane.connectors.conformance.bench import Bench
from controlplane.connectors.conformance.report import ConformanceError, Finding, NotApplicable, Report, Verdict
from controlplane.connectors.conformance.stand import Stand
from controlplane.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `run` returns what was left out of it, if anything; raises NotApplicable or ConformanceError."""

    name: str
    run: Callable[[Stand], str]

    @property
    def title(self) -> str:
        """What is checked, in one sentence."""
        return " ".join((self.run.__doc__ or "").split())


CHECKS = (
    Check("paging.empty", reading.empty),
    Check("paging.complete", reading.complete),
    Check("paging.stable", reading.stable),
    Check("paging.resumable", reading.resumable),
    Check("paging.unbroken", reading.unbroken),
    Check("paging.huge", reading.swollen),
    Check("errors.throttled", refusing.throttled),
    Check("errors.unreachable", refusing.unreachable),
    Check("errors.reads", refusing.reads),
    Check("errors.writes", refusing.writes),
    Check("errors.redirects", refusing.redirects),
    Check("errors.refused", refusing.refused),
    Check("writes.once", writing.told_again),
    Check("writes.after-effect", writing.late),
    Check("writes.before-effect", writing.early),
    Check("writes.crashed", writing.crashed),
    Check("writes.stale", writing.stale),
    Check("webhooks.signature", receiving.signature),
    Check("webhooks.replay", receiving.replay),
    Check("queue.acknowledged", receiving.queue),
    Check("values.unknown-codes", values.unheard_of),
    Check("values.new-members", values.new_members),
    Check("values.canonical", values.canonical),
    Check("values.zones", values.zones),
    Check("values.decimals", values.decimals),
    Check("secrets.untold", secrecy.secrets),
)


def bench_of(name: str) -> type[Bench]:
    """Return the bench of a connector. Raises NotFoundError for an unknown connector, and for one without a bench."""
    plugins.load("connectors", name)
    benches = plugins.registered("conformance")
    if name not in benches:
        raise NotFoundError(
            f"the connector '{name}' has no bench, so that it cannot be tried; those that have: {', '.join(benches) or 'none'}. "
            "Write one (docs/connectors.md, Conformance) and register it as an entry point of the group trueup.conformance"
        )
    found: type[Bench] = benches[name].load()
    return found


@contextmanager
def standing(name: str, bench: Bench) -> Iterator[Stand]:
    """Start the system of a bench; stop it in the end. Raises NotApplicable when something is missing here."""
    with tempfile.TemporaryDirectory(prefix="trueup-conformance-") as folder:
        try:
            stand = Stand(name, bench, bench.start(Path(folder)))
            try:
                yield stand
            finally:
                stand.close()
        finally:
            bench.stop()


def examine(check: Check, stand: Stand) -> Finding:
    """Make one check."""
    try:
        stand.bench.rest()
        left_out = check.run(stand)
    except NotApplicable as reason:
        return Finding(check.name, check.title, Verdict.NOT_APPLICABLE, str(reason))
    except ConformanceError as error:
        return Finding(check.name, check.title, Verdict.FAILED, str(error))
    except Exception as error:  # noqa: BLE001  # a defect of the connector, or of the bench: either is told
        return Finding(check.name, check.title, Verdict.FAILED, f"it broke with {type(error).__name__}: {error}")
    return Finding(check.name, check.title, Verdict.PASSED, left_out)


def run(name: str, bench: Bench, chosen: str = "", tell: Callable[[Finding], None] | None = None) -> Report:
    """Make all checks whose name begins with `chosen`. A system that cannot be started leaves all of them not applicable."""
    found: list[Finding] = []
    wanted = [check for check in CHECKS if check.name.startswith(chosen)]
    if not wanted:
        raise NotFoundError(f"no check begins with '{chosen}'; there are: {', '.join(check.name for check in CHECKS)}")
    try:
        with standing(name, bench) as stand:
            for check in wanted:
                found.append(examine(check, stand))
                if tell:
                    tell(found[-1])
    except NotApplicable as reason:
        found = [Finding(check.name, check.title, Verdict.NOT_APPLICABLE, str(reason)) for check in wanted]
    return Report(name, bench.against, tuple(found))
