"""The plugin: what the guard's hooks tell, as attributes of spans and as metrics.

Only the API is used. Without an SDK that somebody has configured all of it does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from opentelemetry import metrics, trace

from sessionguard import ConfigurationError, Refusal, Resolution, hookimpl
from sessionguard.asgi import ASGIApp, Scope
from sessionguard_otel import attributes
from sessionguard_otel.context import Attaching

BAGGAGE = "SESSIONGUARD_OTEL_BAGGAGE"
_SWITCH = {"on": True, "off": False}


class OpenTelemetryPlugin:
    """Spans and metrics of one guard; `baggage` is whether its session ids travel to other services.

    Without `baggage` the environment is asked. Raises ConfigurationError for an answer that is neither on nor off.
    """

    def __init__(self, *, baggage: bool | None = None) -> None:
        self._carries_baggage = _from_environment() if baggage is None else baggage
        meter = metrics.get_meter("sessionguard")
        self._resolutions = meter.create_counter(
            "sessionguard.resolutions", "{request}", "Requests by how they came by their session id."
        )
        self._refusals = meter.create_counter(
            "sessionguard.refusals", "{request}", "Requests that were refused, by the code of the answer."
        )
        self._store = meter.create_histogram(
            "sessionguard.store.duration", "s", "Calls to the store, by verb and by outcome."
        )
        self._waits = meter.create_histogram("sessionguard.turn.wait", "s", "Waits for a turn, by how they ended.")

    @hookimpl
    def sessionguard_settings(self) -> Mapping[str, str]:
        return {BAGGAGE: "on or off: whether session ids go along to other services, as baggage"}

    @hookimpl
    def sessionguard_wrap_app(self, app: ASGIApp) -> ASGIApp:
        return Attaching(app, carries_baggage=self._carries_baggage)

    @hookimpl
    def sessionguard_session_resolved(self, scope: Scope, resolution: Resolution) -> None:
        trace.get_current_span().set_attributes(attributes.of_session(resolution))
        self._resolutions.add(1, {attributes.ORIGIN: resolution.origin.value})

    @hookimpl
    def sessionguard_request_refused(self, scope: Scope, error: Refusal) -> None:
        trace.get_current_span().set_attribute(attributes.CODE, error.code)
        self._refusals.add(1, {attributes.CODE: error.code})

    @hookimpl
    def sessionguard_store_called(self, verb: str, outcome: str, seconds: float) -> None:
        self._store.record(seconds, {"sessionguard.verb": verb, "sessionguard.outcome": outcome})

    @hookimpl
    def sessionguard_turn_waited(self, scope: Scope, outcome: str, seconds: float) -> None:
        self._waits.record(seconds, {"sessionguard.outcome": outcome})


def _from_environment() -> bool:
    text = os.environ.get(BAGGAGE, "off")
    if text not in _SWITCH:
        raise ConfigurationError(f"{BAGGAGE} is {text!r}; set it to on or off")
    return _SWITCH[text]
