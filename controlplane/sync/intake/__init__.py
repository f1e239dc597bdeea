"""What arrives, kept verbatim, and sealed where it is personal.

Law: nothing is acknowledged, and no cursor moves, before the records are committed.
"""

from controlplane.sync.intake.poll import poll
from controlplane.sync.intake.receive import label, take, take_webhook

__all__ = ["label", "poll", "take", "take_webhook"]
