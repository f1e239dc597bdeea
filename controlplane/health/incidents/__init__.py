"""What people are told: one open incident per fingerprint, with owner, cause and money at risk."""

from controlplane.health.incidents.lifecycle import acknowledge, count_open, reconcile

__all__ = ["acknowledge", "count_open", "reconcile"]
