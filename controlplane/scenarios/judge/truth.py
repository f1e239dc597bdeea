"""Truth under live traffic: findings of many runs held against the journals' episodes, in raw counts.

Counted are the episodes that outlast their promise by one cycle of the comparison, and those that healing would not let
last so long because they were found. One that was left indeterminate is missed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median
from typing import Any

from controlplane.scenarios.judge.episodes import Episode, episodes
from controlplane.scenarios.judge.facts import Difference, Evidence, FindingFact
from controlplane.scenarios.judge.findings import counts, covers, describe, names, tell

ENOUGH, OF_EACH = 5000, 300
"""Episodes that a judgement needs, and of each cause."""
SHOWN = 200
"""Reasons that are kept of each kind."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of a number, and whether it was reached."""

    name: str
    wanted: str
    got: str
    holds: bool


@dataclass(slots=True)
class Truth:
    """Raw counts; those of several runs are added up."""

    runs: int = 0
    episodes: Counter[str] = field(default_factory=Counter)
    """Cause -> episodes that count."""
    found: Counter[str] = field(default_factory=Counter)
    """Cause -> those of them that a finding names."""
    true: int = 0
    false: int = 0
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(Cause by the journal, cause by the finding) -> true findings."""
    keys: int = 0
    """Keys of all complete comparisons."""
    indeterminate: int = 0
    comparisons: int = 0
    detect: list[float] = field(default_factory=list)
    """Cycles from the end of the promise to the confirmation, for each episode that was found in its own time."""
    naive: int = 0
    naive_true: int = 0
    reasons: dict[str, list[str]] = field(default_factory=lambda: {"false": [], "missed": [], "cause": []})

    def add(self, other: Truth) -> None:
        """Add the counts of another run."""
        for name in ("runs", "true", "false", "keys", "indeterminate", "comparisons", "naive", "naive_true"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("episodes", "found", "confusion"):
            getattr(self, name).update(getattr(other, name))
        self.detect += other.detect
        for kind, told in other.reasons.items():
            self.reasons[kind] = (self.reasons[kind] + told)[:SHOWN]

    @property
    def missed(self) -> Counter[str]:
        """Cause -> episodes that no finding names."""
        return self.episodes - self.found

    def numbers(self) -> dict[str, Any]:
        """Return everything as plain values, raw counts beside the ratios."""
        right = sum(n for (real, said), n in self.confusion.items() if real == said)
        return {
            "runs": self.runs,
            "episodes": dict(sorted(self.episodes.items())),
            "found": dict(sorted(self.found.items())),
            "missed": dict(sorted(self.missed.items())),
            "findings": {"true": self.true, "false": self.false, "cause_right": right},
            "confusion": [
                {"journal": real, "finding": said, "findings": n} for (real, said), n in sorted(self.confusion.items())
            ],
            "precision": _share(self.true, self.true + self.false),
            "recall": _share(self.found.total(), self.episodes.total()),
            "cause_right": _share(right, self.true),
            "indeterminate": {"keys": self.indeterminate, "of": self.keys, "share": _share(self.indeterminate, self.keys)},
            "comparisons": self.comparisons,
            "detect_cycles": {
                "p50": round(median(self.detect), 3) if self.detect else None,
                "max": round(max(self.detect), 3) if self.detect else None,
                "within_one": sum(1 for cycles in self.detect if cycles <= 1), "of": len(self.detect),
            },
            "naive": {
                "differences": self.naive, "true": self.naive_true, "precision": _share(self.naive_true, self.naive),
            },
            "goals": [
                {"name": goal.name, "wanted": goal.wanted, "got": goal.got, "holds": goal.holds} for goal in self.goals()
            ],
            "reasons": self.reasons,
        }  # fmt: skip

    def goals(self) -> list[Goal]:
        """Hold the counts against what the product is judged by."""
        right = sum(n for (real, said), n in self.confusion.items() if real == said)
        late = sum(1 for cycles in self.detect if cycles > 1)
        few = {cause: n for cause, n in self.episodes.items() if n < OF_EACH}
        return [
            _least("precision", self.true, self.true + self.false, 0.999),
            _least("recall", self.found.total(), self.episodes.total(), 0.995),
            _least("cause right", right, self.true, 0.98),
            Goal(
                "indeterminate", "<= 0.01 of keys", f"{self.indeterminate} of {self.keys}",
                self.keys > 0 and self.indeterminate <= 0.01 * self.keys,
            ),
            Goal("detected within one cycle", "all", f"{len(self.detect) - late} of {len(self.detect)}", late == 0),
            Goal("episodes", f">= {ENOUGH}", str(self.episodes.total()), self.episodes.total() >= ENOUGH),
            Goal(
                "episodes of each cause", f">= {OF_EACH}", str(few) if few else "enough",
                bool(self.episodes) and not few,
            ),
        ]  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _least(name: str, part: int, whole: int, wanted: float) -> Goal:
    return Goal(name, f">= {wanted}", f"{part} of {whole}", whole > 0 and part >= wanted * whole)


def judge(evidence: Evidence) -> Truth:
    """Count one run."""
    really, cycle = episodes(evidence), evidence.plane.promises.cycle
    of_key: dict[str, list[Episode]] = defaultdict(list)
    for episode in really:
        of_key[episode.key].append(episode)
    truth, runs = Truth(runs=1), evidence.plane.runs
    truth.keys, truth.indeterminate = sum(run.keys for run in runs), sum(run.indeterminate for run in runs)
    truth.comparisons = len(runs)
    named = _findings(truth, evidence, of_key, cycle)
    _episodes(truth, really, named, cycle)
    _naive(truth, evidence.naive, of_key, cycle)
    return truth


def _findings(
    truth: Truth, evidence: Evidence, of_key: dict[str, list[Episode]], cycle: timedelta
) -> dict[str, list[FindingFact]]:
    """Count the findings; return the true ones by key. What still went on when the play ended was not too short to be told."""
    named: dict[str, list[FindingFact]] = defaultdict(list)
    for finding in evidence.plane.findings:
        mine = of_key[finding.key]
        matching = [
            e for e in mine if names(finding, e) and (counts(finding, e, cycle) or e.end >= evidence.ended)
        ]  # fmt: skip
        if not matching:
            truth.false += 1
            truth.reasons["false"].append(describe(finding, mine))
            continue
        truth.true += 1
        named[finding.key].append(finding)
        causes = [episode.cause for episode in matching]
        real = finding.cause if finding.cause in causes else causes[0]
        truth.confusion[real, finding.cause] += 1
        if real != finding.cause:
            truth.reasons["cause"].append(describe(finding, mine))
    return named


def _episodes(truth: Truth, really: Sequence[Episode], named: dict[str, list[FindingFact]], cycle: timedelta) -> None:
    for episode in really:
        first = min((f.confirmed_at for f in named[episode.key] if names(f, episode)), default=None)
        ended_by = any(names(f, episode) and counts(f, episode, cycle) for f in named[episode.key])
        if not episode.must_find or not (episode.outlasted(cycle) or ended_by):
            continue
        truth.episodes[episode.cause] += 1
        if first is not None:
            truth.detect.append(max(timedelta(0), first - episode.start - episode.promise) / cycle)
        if first is not None or any(covers(f, episode) for f in named[episode.key]):
            truth.found[episode.cause] += 1
        else:
            truth.reasons["missed"].append(tell(episode))


def _naive(truth: Truth, differences: Sequence[Difference], of_key: dict[str, list[Episode]], cycle: timedelta) -> None:
    """A plain difference is right where it was read while an episode that counts was longer than its promise."""
    for difference in differences:
        truth.naive += 1
        truth.naive_true += any(
            episode.outlasted(cycle)
            and episode.start + episode.promise <= difference.ended
            and difference.began <= episode.end
            for episode in of_key[difference.key]
        )
