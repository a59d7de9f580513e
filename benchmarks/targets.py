"""What is measured and what it has to reach, in the order of the page."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass

BOUNDS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge, "=": operator.eq}


@dataclass(frozen=True)
class Row:
    """One line of the result."""

    work: str
    measured: str
    to_reach: str
    reached: bool
    is_law: bool


@dataclass(frozen=True)
class Target:
    """One line to be. `is_law` says that anything else is a defect, on however slow a machine."""

    work: str
    bound: str
    limit: float
    unit: str = ""
    is_law: bool = False

    @property
    def to_reach(self) -> str:
        number = f"{self.limit:.2f}" if 0 < self.limit < 1 else f"{self.limit:g}"
        return f"{self.bound} {number} {self.unit}".strip()

    def row(self, value: float, details: str = "", *, digits: int = 2) -> Row:
        """Return the line for what was measured, in the unit of the target."""
        measured = f"{value:.{digits}f} {self.unit}".strip() + (f" ({details})" if details else "")
        return Row(self.work, measured, self.to_reach, BOUNDS[self.bound](value, self.limit), self.is_law)


TARGETS = {
    "in-process": Target("in process, established key: time added, against asgi-correlation-id", "<=", 0.45, "x"),
    "no-key": Target("in process, no key: time added, against one scan of the headers", "<=", 1.2, "x"),
    "established": Target("uvicorn, established key: requests/s against bare", ">=", 0.9),
    "cpu": Target("uvicorn, established key: CPU added, against asgi-correlation-id", "<=", 0.45, "x"),
    "new": Target("uvicorn, a new key in every request: requests/s against bare", ">=", 0.4),
    "ping-pong": Target("a reset by another process: stale answers in the very next request", "=", 0, is_law=True),
    "torture": Target(
        "two processes that reset, forget and reserve freely: answers of a third that nothing explains",
        "=",
        0,
        is_law=True,
    ),
    "hits": Target(
        "hit ratio on 1,000 hot keys while others make 1,000 new keys and 1,000 touches per second", ">=", 0.99
    ),
    "one-full": Target("a reservation on disk, synchronous=full, against a raw insert of SQLite", "<=", 4, "x"),
    "one-normal": Target("a reservation on disk, synchronous=normal, against a raw insert of SQLite", "<=", 4, "x"),
    "many-full": Target(
        "one of 64 reservations that wait together, synchronous=full, against a raw insert of SQLite", "<=", 1.5, "x"
    ),
    "many-normal": Target(
        "one of 64 reservations that wait together, synchronous=normal, against a raw insert of SQLite", "<=", 1.5, "x"
    ),
    "lag-p99": Target(
        "lag of the event loop while another process hammers the store, over an idle store, p99", "<=", 0.5, "ms"
    ),
    "lag-max": Target(
        "lag of the event loop while another process hammers the store, over an idle store, maximum", "<=", 5, "ms"
    ),
    "crowd": Target("1,000 requests at once for one new key: reservations per process", "=", 1, is_law=True),
    "race": Target(
        "8 processes that race for the same new keys: p99 of a reservation, against 1 process", "<=", 3, "x"
    ),
    "growth": Target(
        "established key, 1,000,000 keys in the store: time of a request, against 1,000 keys", "<=", 1.1, "x"
    ),
    "bytes": Target("1,000,000 keys: bytes on disk per key", "<=", 260),
    "memory": Target("rows in memory after reading more keys than it holds", "<=", 65_536, is_law=True),
    "idle": Target("idle keys in memory: locks, futures and tasks", "=", 0, is_law=True),
    "turns-first": Target(
        "uvicorn, established key, turn gate in `first`: CPU of a request, against the guard alone", "<=", 1.02, "x"
    ),
    "turns-wait": Target("a turn that waits for nobody, turn gate in `wait`: writes to the store", "=", 2, is_law=True),
    "redis": Target("Redis, uvicorn, established key: requests/s against bare", ">=", 0.6),
    "redis-together": Target(
        "Redis, 64 conversations read at once: time against 64 GETs of redis-py, one after the other", "<=", 0.2, "x"
    ),
    "redis-new": Target("Redis, a new key: time against one GET of redis-py", "<=", 2.5, "x"),
    "postgres-new": Target(
        "Postgres, a new key: time against one prepared SELECT, synchronous_commit=off", "<=", 2.6, "x"
    ),
}


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return the rows as the page has them."""
    order = [target.work for target in TARGETS.values()]
    return sorted(rows, key=lambda row: order.index(row.work))
