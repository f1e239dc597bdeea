"""What arrives, kept verbatim. Law: nothing is acknowledged, and no cursor moves, before the records are committed."""

from controlplane.sync.intake.poll import poll
from controlplane.sync.intake.receive import take, take_webhook

__all__ = ["poll", "take", "take_webhook"]
