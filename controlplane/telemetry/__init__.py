"""What one process counts and traces of its own work. Law: it is told after the commit, and cannot fail, slow or steer what it measures."""

from controlplane.telemetry.meters import Meters
from controlplane.telemetry.telemetry import Telemetry
from controlplane.telemetry.tracing import Tracer

__all__ = ["Meters", "Telemetry", "Tracer"]
