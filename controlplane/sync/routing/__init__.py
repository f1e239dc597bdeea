"""Which targets a message is owed to. Law: routing reads the registry and writes deliveries; it never asks a system."""

from controlplane.sync.routing.route import route
from controlplane.sync.routing.run import Processing, emit

__all__ = ["Processing", "emit", "route"]
