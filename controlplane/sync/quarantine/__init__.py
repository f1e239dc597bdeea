"""Where a record that needs a person waits, whole. Law: nothing leaves but by a person's correction or decision; age closes nothing."""

from controlplane.sync.quarantine import sealed
from controlplane.sync.quarantine.cases import (
    OPEN,
    Case,
    Corrected,
    agreed,
    approve,
    ask_approval,
    correct,
    drop,
    examine,
    get,
    hold,
    mark_reopened,
    mark_replayed,
    opened,
    overtaken,
    postpone,
    schedule,
    supersede,
    unschedule,
)
from controlplane.sync.quarantine.history import chain, editors, event
from controlplane.sync.quarantine.rules import CorrectionRules, PolicyRules
from controlplane.sync.quarantine.selection import Selection
from controlplane.sync.quarantine.vouching import vouch, vouched_at

__all__ = [
    "OPEN",
    "Case",
    "Corrected",
    "CorrectionRules",
    "PolicyRules",
    "Selection",
    "agreed",
    "approve",
    "ask_approval",
    "chain",
    "correct",
    "drop",
    "editors",
    "event",
    "examine",
    "get",
    "hold",
    "mark_reopened",
    "mark_replayed",
    "opened",
    "overtaken",
    "postpone",
    "schedule",
    "sealed",
    "supersede",
    "unschedule",
    "vouch",
    "vouched_at",
]
