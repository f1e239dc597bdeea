"""Findings held against episodes: true, with the right cause, missed, and how soon."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median

from controlplane.scenarios.judge.episodes import Episode
from controlplane.scenarios.judge.facts import CONFIRMATION, FindingFact


@dataclass(slots=True)
class Findings:
    """What came of holding one against the other. Reasons name the key, the instants and the causes."""

    true: int = 0
    cause_right: int = 0
    false: list[str] = field(default_factory=list)
    wrong_cause: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    detect: list[float] = field(default_factory=list)
    """Seconds from the end of the promise to the confirmation, for each episode that was found."""

    @property
    def detect_p50(self) -> float:
        """Median seconds to detect; 0 when nothing was found."""
        return round(median(self.detect), 1) if self.detect else 0.0

    @property
    def detect_max(self) -> float:
        """Longest time to detect; 0 when nothing was found."""
        return round(max(self.detect), 1) if self.detect else 0.0


def judge(findings: Sequence[FindingFact], episodes: Sequence[Episode], cycle: timedelta) -> Findings:
    """Hold confirmed findings against the journal's episodes."""
    result = Findings()
    named: dict[int, FindingFact] = {}
    standing: dict[str, list[FindingFact]] = defaultdict(list)
    of_key: dict[str, list[tuple[int, Episode]]] = defaultdict(list)
    for at, episode in enumerate(episodes):
        of_key[episode.key].append((at, episode))
    for finding in findings:
        mine = of_key[finding.key]
        matching = [(at, e) for at, e in mine if names(finding, e) and counts(finding, e, cycle)]
        if not matching:
            result.false.append(describe(finding, [episode for _, episode in mine]))
            continue
        result.true += 1
        standing[finding.key].append(finding)
        if any(episode.cause == finding.cause for _, episode in matching):
            result.cause_right += 1
        else:
            result.wrong_cause.append(describe(finding, [episode for _, episode in mine]))
        for at, _ in matching:
            earlier = named.get(at)
            named[at] = finding if earlier is None or finding.confirmed_at < earlier.confirmed_at else earlier
    result.detect = [_delay(named[at], episodes[at]) for at in sorted(named)]
    for at, episode in enumerate(episodes):
        due = episode.must_find and episode.outlasted(cycle + CONFIRMATION)
        if due and at not in named and not any(covers(finding, episode) for finding in standing[episode.key]):
            result.missed.append(tell(episode))
    return result


def covers(finding: FindingFact, episode: Episode) -> bool:
    """Say whether a true finding of the key and cause stood while the episode was longer than its promise."""
    same = (finding.key, finding.cause) == (episode.key, episode.cause)
    ended = finding.closed_at is not None and finding.closed_at < episode.start + episode.promise
    return same and not ended and finding.confirmed_at <= episode.end + CONFIRMATION


def names(finding: FindingFact, episode: Episode) -> bool:
    """Say whether the finding was confirmed while the episode was longer than its promise."""
    within = episode.start + episode.promise <= finding.confirmed_at <= episode.end + CONFIRMATION
    return finding.key == episode.key and within


def counts(finding: FindingFact, episode: Episode, cycle: timedelta) -> bool:
    """Say whether it outlasted its promise by a cycle, or by less because this very finding ended it."""
    return episode.outlasted(cycle) or (episode.outlasted() and finding.state in ("healing", "healed"))


def _delay(finding: FindingFact, episode: Episode) -> float:
    return max(0.0, (finding.confirmed_at - episode.start - episode.promise).total_seconds())


def describe(finding: FindingFact, episodes: Sequence[Episode]) -> str:
    """Say what the finding says, and what the journal knows of its key near then."""
    at = finding.confirmed_at
    near = [e for e in episodes if e.key == finding.key and e.start <= at <= e.end + 4 * CONFIRMATION]
    real = "; ".join(tell(episode) for episode in near) or "nothing was wrong with the key then"
    return f"{finding.key} at {finding.side}: {finding.cause}, confirmed {at:%H:%M:%S}. The journal: {real}"


def tell(episode: Episode) -> str:
    """Say when the episode was, and what."""
    return f"{episode.key} {episode.cause} {episode.start:%H:%M:%S} to {episode.end:%H:%M:%S} ({episode.what})"
