"""Who may change what of a record that waits: a port, and what stands behind it until people and their rights are kept elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from rules.correction import Change, Ruling, rule
from rules.policy.kinds import Correction


class CorrectionRules(Protocol):
    """What the workbench asks before it keeps a correction, and before it takes somebody's word for it."""

    def judge(
        self, case: Mapping[str, Any], changes: Sequence[Change], worth: Decimal | None, policy: Correction, actor: str
    ) -> Ruling:
        """Say whether `actor` may make these changes of a case (a row of its table), and whether a second person has to agree.

        `policy` is that of the record's domain; `worth` is None where it is not known.
        """
        ...

    def may_approve(self, case: Mapping[str, Any], actor: str, editors: Collection[str]) -> str | None:
        """Return why `actor` may not agree to a correction that `editors` made, or None if they may."""
        ...


class PolicyRules:
    """Fields and limits as the blueprint of the domain has them; whoever edited a record never approves it."""

    def judge(
        self, case: Mapping[str, Any], changes: Sequence[Change], worth: Decimal | None, policy: Correction, actor: str
    ) -> Ruling:
        """Say what the blueprint says; it makes no difference between people."""
        return rule(policy, changes, worth, case["fault"])

    def may_approve(self, case: Mapping[str, Any], actor: str, editors: Collection[str]) -> str | None:
        """Refuse those who edited it."""
        if actor in editors:
            return f"'{actor}' corrected this record, and it takes somebody else to approve that"
        return None
