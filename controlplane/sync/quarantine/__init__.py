"""Where a record that needs a person waits, whole. Law: nothing leaves but by a person's correction or decision; age closes nothing."""

from controlplane.sync.quarantine.cases import Case, correct, drop, get, hold, mark_reopened, mark_replayed

__all__ = ["Case", "correct", "drop", "get", "hold", "mark_reopened", "mark_replayed"]
