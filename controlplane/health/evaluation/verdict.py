"""What a rule says at one moment, whichever kind of rule it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rules.slo import Judgement


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of one rule.

    `firing` None means frozen: the evidence cannot decide, so what was told before stays told. `state` is meeting,
    at_risk, breached or unknown for a service level, and clear, pending, firing or unknown for an alert rule.
    """

    rule: str
    """service_level/NAME or alert_rule/NAME."""
    fingerprint: str
    """One open incident each; never made of a time or a value."""
    indicator: str
    state: str
    firing: bool | None
    severity: str
    title: str
    owner: str
    escalation: str
    policy_revision: str
    reason: str
    """The condition with the values it saw, e.g. `[queue_age target=erp] (412) > 300`."""
    labels: Mapping[str, str] = field(default_factory=dict)
    judgement: Judgement | None = None
    """Of a service level."""
    broken: bool = False
    """Judging it raised an error, which is a defect or a policy that cannot work; `reason` says which."""
