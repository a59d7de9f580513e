"""sessionguard in traces and metrics, through the API of OpenTelemetry."""

from sessionguard_otel.plugin import OpenTelemetryPlugin

__all__ = ["OpenTelemetryPlugin"]
