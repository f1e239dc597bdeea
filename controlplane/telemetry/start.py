"""The tracer that the environment asks for. Traces are off unless they are asked for and a collector is named."""

from __future__ import annotations

import os
from collections.abc import Mapping

from controlplane.errors import SettingsError
from controlplane.telemetry.tracing import OFF, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def tracer_of(wanted: bool, environment: Mapping[str, str] | None = None) -> Tracer:
    """Return the tracer; while traces are off nothing of OpenTelemetry is imported. `wanted`: TRUEUP_TRACES.

    Raises SettingsError naming the variable when traces are wanted and cannot be sent.
    """
    given = os.environ if environment is None else environment
    exporter = given.get("OTEL_TRACES_EXPORTER", "") or "otlp"
    if not wanted or given.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return OFF
    if exporter != "otlp":
        raise SettingsError(f"OTEL_TRACES_EXPORTER={exporter}: traces are sent by OTLP; set it to otlp, or to none")
    if not any(given.get(name) for name in ENDPOINTS):
        raise SettingsError(
            "TRUEUP_TRACES=1 and no collector is named; set OTEL_EXPORTER_OTLP_ENDPOINT, e.g. to http://127.0.0.1:4318, "
            "or unset TRUEUP_TRACES"
        )
    protocol = next((given[name] for name in PROTOCOLS if given.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: only http/protobuf is spoken; set it so, and the endpoint to the "
            "collector's HTTP port (4318 as a rule)"
        )
    try:
        from controlplane.telemetry.otel import OtelTracer
    except ImportError as error:
        raise SettingsError(
            f"TRUEUP_TRACES=1 needs the extra 'otel', which is not installed ({error}); install trueup[otel]"
        ) from error
    return OtelTracer()
