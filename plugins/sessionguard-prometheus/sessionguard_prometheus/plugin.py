"""The plugin: what the guard's hooks tell, counted."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry

from sessionguard import GuardSettings, Refusal, Resolution, hookimpl
from sessionguard.asgi import ASGIApp, Scope
from sessionguard_prometheus.metrics import metrics_of

ANSWERED = frozenset({"ok", "cancelled"})
"""Outcomes of a call that are no fault of the store: a client that leaves cancels it."""


class PrometheusPlugin:
    """Counts for one guard, in `registry`."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._metrics = metrics_of(registry)
        self._store = "none"

    @hookimpl
    def sessionguard_wrap_app(self, app: ASGIApp, settings: GuardSettings) -> ASGIApp:
        # The scheme and no more: what follows it may hold a password.
        self._store = settings.store.partition(":")[0] if isinstance(settings.store, str) else "object"
        return app

    @hookimpl
    def sessionguard_session_resolved(self, scope: Scope, resolution: Resolution) -> None:
        self._metrics.resolutions.labels(self._store, resolution.origin.value).inc()

    @hookimpl
    def sessionguard_request_refused(self, scope: Scope, error: Refusal) -> None:
        self._metrics.refusals.labels(self._store, error.code).inc()

    @hookimpl
    def sessionguard_store_called(self, verb: str, outcome: str, seconds: float) -> None:
        self._metrics.store_seconds.labels(self._store, verb).observe(seconds)
        if outcome not in ANSWERED:
            self._metrics.store_errors.labels(self._store, verb, outcome).inc()

    @hookimpl
    def sessionguard_turn_waited(self, scope: Scope, outcome: str, seconds: float) -> None:
        self._metrics.turn_wait_seconds.labels(self._store, outcome).observe(seconds)
