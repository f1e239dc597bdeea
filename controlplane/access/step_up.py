"""Proving anew who one is before deciding: one rule for those with a password here and those who come from a provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.access.rights import Actor
from controlplane.errors import StepUpError
from controlplane.settings import Settings
from rules.policy.kinds import format_duration


@dataclass(frozen=True, slots=True)
class StepUp:
    """How fresh the proof of who one is has to be (zero: any), and which `acr` a provider has to vouch for (none: any)."""

    age: timedelta
    acr: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> StepUp:
        """Return what the settings ask for."""
        return cls(timedelta(seconds=settings.step_up_age), tuple(settings.oidc_acr.split()))

    def require(self, actor: Actor, now: datetime) -> None:
        """Raise StepUpError, saying what is wrong with the proof, unless it is good enough."""
        if why := self.lacking(actor, now):
            acr = self.acr if actor.issuer else ()
            raise StepUpError(f"{why}; prove anew that it is you, and try again", self.age.total_seconds(), acr)

    def lacking(self, actor: Actor, now: datetime) -> str:
        """Return what is wrong with the actor's proof; nothing when it is good enough."""
        wanted = self.acr if actor.issuer else ()
        if not self.age and not wanted:
            return ""
        if actor.proof is None:
            return f"'{actor.name}' came by a service token, and what decides is a person who has signed in"
        if self.age and not self._fresh(actor.proof.auth_time, now):
            return f"'{actor.name}' has not proved within the last {format_duration(self.age)} who it is"
        if wanted and actor.proof.acr not in wanted:
            return f"'{actor.name}' signed in by '{actor.proof.acr or 'nothing named'}', and it takes {' or '.join(wanted)}"
        return ""

    def _fresh(self, auth_time: datetime | None, now: datetime) -> bool:
        return auth_time is not None and now - auth_time <= self.age
