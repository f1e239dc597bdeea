"""What became of the checks of one connector, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a check found."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    """The reason says why; it is never taken for passed."""


class NotApplicable(Exception):  # noqa: N818  # an answer, no error
    """The check cannot be made here; the message says why."""


class ConformanceError(AssertionError):
    """The connector does not do what the contract says; the message names what it did and what it should have done."""


def demand(holds: object, told: str) -> None:
    """Raise ConformanceError unless it holds."""
    if not holds:
        raise ConformanceError(told)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check with its verdict."""

    check: str
    title: str
    verdict: Verdict
    detail: str = ""
    """Why it failed or does not apply; of one that passed, what was left out of it."""


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one connector."""

    connector: str
    against: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether something was checked and nothing failed."""
        verdicts = {finding.verdict for finding in self.findings}
        return Verdict.FAILED not in verdicts and Verdict.PASSED in verdicts

    def count(self, verdict: Verdict) -> int:
        """Return how many checks have the verdict."""
        return sum(finding.verdict is verdict for finding in self.findings)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        found = [asdict(finding) | {"verdict": str(finding.verdict)} for finding in self.findings]
        return {"connector": self.connector, "against": self.against, "passed": self.passed, "checks": found}

    def text(self) -> str:
        """Return the report for people: a line for each check, the reason below it."""
        lines = [f"{self.connector} against {self.against}"]
        for finding in self.findings:
            lines.append(f"  {finding.verdict:<15}{finding.check}: {finding.title}")
            lines += [f"{'':17}{line}" for line in finding.detail.splitlines()]
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in Verdict)
        return "\n".join([*lines, counts])
