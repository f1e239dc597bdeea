"""What took effect twice at its target: held for a person, with both effects, and counted. Nothing is sent because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from controlplane.store import facts
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.processes.contract import Work
from controlplane.telemetry.facts import TookEffectTwice
from rules.outcomes import Outcome

CODE = "took_effect_twice"
REMEDY = (
    "cancel all but one of them at the target, then drop this case with a word on which one stayed; where its effects come so late "
    "more than once, let its connector declare a longer late_effect"
)


@dataclass(frozen=True, slots=True)
class Written:
    """The delivery that was written."""

    id: str
    target: str
    flow: str
    entity: str
    subject: str
    message_id: str
    payload: Mapping[str, Any]


def is_twice(outcome: Outcome) -> bool:
    """Say whether a reading back shows more than one effect of the same document."""
    return len(outcome.effects) > 1


def hold(work: Work, written: Written, outcome: Outcome) -> bool:
    """Hold a document that took effect more than once; say whether it is new, for it is told once."""
    q = t.quarantine.c
    told = select(q.id).where(q.delivery_id == written.id, q.reason_code == CODE).limit(1)
    if work.connection.execute(told).first() is not None:
        return False
    flow = work.snapshot.flows.get(written.flow)
    system = work.snapshot.systems.get(written.target)
    shown = " and ".join(outcome.effects)
    reason = (
        f"{written.target} has {written.entity} {written.subject} {len(outcome.effects)} times: {shown}. The effect of a write that "
        "was not answered came after it was looked for, and the write was made again by then"
    )
    case = quarantine.Case(
        stage="delivery", system=written.target, flow=written.flow,
        owner=flow.spec.owner if flow else system.spec.owner if system else "",
        reason_code=CODE, reason=reason, remedy=REMEDY, subject=written.subject, record=dict(written.payload),
        message_id=written.message_id, delivery_id=written.id,
    )  # fmt: skip
    quarantine.hold(work.connection, work.clock, case)
    facts.note(work.connection, TookEffectTwice(written.target))
    return True
