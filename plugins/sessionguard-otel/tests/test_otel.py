"""What reaches an SDK: real providers, with exporters and readers in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import baggage, context, metrics, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sessionguard_otel import OpenTelemetryPlugin
from sessionguard_otel.processor import SessionSpanProcessor
from sessionguard_turns import TurnsPlugin

from sessionguard import ConfigurationError, SessionGuard
from sessionguard.keys import fingerprint
from sessionguard.testing import AppProbe, Exchange

pytestmark = pytest.mark.lowest

HASH = fingerprint("agent:main:my-chat")


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """A process has one provider of each kind, and keeps it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SessionSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture(scope="session")
def reader() -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


@pytest.fixture(autouse=True)
def _fresh(exporter: InMemorySpanExporter, reader: InMemoryMetricReader) -> None:
    """Both providers are there before a plugin asks for one, and no span of an earlier test is."""
    exporter.clear()


def guarded(app: Any, *plugins: Any) -> SessionGuard:
    return SessionGuard(app, store="memory:", plugins=plugins or [OpenTelemetryPlugin])


def keyed(app: Any, key: str = "my-chat", **scope: Any) -> Exchange:
    return Exchange(app, [(b"x-openclaw-session-key", key.encode())], client=("127.0.0.1", 1), **scope)


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def points(reader: InMemoryMetricReader, name: str) -> dict[tuple[Any, ...], float]:
    """The values of an instrument since the process began, by their attributes; those of a histogram by its count."""
    data = reader.get_metrics_data()
    found: dict[tuple[Any, ...], float] = {}
    for scope in [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []:
        for metric in scope.metrics:
            if metric.name == name:
                for point in metric.data.data_points:
                    found[tuple(point.attributes.values())] = getattr(point, "value", None) or point.count
    return found


def gained(before: dict[tuple[Any, ...], float], after: dict[tuple[Any, ...], float]) -> dict[tuple[Any, ...], float]:
    return {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}


async def test_the_span_of_instrumentation_in_front_is_told_the_session(exporter: InMemorySpanExporter) -> None:
    """The published ASGI middleware, around the guard."""
    probe = AppProbe()
    await keyed(OpenTelemetryMiddleware(guarded(probe))).run()

    attributes = spans(exporter)["POST /"].attributes or {}
    assert attributes["session.id"] == probe.scope["session_id"]
    assert attributes["sessionguard.origin"] == "new"
    assert attributes["sessionguard.key_hash"] == HASH
    assert "my-chat" not in str(attributes)


async def test_every_span_behind_the_guard_is_told_by_the_processor(exporter: InMemorySpanExporter) -> None:
    """The instrumentation of the application, and spans of its own in tasks and threads."""

    def in_a_thread() -> None:
        with trace.get_tracer("agent").start_as_current_span("thread"):
            pass

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(in_a_thread)
        await AppProbe()(scope, receive, send)

    await keyed(guarded(OpenTelemetryMiddleware(agent))).run()

    told = {name: (span.attributes or {}).get("sessionguard.key_hash") for name, span in spans(exporter).items()}
    assert (told["POST /"], told["thread"]) == (HASH, HASH)


async def test_a_request_without_a_key_tells_nothing(exporter: InMemorySpanExporter) -> None:
    app = OpenTelemetryMiddleware(guarded(AppProbe()))
    await keyed(app).run()
    exporter.clear()
    await Exchange(app, client=("127.0.0.1", 1)).run()

    assert "session.id" not in (spans(exporter)["POST /"].attributes or {})


async def test_a_refusal_is_on_its_span_and_counted(
    exporter: InMemorySpanExporter, reader: InMemoryMetricReader
) -> None:
    app = OpenTelemetryMiddleware(guarded(AppProbe()))
    before = points(reader, "sessionguard.refusals")
    await keyed(app, "cron:nightly").run()

    assert (spans(exporter)["POST /"].attributes or {})["error.type"] == "reserved_session_key"
    assert gained(before, points(reader, "sessionguard.refusals")) == {("reserved_session_key",): 1}


async def test_requests_are_counted_by_origin_and_calls_by_verb_and_outcome(reader: InMemoryMetricReader) -> None:
    """And by nothing that belongs to a conversation: twenty of them make no more series than one."""
    guard = guarded(AppProbe())
    counted = ("sessionguard.resolutions", "sessionguard.store.duration")
    before = [points(reader, name) for name in counted]
    for _ in range(2):
        for number in range(20):
            await keyed(guard, f"chat-{number}").run()
    resolutions, calls = (gained(old, points(reader, name)) for name, old in zip(counted, before, strict=True))

    assert resolutions == {("new",): 20, ("existing",): 20}
    assert calls == {("get", "ok"): 20, ("reserve", "ok"): 20}


async def test_waits_for_a_turn_are_counted_by_how_they_ended(reader: InMemoryMetricReader) -> None:
    """By the turn gate itself."""
    before = points(reader, "sessionguard.turn.wait")
    await keyed(guarded(AppProbe(), OpenTelemetryPlugin(), TurnsPlugin(mode="wait"))).run()

    assert gained(before, points(reader, "sessionguard.turn.wait")) == {("admitted",): 1}


@pytest.mark.parametrize(("switch", "carried"), [("on", True), ("off", False), (None, False)])
async def test_the_id_is_in_the_baggage_where_that_was_asked_for(
    switch: str | None, carried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if switch is not None:
        monkeypatch.setenv("SESSIONGUARD_OTEL_BAGGAGE", switch)
    found: list[tuple[object, str]] = []

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        found.append((baggage.get_baggage("session.id"), scope["session_id"]))
        await AppProbe()(scope, receive, send)

    await keyed(guarded(agent)).run()

    [(baggage_id, session_id)] = found
    assert baggage_id == (session_id if carried else None)
    assert baggage.get_baggage("session.id") is None


async def test_an_application_that_raises_leaves_nothing_behind() -> None:
    async def agent(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await keyed(guarded(agent, OpenTelemetryPlugin(baggage=True))).run()

    assert baggage.get_baggage("session.id") is None


async def test_a_request_that_another_one_makes_is_told_its_own_session(exporter: InMemorySpanExporter) -> None:
    """In the same process and task, for another conversation."""

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        key = scope["sessionguard"].session_key
        if key == "agent:main:my-chat":
            await keyed(guard, "other").run()
        with trace.get_tracer("agent").start_as_current_span(key):
            await AppProbe()(scope, receive, send)

    guard = guarded(agent)
    await keyed(guard).run()

    told = {name: (span.attributes or {})["sessionguard.key_hash"] for name, span in spans(exporter).items()}
    assert told == {key: fingerprint(key) for key in ("agent:main:my-chat", "agent:main:other")}


def test_a_switch_that_is_neither_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONGUARD_OTEL_BAGGAGE", "yes")
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_OTEL_BAGGAGE is 'yes'; set it to on or off"):
        guarded(AppProbe())


async def test_a_request_begun_inside_the_last_message_of_another_is_not_taken_for_it() -> None:
    """As a server does with what a client has sent down one connection at once."""
    found: list[object] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            found.append(baggage.get_baggage("session.id", context.get_current()))

    guard = guarded(AppProbe(), OpenTelemetryPlugin(baggage=True))
    await guard(keyed(guard).scope, None, send)

    assert found == [None]
