"""Claim, send, record; retry, verify. Law: a fenced update decides whose result counts; the unknown is read back first."""

from controlplane.sync.delivery.claim import Claimed, claim, due_targets, next_due, recover
from controlplane.sync.delivery.record import record
from controlplane.sync.delivery.send import send
from controlplane.sync.delivery.systems import pause, resume

__all__ = ["Claimed", "claim", "due_targets", "next_due", "pause", "record", "recover", "resume", "send"]
