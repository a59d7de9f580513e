"""What an event loop feels of other processes that write to its store."""

from __future__ import annotations

import tempfile

from benchmarks.environments import Environments
from benchmarks.lanes import CLIENT_CPU, SERVER_CPU, Program
from benchmarks.measure import Scale, percentile
from benchmarks.targets import TARGETS, Row

ROUNDS = 5
AT_ONCE = 16


def measure(environments: Environments, scale: Scale) -> list[Row]:
    """Sample the loop while its own store is hammered, and in turns while another one is, by the same process."""
    python = environments.python("guard")
    directory, elsewhere = (f"{tempfile.mkdtemp()}/sessions" for _ in range(2))
    seconds = scale.seconds / ROUNDS
    busy: list[float] = []
    idle: list[float] = []
    taken = 0
    with (
        Program(python, "loop_lag", cpu=SERVER_CPU, directory=directory) as loop,
        Program(python, "neighbour", cpu=CLIENT_CPU, directory=directory) as here,
        Program(python, "neighbour", cpu=CLIENT_CPU, directory=elsewhere) as there,
    ):
        for each in (there, here):  # Whatever happens only once, happens now.
            _lags(loop, each, seconds)
        for _ in range(ROUNDS):
            idle += _lags(loop, there, seconds)[0]
            lags, keys = _lags(loop, here, seconds)
            busy += lags
            taken += keys
    p99, p99_idle = (1000 * percentile(lags, 0.99) for lags in (busy, idle))
    most, most_idle = (1000 * max(lags) for lags in (busy, idle))
    details = f"{taken / scale.seconds:,.0f} new keys/s"
    return [
        TARGETS["lag-p99"].row(p99 - p99_idle, f"{p99:.2f} of {p99_idle:.2f} ms, under {details}"),
        TARGETS["lag-max"].row(most - most_idle, f"{most:.2f} of {most_idle:.2f} ms"),
    ]


def _lags(loop: Program, neighbour: Program, seconds: float) -> tuple[list[float], int]:
    """Return the lags while the neighbour makes new keys, and how many it made."""
    neighbour.tell("hammer", seconds=seconds, at_once=AT_ONCE)
    return loop.ask("sample", seconds=seconds), neighbour.hear()
