"""For instrumentation that stands behind the guard: every span that starts for a request knows its session."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from sessionguard_otel.attributes import of_session
from sessionguard_otel.context import current


class SessionSpanProcessor(SpanProcessor):
    """Puts the attributes on spans as they start. Add it to the tracer provider; it needs the SDK."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        resolution = current.get()
        if resolution is not None:
            span.set_attributes(of_session(resolution))
