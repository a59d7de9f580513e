"""What a request costs, in process and over a socket, beside the same application without the guard, and its peers."""

from __future__ import annotations

import operator
import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.environments import Environments
from benchmarks.lanes import CLIENT_CPU, Lane, Program, ServerLane
from benchmarks.load import Client
from benchmarks.measure import Scale, interval
from benchmarks.targets import TARGETS, Row

QUICK_PEERS = ("correlation-id", "starlette-session", "starsessions-memory", "idempotency-memory")
SLOW_PEERS = ("starsessions-redis", "idempotency-redis", "redis-by-hand", "diskcache-by-hand")
"""Those that wait in every request; they are asked less often, or they would take most of the time."""
CALLS = ("passing", "guard", "correlation-id+sent", *QUICK_PEERS, *SLOW_PEERS, "guard+no-key", "scanning+no-key")
ESTABLISHED = ("bare", "passing", "guard", "guard-redis", *QUICK_PEERS, *SLOW_PEERS)
NEW_KEYS = ("bare", "guard", "guard-sqlite", "guard-memory", "diskcache-by-hand", "redis-by-hand")

Rounds = dict[str, list[float]]


@dataclass(frozen=True)
class Costs:
    """What each contender costs: in process, by the server's CPU, and in requests per second against bare."""

    added: dict[str, float]
    cpu: dict[str, float]
    share: dict[str, float]


def measure(environments: Environments, scale: Scale, redis: str) -> tuple[list[Row], Costs]:
    """Return the rows, and what each contender costs."""
    added = _in_process(environments, scale, redis)
    rates, cpu = serve(environments, scale, redis, ESTABLISHED, new_keys=False)
    fresh, _ = serve(environments, scale, redis, NEW_KEYS, new_keys=True)
    shares = {name: each(operator.truediv, rates[name], rates["bare"]) for name in rates}
    busy = {name: statistics.median(each(operator.sub, cpu[name], cpu["bare"])) for name in cpu}
    costs = Costs(added, busy, {name: statistics.median(values) for name, values in shares.items()})
    return [*_calls(added), *_established(costs, shares), *_new(fresh)], costs


def _in_process(environments: Environments, scale: Scale, redis: str) -> dict[str, float]:
    """Return the microseconds each contender adds to a call."""
    added: Rounds = defaultdict(list)
    for _ in range(scale.lives):
        with ExitStack() as stack:
            lanes: dict[str, Program] = {}
            for name in CALLS:
                python = environments.python(name.partition("+")[0])
                lanes[name] = stack.enter_context(Program(python, "calls", redis=redis, name=name))
                lanes[name].ask("prepare")
            for name in CALLS * scale.rounds:
                calls = scale.calls // 10 if name in SLOW_PEERS else scale.calls
                bare, contender = lanes[name].ask("time", calls=calls)
                added[name].append((contender - bare) / 1000)
    return {name: statistics.median(values) for name, values in added.items()}


def _calls(added: dict[str, float]) -> list[Row]:
    guard, minted, sent = (added[name] for name in ("guard", "correlation-id", "correlation-id+sent"))
    copied = f"{guard:.2f} us; {guard / sent:.2f} x where the client sends the id to copy"
    scan = added["scanning+no-key"]
    return [
        TARGETS["in-process"].row(guard / minted, copied),
        TARGETS["no-key"].row(added["guard+no-key"] / scan, f"{added['guard+no-key']:.2f} us"),
    ]


def _established(costs: Costs, shares: Rounds) -> list[Row]:
    share, low, high = interval(shares["guard"])
    on_redis, redis_low, redis_high = interval(shares["guard-redis"])
    by_hand = costs.share["redis-by-hand"]
    guard, peer = costs.cpu["guard"], costs.cpu["correlation-id"]
    return [
        TARGETS["established"].row(share, f"{low:.3f} to {high:.3f}", digits=3),
        TARGETS["cpu"].row(guard / peer, f"{guard:.2f} us of {peer:.2f} us"),
        TARGETS["redis"].row(
            on_redis, f"{redis_low:.3f} to {redis_high:.3f}; redis-py by hand {by_hand:.2f}", digits=3
        ),
    ]


def _new(rates: Rounds) -> list[Row]:
    shares = {name: each(operator.truediv, rates[name], rates["bare"]) for name in rates}
    share, low, high = interval(shares["guard"])
    sqlite, memory, by_hand = (
        statistics.median(shares[name]) for name in ("guard-sqlite", "guard-memory", "diskcache-by-hand")
    )
    others = f"the store sqlite: {sqlite:.3f}, memory: {memory:.3f}; diskcache by hand {by_hand:.2f}"
    return [TARGETS["new"].row(share, f"{low:.3f} to {high:.3f}; {others}", digits=3)]


def serve(
    environments: Environments, scale: Scale, redis: str, names: Sequence[str], *, new_keys: bool
) -> tuple[Rounds, Rounds]:
    """Return requests per second, and microseconds of CPU per request, by contender and round."""
    rates: Rounds = defaultdict(list)
    cpu: Rounds = defaultdict(list)
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CLIENT_CPU})
    try:
        for _ in range(scale.lives):
            with ExitStack() as stack:
                lanes: dict[str, Lane] = {}
                clients: dict[str, Client] = {}
                for name in names:
                    lane = lanes[name] = stack.enter_context(ServerLane(environments, name, redis))
                    clients[name] = Client(lane.address, name, new_keys=new_keys)
                    stack.callback(clients[name].close)
                    clients[name].drive(scale.requests)
                for name in [*names] * scale.rounds:
                    requests = scale.requests // 4 if name in SLOW_PEERS else scale.requests
                    before = lanes[name].cpu()
                    seconds = clients[name].drive(requests)
                    rates[name].append(requests / seconds)
                    cpu[name].append((lanes[name].cpu() - before) / requests / 1000)
    finally:
        os.sched_setaffinity(0, cpus)
    return rates, cpu


def each(combine: Callable[[float, float], float], values: Sequence[float], bases: Sequence[float]) -> list[float]:
    return [combine(value, base) for value, base in zip(values, bases, strict=True)]
