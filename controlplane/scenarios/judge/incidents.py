"""Incidents held against what the scenario expects: raised, told, resolved, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.scenarios.judge.facts import IncidentFact
from controlplane.scenarios.scenario import ExpectedIncident


@dataclass(slots=True)
class Incidents:
    """What came of it; each list holds reasons in words."""

    expected: int = 0
    raised: int = 0
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    """Raised as expected, but people were not told, or not told of the end, or it did not end."""


def judge(incidents: Sequence[IncidentFact], expected: Sequence[ExpectedIncident]) -> Incidents:
    """Hold raised incidents against expected ones; an expectation covers every incident of its rule and labels."""
    result = Incidents(expected=len(expected), raised=len(incidents))
    for wanted in expected:
        mine = [incident for incident in incidents if covers(wanted, incident)]
        if not mine:
            result.missed.append(f"no incident of {wanted.rule} {_labels(wanted.labels)}".rstrip())
        for incident in mine:
            result.untold += _untold(incident, wanted)
    for incident in incidents:
        if not any(covers(wanted, incident) for wanted in expected):
            result.false.append(f"{incident.rule} {_labels(incident.labels)} at {incident.opened_at:%H:%M:%S}")
    return result


def covers(wanted: ExpectedIncident, incident: IncidentFact) -> bool:
    """Say whether the expectation is about this incident."""
    labels = all(incident.labels.get(name) == value for name, value in wanted.labels.items())
    return wanted.rule == incident.rule and labels


def _untold(incident: IncidentFact, wanted: ExpectedIncident) -> list[str]:
    name = f"{incident.rule} of {incident.opened_at:%H:%M:%S}"
    problems = []
    if "trigger" not in incident.told and not incident.inhibited:
        problems.append(f"{name} never reached the incident tool")
    if incident.state != "resolved" and not wanted.stays_open:
        problems.append(f"{name} is not resolved")
    if incident.state == "resolved" and "trigger" in incident.told and "resolve" not in incident.told:
        problems.append(f"the end of {name} never reached the incident tool")
    return problems


def _labels(labels: object) -> str:
    return str(labels) if labels else ""
