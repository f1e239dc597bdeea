"""What is known of the plane and its retailer: observations, verdicts over them, incidents that people are told of."""

from controlplane.health.duties import escalate_all, evaluate_all, probe, prune_all

__all__ = ["escalate_all", "evaluate_all", "probe", "prune_all"]
