"""The report on one scenario: numbers in the stable JSON shape, and each expectation with the reasons it broke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.scenarios.judge import documents, findings, incidents
from controlplane.scenarios.judge.episodes import Episode, episodes
from controlplane.scenarios.judge.facts import Evidence
from controlplane.scenarios.scenario import Expectations


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation: what is expected, what was, and why it does not hold."""

    name: str
    expected: str
    found: str
    holds: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What the judge says."""

    numbers: dict[str, Any]
    checks: tuple[Check, ...]
    episodes: tuple[Episode, ...]

    @property
    def passed(self) -> bool:
        """Whether every expectation holds."""
        return all(check.holds for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Judged:
    evidence: Evidence
    lost: list[str]
    twice: list[str]
    wrong: list[str]
    books: list[str]
    oversold: int
    findings: findings.Findings
    incidents: incidents.Incidents


def judge(evidence: Evidence, expect: Expectations) -> Report:
    """Hold the plane against the journal and the scenario's expectations."""
    really = episodes(evidence)
    judged = _Judged(
        evidence,
        documents.lost(evidence),
        documents.applied_twice(evidence),
        documents.wrong_stock(evidence),
        documents.wrong_books(evidence),
        documents.oversold(evidence.journal),
        findings.judge(evidence.plane.findings, really, evidence.plane.promises.cycle),
        incidents.judge(evidence.plane.incidents, expect.incidents),
    )
    checks = (*_always(judged), *_expected(judged, expect))
    verdict = "pass" if all(check.holds for check in checks) else "fail"
    return Report(_numbers(judged) | {"verdict": verdict}, checks, tuple(really))


def _always(judged: _Judged) -> list[Check]:
    """What no scenario can waive."""
    found, told = judged.findings, judged.incidents
    return [
        _none("documents lost", judged.lost),
        _none("documents applied twice", judged.twice),
        _none("shop keys wrong at the end", judged.wrong),
        _none("ERP books wrong at the end", judged.books),
        _none("false findings", found.false),
        _none("findings with a wrong cause", found.wrong_cause),
        _none("episodes missed", found.missed),
        _none("incidents missed", told.missed),
        _none("incidents not expected", told.false),
        _none("incidents not told or not resolved", told.untold),
        _none("still moving when the wait ended", list(judged.evidence.unrest)),
    ]


def _none(name: str, reasons: Sequence[str]) -> Check:
    return Check(name, "0", str(len(reasons)), not reasons, tuple(reasons))


def _expected(judged: _Judged, expect: Expectations) -> list[Check]:
    cases = judged.evidence.plane.cases
    waiting = tuple(f"{case.subject}: {case.reason} ({case.state})" for case in cases)
    in_bounds, few_enough = expect.quarantined.holds(len(cases)), judged.oversold <= expect.oversold_units
    checks = [
        Check("records quarantined", str(expect.quarantined), str(len(cases)), in_bounds, waiting),
        Check("units oversold", f"at most {expect.oversold_units}", str(judged.oversold), few_enough),
    ]
    causes = Counter(finding.cause for finding in judged.evidence.plane.findings)
    for cause, least in expect.findings.items():
        found = causes[cause]
        checks.append(Check(f"findings: {cause}", f"at least {least}", str(found), found >= least))
    return checks


def _numbers(judged: _Judged) -> dict[str, Any]:
    evidence, found, told = judged.evidence, judged.findings, judged.incidents
    return {
        "scenario": evidence.scenario,
        "seed": evidence.seed,
        "simulated_seconds": round((evidence.ended - evidence.began).total_seconds(), 1),
        "wall_seconds": round(evidence.wall_seconds, 1),
        "messages": {
            "accepted": evidence.plane.accepted,
            "lost": len(judged.lost),
            "applied_twice": len(judged.twice),
            "quarantined": len(evidence.plane.cases),
        },
        "stock": {"wrong_at_end": len(judged.wrong), "oversold_units": judged.oversold},
        "findings": {
            "true": found.true,
            "false": len(found.false),
            "missed": len(found.missed),
            "cause_right": found.cause_right,
            "indeterminate": evidence.plane.indeterminate,
        },
        "incidents": {
            "expected": told.expected,
            "raised": told.raised,
            "missed": len(told.missed),
            "false": len(told.false),
        },
        "detect_seconds": {"p50": found.detect_p50, "max": found.detect_max},
    }
