"""What people are told: one open incident per fingerprint, with owner, cause and money at risk."""

from controlplane.health.incidents.lifecycle import acknowledge, reconcile

__all__ = ["acknowledge", "reconcile"]
