"""What a request costs, in process and over a socket, beside the same application without the guard, and its peers."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.environments import Environments
from benchmarks.lanes import CLIENT_CPU, CallLane, Lane, ServerLane
from benchmarks.load import Client
from benchmarks.measure import Row, Scale, interval

PEERS = (
    "correlation-id",
    "starlette-session",
    "starsessions-memory",
    "starsessions-redis",
    "idempotency-memory",
    "idempotency-redis",
    "redis-by-hand",
    "diskcache-by-hand",
)
CALLS = ("passing", "guard", "correlation-id+sent", *PEERS, "guard+no-key", "scanning+no-key")
NEW_KEYS = ("bare", "guard", "diskcache-by-hand", "redis-by-hand")


def in_process(environments: Environments, scale: Scale, redis: str) -> tuple[list[Row], dict[str, float]]:
    """Return the rows, and the microseconds each contender adds to a call."""
    added: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        lanes = {name: stack.enter_context(CallLane(environments, name, redis)) for name in CALLS}
        for _ in range(scale.rounds):
            for name, lane in lanes.items():
                calls = scale.calls if "redis" not in name and "disk" not in name else scale.calls // 10
                bare, contender = lane.added(calls)
                added[name].append((contender - bare) / 1000)
    medians = {name: statistics.median(values) for name, values in added.items()}
    guard, minted, sent = (medians[name] for name in ("guard", "correlation-id", "correlation-id+sent"))
    no_key = medians["guard+no-key"] / medians["scanning+no-key"]
    rows = [
        Row(
            "in process, established key: time added, against asgi-correlation-id",
            f"{guard / minted:.2f} x ({guard:.2f} us; {guard / sent:.2f} x where the client sends the id to copy)",
            "<= 0.45 x",
            guard / minted <= 0.45,
        ),
        Row(
            "in process, no key: time added, against one scan of the headers",
            f"{no_key:.2f} x ({medians['guard+no-key']:.2f} us)",
            "<= 1.2 x",
            no_key <= 1.2,
        ),
    ]
    return rows, medians


def over_sockets(environments: Environments, scale: Scale, redis: str) -> tuple[list[Row], dict[str, float]]:
    """Return the rows, and the requests per second of each contender as a share of the bare application's."""
    rates, cpu = _serve(environments, scale, redis, ("bare", "passing", "guard", *PEERS), new_keys=False)
    shares = {name: _ratios(rates[name], rates["bare"]) for name in rates}
    added = {name: statistics.median(map(_difference, values, cpu["bare"])) for name, values in cpu.items()}
    share, low, high = interval(shares["guard"])
    of_peer = added["guard"] / added["correlation-id"]
    fresh, _ = _serve(environments, scale, redis, NEW_KEYS, new_keys=True)
    new, new_low, new_high = interval(_ratios(fresh["guard"], fresh["bare"]))
    hand = statistics.median(_ratios(fresh["diskcache-by-hand"], fresh["bare"]))
    rows = [
        Row(
            "uvicorn, established key: requests/s against bare",
            f"{share:.3f} ({low:.3f} to {high:.3f})",
            ">= 0.90",
            share >= 0.90,
        ),
        Row(
            "uvicorn, established key: CPU added, against asgi-correlation-id",
            f"{of_peer:.2f} x ({added['guard']:.2f} us of {added['correlation-id']:.2f} us)",
            "<= 0.45 x",
            of_peer <= 0.45,
        ),
        Row(
            "uvicorn, a new key in every request: requests/s against bare",
            f"{new:.3f} ({new_low:.3f} to {new_high:.3f}; diskcache by hand {hand:.2f})",
            ">= 0.40",
            new >= 0.40,
        ),
    ]
    return rows, {name: statistics.median(values) for name, values in shares.items()}


def _serve(
    environments: Environments, scale: Scale, redis: str, names: Sequence[str], *, new_keys: bool
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return requests per second, and microseconds of CPU per request, by contender and round."""
    rates: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CLIENT_CPU})
    try:
        with ExitStack() as stack:
            lanes: dict[str, Lane] = {}
            clients: dict[str, Client] = {}
            for name in names:
                lane = lanes[name] = stack.enter_context(ServerLane(environments, name, redis))
                clients[name] = Client(lane.address, name, new_keys=new_keys)
                stack.callback(clients[name].close)
                clients[name].drive(scale.requests // 10)
            for _ in range(scale.rounds):
                for name in names:
                    before = lanes[name].cpu()
                    seconds = clients[name].drive(scale.requests)
                    rates[name].append(scale.requests / seconds)
                    cpu[name].append((lanes[name].cpu() - before) / scale.requests / 1000)
    finally:
        os.sched_setaffinity(0, cpus)
    return rates, cpu


def _ratios(values: Sequence[float], bases: Sequence[float]) -> list[float]:
    return [value / base for value, base in zip(values, bases, strict=True)]


def _difference(value: float, base: float) -> float:
    return value - base
