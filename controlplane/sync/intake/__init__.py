"""What arrives, kept verbatim. Law: nothing is acknowledged, and no cursor moves, before the records are committed."""

from controlplane.sync.intake.poll import poll
from controlplane.sync.intake.receive import Arrival, arrived, keep, take, webhook
from controlplane.sync.intake.room import RETRY_AFTER, Room

__all__ = ["RETRY_AFTER", "Arrival", "Room", "arrived", "keep", "poll", "take", "webhook"]
