"""Claim, send, record; retry, verify. Law: a fenced update decides whose result counts; the unknown is read back first."""

from controlplane.sync.delivery.claim import Claimed
from controlplane.sync.delivery.lane import Lane
from controlplane.sync.delivery.send import Sent, send
from controlplane.sync.delivery.turn import Delivering, Turn

__all__ = ["Claimed", "Delivering", "Lane", "Sent", "Turn", "send"]
