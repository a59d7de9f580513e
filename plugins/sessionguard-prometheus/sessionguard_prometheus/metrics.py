"""The metrics of a registry, made once: all guards of a process count in the same ones, told apart by their store."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""From what a store in the same process takes to the longest that the guard waits."""
WAIT_SECONDS = (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""As long as turns of an agent are."""


@dataclass(frozen=True)
class Metrics:
    """What is counted; no label has anything of a conversation in it."""

    resolutions: Counter
    refusals: Counter
    store_seconds: Histogram
    store_errors: Counter
    turn_wait_seconds: Histogram


@functools.lru_cache(None)
def metrics_of(registry: CollectorRegistry) -> Metrics:
    """Return the metrics in `registry`; the first to ask registers them."""
    return Metrics(
        Counter(
            "sessionguard_resolutions",
            "Requests by how they came by their session id.",
            ["store", "origin"],
            registry=registry,
        ),
        Counter(
            "sessionguard_refusals",
            "Requests that were refused, by the code of the answer.",
            ["store", "code"],
            registry=registry,
        ),
        Histogram(
            "sessionguard_store_seconds",
            "Calls to the store, in seconds.",
            ["store", "verb"],
            buckets=SECONDS,
            registry=registry,
        ),
        Counter(
            "sessionguard_store_errors",
            "Calls to the store without an answer, by the code of the error.",
            ["store", "verb", "code"],
            registry=registry,
        ),
        Histogram(
            "sessionguard_turn_wait_seconds",
            "Waits for a turn, in seconds, by how they ended.",
            ["store", "outcome"],
            buckets=WAIT_SECONDS,
            registry=registry,
        ),
    )
