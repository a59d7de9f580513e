"""What it costs to give new conversations their ids: the work itself, a crowd at one key, and a race for many."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.environments import Environments
from benchmarks.lanes import Program
from benchmarks.measure import Scale, percentile
from benchmarks.targets import TARGETS, Row

ROUNDS = 10
TOGETHER = 64
CROWD = 1000
PROCESSES = 8
RACES = 5
HEAD_START, TURN_SECONDS = 0.3, 0.01


def measure(environments: Environments, scale: Scale) -> list[Row]:
    python = environments.python("guard")
    return [
        *_own_work(python, "full", scale.reservations // (2 * ROUNDS)),
        *_own_work(python, "normal", scale.reservations // (2 * ROUNDS)),
        _crowd(python),
        _race(python, scale.reservations // (2 * RACES)),
    ]


def _own_work(python: Path, synchronous: str, turns: int) -> list[Row]:
    with Program(python, "own_work", directory=_directory(), synchronous=synchronous) as work:
        work.ask("time", turns=turns, at_once=1)
        rounds = [[work.ask("time", turns=turns, at_once=many) for many in (1, TOGETHER)] for _ in range(ROUNDS)]
    one, many = zip(*rounds, strict=True)
    return [_compared(f"one-{synchronous}", one), _compared(f"many-{synchronous}", many)]


def _compared(name: str, pairs: Sequence[tuple[float, float]]) -> Row:
    ours, raw = (statistics.median(values) / 1000 for values in zip(*pairs, strict=True))
    ratio = statistics.median(own / insert for own, insert in pairs)
    return TARGETS[name].row(ratio, f"{ours:.1f} us of {raw:.1f} us")


def _crowd(python: Path) -> Row:
    """Two processes are asked for the same new key at once; only one of them can win, and each asks once."""
    directory = _directory()
    with Program(python, "agent", directory=directory) as one, Program(python, "agent", directory=directory) as other:
        for agent in (one, other):
            agent.tell("crowd", key="crowd", requests=CROWD)
        answers = [agent.hear() for agent in (one, other)]
    ids = {session_id for _, seen in answers for session_id in seen}
    most = max(reservations for reservations, _ in answers) if len(ids) == 1 else len(ids)
    return TARGETS["crowd"].row(most, f"2 processes, {len(ids)} session id", digits=0)


def _race(python: Path, turns: int) -> Row:
    directory = _directory()
    alone: list[float] = []
    racing: list[float] = []
    with ExitStack() as stack:
        runners = [stack.enter_context(Program(python, "runner", directory=directory)) for _ in range(PROCESSES)]
        for runner in runners:
            runner.ask("prepare")
        for number in range(RACES):
            alone += _run(runners[:1], f"alone-{number}", turns)
            racing += _run(runners, f"race-{number}", turns)
    slow, slowest = (1000 * percentile(seconds, 0.99) for seconds in (alone, racing))
    return TARGETS["race"].row(slowest / slow, f"{slowest:.2f} ms of {slow:.2f} ms")


def _run(runners: Sequence[Program], name: str, turns: int) -> list[float]:
    start = time.monotonic() + HEAD_START
    for runner in runners:
        runner.tell("run", name=name, start=start, turns=turns, turn_seconds=TURN_SECONDS)
    return [seconds for runner in runners for seconds in runner.hear()]


def _directory() -> str:
    return f"{tempfile.mkdtemp()}/sessions"
