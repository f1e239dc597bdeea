"""What arrives, kept verbatim, and sealed where it is personal.

Law: nothing is acknowledged, and no cursor moves, before the records are committed.
"""

from controlplane.sync.intake.poll import poll
from controlplane.sync.intake.receive import Arrival, arrived, keep, label, take, webhook
from controlplane.sync.intake.room import RETRY_AFTER, Room

__all__ = ["RETRY_AFTER", "Arrival", "Room", "arrived", "keep", "label", "poll", "take", "webhook"]
